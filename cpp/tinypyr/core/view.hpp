// A view of an array: pointer, extents, strides in bytes, dtype. All checks of sizes and of overflow are in this file.
#pragma once

#include <cstdint>

#include "dtypes.hpp"

namespace tinypyr {

constexpr int max_ndim = 32;
constexpr int max_levels = 64;
// Extents, coordinates and cumulative factors stay below this limit, so that sums and products of two of them fit.
constexpr std::int64_t max_extent = std::int64_t{1} << 60;
// Limit of the voxels in one footprint: the sum of that many 32-bit halves fits 64 bits.
constexpr std::int64_t max_footprint = std::int64_t{1} << 31;

enum class Status : std::uint8_t {
  ok,
  bad_view,
  bad_factor,
  bad_voxel_offset,
  bad_out,
  bad_isa,
  footprint,
  out_of_memory,  // outputs are unspecified
  interrupted,    // outputs are unspecified
  incomplete,     // outputs are unspecified
};

// Return the meaning of a status, in the form that completes the sentence "tinypyr: ...".
constexpr const char* to_text(Status status) noexcept {
  switch (status) {
    case Status::ok:
      return "success";
    case Status::bad_view:
      return "the rank, an extent or a stride of an array is out of range, or its data pointer is null";
    case Status::bad_factor:
      return "a factor is below 1, or there are no levels or more than max_levels";
    case Status::bad_voxel_offset:
      return "a voxel_offset lies beyond max_extent";
    case Status::bad_out:
      return "an output does not have the dtype or the extents of its level";
    case Status::bad_isa:
      return "this machine does not have the requested instruction set";
    case Status::footprint:
      return "a footprint has more than max_footprint voxels";
    case Status::out_of_memory:
      return "memory for intermediate results ran out";
    case Status::interrupted:
      return "keep_going returned false";
    case Status::incomplete:
      return "a voxel is needed that is not in the part of the array at hand";
  }
  return "unknown status";
}

struct View {
  char* data = nullptr;  // not written if the view is an input
  int ndim = 0;
  std::int64_t shape[max_ndim] = {};
  std::int64_t strides[max_ndim] = {};  // bytes, any sign
  Dtype dtype = Dtype::uint8;
  bool swapped = false;  // the byte order is the opposite of this machine's
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

// Return the number of blocks of a factor that intersect the voxels [voxel_offset, voxel_offset + n).
constexpr std::int64_t block_count(std::int64_t n, std::int64_t factor, std::int64_t voxel_offset) {
  return n == 0 ? 0 : ceil_div(voxel_offset + n, factor) - floor_div(voxel_offset, factor);
}

inline bool is_empty(const View& view) {
  for (int axis = 0; axis < view.ndim; ++axis)
    if (view.shape[axis] == 0) return true;
  return false;
}

// Check that the rank, extents and strides are in range, and that no offset inside the view overflows.
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
