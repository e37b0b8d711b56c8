// Portable names for compiler attributes and pragmas: inlining and vectorisation.
#pragma once

#if defined(__GNUC__)
#define TINYPYR_INLINE inline __attribute__((always_inline))
#define TINYPYR_INLINE_LAMBDA __attribute__((always_inline))
#if defined(__clang__)
#define TINYPYR_NOINLINE __attribute__((noinline))
#else  // nor copied for arguments that are constants
#define TINYPYR_NOINLINE __attribute__((noinline, noclone))
#endif
#else
#define TINYPYR_INLINE inline
#define TINYPYR_INLINE_LAMBDA
#define TINYPYR_NOINLINE
#endif

// Mark a function whose loops are not vectorised.
#if defined(__GNUC__) && !defined(__clang__)
#define TINYPYR_SCALAR __attribute__((noinline, optimize("no-tree-vectorize")))
#else
#define TINYPYR_SCALAR TINYPYR_NOINLINE
#endif

// Precede a loop whose iterations access different memory, so that the compiler adds no run-time test for overlap.
#if defined(__clang__)
#define TINYPYR_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define TINYPYR_INDEPENDENT _Pragma("GCC ivdep")
#else
#define TINYPYR_INDEPENDENT
#endif
