// The list of instruction sets that kernels are compiled for, which every translation unit uses.
//
// Each row is SET(id, name, is_supported, shortest_row), best first:
//
//   id            the namespace of its kernels (tinypyr::avx2, ...), from kernels_<id>.cpp and sampling.cpp
//   name          the name in TINYPYR_ISA and instruction_sets()
//   is_supported  an expression that is true if this processor and its operating system support the set
//   shortest_row  bytes of a row below which the next set of the list is faster, because the voxels that whole vectors
//                 leave over are pooled one by one
//
// A set's kernels are compiled between TINYPYR_BEGIN_<id> and TINYPYR_END_<id>: inside its namespace, and inside a
// region for its target (isa/regions.hpp). On processors other than x86-64, and with TINYPYR_BASE_ONLY defined, the
// list has one row: the baseline instructions of the target.
#pragma once

#include "regions.hpp"

#define TINYPYR_BEGIN_base TINYPYR_BASE_REGION namespace base {
#define TINYPYR_END_base \
  }                      \
  TINYPYR_BASE_REGION_END

#define TINYPYR_BASE_ROW(SET) SET(base, TINYPYR_BASE, true, 0)

#if TINYPYR_X86
#define TINYPYR_BEGIN_avx2 TINYPYR_REGION(TINYPYR_AVX2) namespace avx2 {
#define TINYPYR_END_avx2 \
  }                      \
  TINYPYR_REGION_END

#define TINYPYR_BEGIN_avx512 TINYPYR_REGION(TINYPYR_AVX512) namespace avx512 {
#define TINYPYR_END_avx512 \
  }                        \
  TINYPYR_REGION_END

#define TINYPYR_HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
#define TINYPYR_HAS_AVX512                                                                                          \
  (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") && \
   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2"))

#define TINYPYR_INSTRUCTION_SETS(SET)            \
  SET(avx512, "avx512", TINYPYR_HAS_AVX512, 192) \
  SET(avx2, "avx2", TINYPYR_HAS_AVX2, 0)         \
  TINYPYR_BASE_ROW(SET)
#else
#define TINYPYR_INSTRUCTION_SETS(SET) TINYPYR_BASE_ROW(SET)
#endif
