// Regions: parts of a source file that are compiled for another instruction set than the rest. isa/list.hpp has the
// list of the sets.
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

// Code between TINYPYR_REGION and TINYPYR_REGION_END is compiled for the named target. With GCC it is also vectorised
// at every optimisation level but -O0 (which inlines nothing). a * b + c is not contracted, because floats would then
// differ between instruction sets. no-trapping-math changes no value: it allows the compiler to turn comparisons of
// floats into blends, which may raise flags that a branch would not.
#define TINYPYR_AVX2 "avx2,bmi,bmi2,lzcnt,popcnt"
#define TINYPYR_AVX512_PARTS "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt"
#define TINYPYR_AVX512_VBMI TINYPYR_AVX512_PARTS ",avx512vbmi"
#if defined(__clang__)
#define TINYPYR_AVX512 TINYPYR_AVX512_PARTS
#else
#define TINYPYR_AVX512 TINYPYR_AVX512_PARTS ",prefer-vector-width=512"
#endif

#if defined(__clang__)
// Kernels use & and | of comparisons to avoid branches.
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wbitwise-instead-of-logical"
#define TINYPYR_REGION(target_name) \
  TINYPYR_PRAGMA(clang attribute push(__attribute__((target(target_name))), apply_to = function))
#define TINYPYR_REGION_END TINYPYR_PRAGMA(clang attribute pop)
#define TINYPYR_BASE_REGION
#define TINYPYR_BASE_REGION_END
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
// no-thread-jumps and no-split-paths preserve selections (a ? b : c). Otherwise GCC turns loops full of them into
// branches, which are not vectorised. no-tree-slp-vectorize avoids a bug of GCC 12: it vectorises the remainder of a
// vectorised loop, and counts comparisons as -1 if they are summed in 16 bits.
#if defined(TINYPYR_SANITIZED)  // sanitizers check the source as written, and compile vectors for minutes
#define TINYPYR_OPTIMIZE(level) TINYPYR_PRAGMA(GCC optimize("O1", "fp-contract=off", "no-trapping-math"))
#else
#define TINYPYR_OPTIMIZE(level)                                                                                  \
  TINYPYR_PRAGMA(GCC optimize(level, "tree-vectorize", "fp-contract=off", "no-trapping-math", "no-thread-jumps", \
                              "no-split-paths", "no-tree-slp-vectorize"))
#endif
#define TINYPYR_VECTOR_REGION TINYPYR_PRAGMA(GCC push_options) TINYPYR_OPTIMIZE("O3")
#if TINYPYR_X86  // the baseline is for processors without AVX2: a fifth smaller, without loops for unaligned ends
#define TINYPYR_BASE_REGION                             \
  TINYPYR_PRAGMA(GCC push_options)                      \
  TINYPYR_PRAGMA(GCC optimize("vect-cost-model=cheap")) \
  TINYPYR_OPTIMIZE("O2")
#else
#define TINYPYR_BASE_REGION TINYPYR_VECTOR_REGION
#endif
#define TINYPYR_BASE_REGION_END TINYPYR_PRAGMA(GCC pop_options)
#define TINYPYR_REGION(target_name) TINYPYR_VECTOR_REGION TINYPYR_PRAGMA(GCC target(target_name))
#define TINYPYR_REGION_END TINYPYR_PRAGMA(GCC pop_options)
#else
#define TINYPYR_BASE_REGION
#define TINYPYR_BASE_REGION_END
#endif
