// Regions: parts of a source that are compiled for an instruction set other than the rest of it. A list of the sets is
// in isa/list.hpp.
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

// Everything between TINYPYR_REGION and TINYPYR_REGION_END is compiled for the named target; with GCC it is also
// vectorised at every optimisation level but -O0 (which inlines nothing). a * b + c is not contracted, because floats
// would then differ from one instruction set to another. no-trapping-math changes no value: it allows comparisons of
// floats to become blends, which may raise flags that a branch would not.
#define TINYPYR_AVX2 "avx2,bmi,bmi2,lzcnt,popcnt"
#define TINYPYR_AVX512_PARTS "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi,bmi2,lzcnt,popcnt"
#if defined(__clang__)
#define TINYPYR_AVX512 TINYPYR_AVX512_PARTS
#else
#define TINYPYR_AVX512 TINYPYR_AVX512_PARTS ",prefer-vector-width=512"
#endif

#if defined(__clang__)
// kernels use & and | of comparisons in order to have no branches
#pragma clang diagnostic ignored "-Wunknown-warning-option"
#pragma clang diagnostic ignored "-Wbitwise-instead-of-logical"
#define TINYPYR_REGION(target_name) \
  TINYPYR_PRAGMA(clang attribute push(__attribute__((target(target_name))), apply_to = function))
#define TINYPYR_REGION_END TINYPYR_PRAGMA(clang attribute pop)
#define TINYPYR_BASE_REGION
#define TINYPYR_BASE_REGION_END
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
// no-thread-jumps, no-split-paths: keep selections (a ? b : c) what they are; GCC would turn loops full of them into
// branches, which are not vectorised. no-tree-slp-vectorize: avoids a fault of GCC 12, which vectorises the statements
// that a loop of vectors leaves over, and counts comparisons as -1 if they are summed in 16 bits.
#if defined(TINYPYR_SANITIZED)  // sanitizers check the source as it is, and take minutes to compile vectors
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
