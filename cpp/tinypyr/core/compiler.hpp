// Attributes and pragmas of compilers, under names of this library: inlining, and loops that may be vectorised.
#pragma once

#if defined(__GNUC__)
#define TINYPYR_INLINE inline __attribute__((always_inline))
#define TINYPYR_INLINE_LAMBDA __attribute__((always_inline))
#define TINYPYR_NOINLINE __attribute__((noinline))
#else
#define TINYPYR_INLINE inline
#define TINYPYR_INLINE_LAMBDA
#define TINYPYR_NOINLINE
#endif

// A function whose loops stay scalar.
#if defined(__GNUC__) && !defined(__clang__)
#define TINYPYR_SCALAR __attribute__((noinline, optimize("no-tree-vectorize")))
#else
#define TINYPYR_SCALAR TINYPYR_NOINLINE
#endif

// Before a loop whose iterations touch different memory: no run-time test for overlap is needed.
#if defined(__clang__)
#define TINYPYR_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define TINYPYR_INDEPENDENT _Pragma("GCC ivdep")
#else
#define TINYPYR_INDEPENDENT
#endif
