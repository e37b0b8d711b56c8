// What dispatch and drivers know of the kernels: the table of loops that each instruction set fills.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "codec.hpp"
#include "view.hpp"

namespace tinypyr {

using i64 = std::int64_t;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

template <class T>
constexpr bool is_integer = T(1) / T(2) == T(0);

template <class T>
struct Wider;
template <>
struct Wider<u8> {
  using type = u16;
};
template <>
struct Wider<u16> {
  using type = u32;
};
template <>
struct Wider<u32> {
  using type = u64;
};
template <>
struct Wider<u64> {
  using type = u64;  // never read as pairs
};
template <class T>
using wider = typename Wider<T>::type;

template <class T>
TINYPYR_INLINE T from_bits(u64 bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof(T));  // the low bytes: little-endian machines only, checked in dispatch.cpp
  return value;
}

// Before a loop whose iterations touch different memory: no run-time test for overlap is needed.
#if defined(__clang__)
#define TINYPYR_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define TINYPYR_INDEPENDENT _Pragma("GCC ivdep")
#else
#define TINYPYR_INDEPENDENT
#endif

#if defined(__GNUC__)
#define TINYPYR_INLINE_LAMBDA __attribute__((always_inline))
#else
#define TINYPYR_INLINE_LAMBDA
#endif

// Pool axis n of a contiguous row (outer, n, span); the first block lacks its first `phase` voxels. Memory `ahead`
// bytes further on will be read next: fetch it meanwhile (0: nothing to fetch).
struct Run {
  i64 outer, n, span, factor, phase, ahead;
};

// Ask for memory that will be read soon; never faults, whatever the address.
TINYPYR_INLINE void prefetch(const char* from, i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(from + line);
#endif
}

struct Finish {
  i64 count;       // voxels present in each footprint of the row
  bool half_even;  // else floor
  u64 ignore;      // bits of the voxel to write where nothing was counted
};

struct Choice {
  bool has_ignore, has_nan;
  u64 ignore, nan;  // keys
  void* scratch;    // (count + 2) rows of keys
};

struct Fold {
  int lanes, lane_bytes;
  // from voxels or from carries; add: onto what is there; plane: distance between lanes, in elements of the target
  void (*first)(const void* from, void* to, i64 plane, const Run&, bool add, u64 ignore);
  void (*part)(const void* from, void* to, i64 plane, const Run&, bool add, u64 ignore);  // one lane
  void (*finish)(const void* carry, i64 plane, void* out, i64 n, const Finish&);
};

using Choose = void (*)(const void* const* planes, int count, i64 n, void* out, const Choice&);

struct RowKernels {  // for one width of voxel
  void (*copy)(char* to, i64 to_stride, const char* from, i64 from_stride, i64 n);
  void (*split_pairs)(const char* from, void* even, void* odd, i64 n);
  void (*encode)(const void* from, void* row, i64 n, const Codec&);
  void (*decode)(void* row, i64 n, const Codec&);
  Choose mode[2][2];  // [ties lowest][has ignore]
  Choose median;
  Choose first[2];  // [floats]
};

struct FoldRow {
  int width;
  bool floating;
  i64 largest_footprint;
  Fold fold[2];  // [has ignore]
};

struct Kernels {
  RowKernels rows[4];  // widths 1, 2, 4, 8
  const FoldRow *means, *minima, *maxima;

  const RowKernels& of_width(int width) const { return rows[width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3]; }
};

// The first row of a table for this voxel whose carry holds the footprint.
inline const Fold& pick(const FoldRow* at, const Codec& codec, i64 footprint, bool has_ignore) {
  while (at->width != codec.width || at->floating != (codec.kind == Kind::floating) ||
         at->largest_footprint < footprint)
    ++at;
  return at->fold[has_ignore];
}

}  // namespace tinypyr
