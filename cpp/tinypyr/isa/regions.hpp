// Which instruction sets this compiler can target inside one translation unit. With TINYPYR_BASE_ONLY defined it is built
// for the one that every processor has: smaller, and sooner built.
#pragma once

#if defined(__GNUC__) && defined(__x86_64__) && !defined(TINYPYR_BASE_ONLY)
#define TINYPYR_X86 1
#else
#define TINYPYR_X86 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define TINYPYR_BASE "neon"
#else
#define TINYPYR_BASE "scalar"
#endif

#define TINYPYR_PRAGMA(text) _Pragma(#text)

// Everything between TINYPYR_REGION and TINYPYR_REGION_END is compiled for the named target, with GCC also vectorised at
// every optimisation level but -O0 (which inlines nothing), and without contraction of a * b + c, which would change
// floats from one instruction set to another. no-trapping-math changes no value: it lets comparisons of floats become
// blends although nobody reads the flags.
#define TINYPYR_AVX2 "avx2,bmi,bmi2,lzcnt,popcnt"
#define TINYPYR_AVX512_PARTS "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt"
#if defined(__clang__)
#define TINYPYR_AVX512 TINYPYR_AVX512_PARTS
#else
#define TINYPYR_AVX512 TINYPYR_AVX512_PARTS ",prefer-vector-width=512"
#endif

#if defined(__clang__)
// kernels say & and | of comparisons on purpose: no branches
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wbitwise-instead-of-logical"
#define TINYPYR_REGION(target_name) \
  TINYPYR_PRAGMA(clang attribute push(__attribute__((target(target_name))), apply_to = function))
#define TINYPYR_REGION_END TINYPYR_PRAGMA(clang attribute pop)
#define TINYPYR_BASE_REGION
#define TINYPYR_BASE_REGION_END
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
// no-thread-jumps, no-split-paths: selections stay selections, or loops full of them become branches and no vectors.
// no-tree-slp-vectorize: of statements that are no loop GCC 12 makes vectors that count comparisons as -1 where they are
// summed in 16 bits, in what a loop of vectors leaves over.
#if defined(TINYPYR_SANITIZED)  // sanitizers look at what the source says, and take minutes over vectors
#define TINYPYR_OPTIMIZE TINYPYR_PRAGMA(GCC optimize("O1", "fp-contract=off", "no-trapping-math"))
#else
#define TINYPYR_OPTIMIZE                                                                                        \
  TINYPYR_PRAGMA(GCC optimize("O3", "fp-contract=off", "no-trapping-math", "no-thread-jumps", "no-split-paths", \
                              "no-tree-slp-vectorize"))
#endif
#define TINYPYR_BASE_REGION TINYPYR_PRAGMA(GCC push_options) TINYPYR_OPTIMIZE
#define TINYPYR_BASE_REGION_END TINYPYR_PRAGMA(GCC pop_options)
#define TINYPYR_REGION(target_name) TINYPYR_BASE_REGION TINYPYR_PRAGMA(GCC target(target_name))
#define TINYPYR_REGION_END TINYPYR_PRAGMA(GCC pop_options)
#else
#define TINYPYR_BASE_REGION
#define TINYPYR_BASE_REGION_END
#endif
