// A view of an array: pointer, extents, strides in bytes, dtype. Every size and overflow check lives here.
#pragma once

#include <cstdint>

#include "dtypes.hpp"

namespace tinypyr {

constexpr int max_ndim = 32;
constexpr int max_levels = 64;
// Extents, coordinates and cumulative factors stay below this, so that sums and products of two neighbours fit.
constexpr std::int64_t max_extent = std::int64_t{1} << 60;
// Voxels in one footprint: sums of 32-bit halves of that many voxels fit 64 bits.
constexpr std::int64_t max_footprint = std::int64_t{1} << 31;

enum class Status : std::uint8_t {
  ok,
  bad_view,          // rank, extents or strides out of range, or a null pointer to voxels
  bad_factor,        // a factor below 1, or more levels than max_levels
  bad_voxel_offset,  // a voxel_offset beyond max_extent
  bad_out,           // an output whose dtype or extents are not those of its level
  bad_isa,           // an instruction set this machine does not have
  footprint,         // more than max_footprint voxels in one footprint
  out_of_memory,     // scratch memory could not be had; outputs are unspecified
  interrupted,       // keep_going said no; outputs are unspecified
  incomplete,        // a voxel is needed that is not in the part at hand; outputs are unspecified
};

struct View {
  char* data = nullptr;  // never written when the view is an input
  int ndim = 0;
  std::int64_t shape[max_ndim] = {};
  std::int64_t strides[max_ndim] = {};  // bytes, any sign
  Dtype dtype = Dtype::uint8;
  bool swapped = false;  // the other byte order than this machine's
};

inline bool multiply_overflows(std::int64_t a, std::int64_t b, std::int64_t* product) {
#if defined(__GNUC__)
  return __builtin_mul_overflow(a, b, product);
#else
  if (a != 0 && b != 0 && (b > INT64_MAX / (a < 0 ? -a : a) || b < -(INT64_MAX / (a < 0 ? -a : a)))) return true;
  *product = a * b;
  return false;
#endif
}

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); }  // b > 0
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b > 0); }

// How many blocks of a factor the voxels [voxel_offset, voxel_offset + n) touch.
constexpr std::int64_t block_count(std::int64_t n, std::int64_t factor, std::int64_t voxel_offset) {
  return n == 0 ? 0 : ceil_div(voxel_offset + n, factor) - floor_div(voxel_offset, factor);
}

inline bool is_empty(const View& view) {
  for (int axis = 0; axis < view.ndim; ++axis)
    if (view.shape[axis] == 0) return true;
  return false;
}

// Rank, extents and strides are in range, and no offset inside the view overflows.
inline Status check(const View& view) {
  if (view.ndim < 0 || view.ndim > max_ndim || static_cast<int>(view.dtype) >= dtype_count) return Status::bad_view;
  std::int64_t voxels = 1, reach = 0;
  for (int axis = 0; axis < view.ndim; ++axis) {
    const std::int64_t n = view.shape[axis], stride = view.strides[axis];
    if (n < 0 || n > max_extent || stride == INT64_MIN) return Status::bad_view;
    std::int64_t length = 0;
    if (n == 0) continue;
    if (multiply_overflows(n - 1, stride < 0 ? -stride : stride, &length)) return Status::bad_view;
    if (length > max_extent || (reach += length) > max_extent) return Status::bad_view;
    if (multiply_overflows(voxels, n, &voxels)) return Status::bad_view;
  }
  return view.data == nullptr && !is_empty(view) ? Status::bad_view : Status::ok;
}

}  // namespace tinypyr
