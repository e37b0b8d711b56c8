// Copies between voxels in strided memory and contiguous rows.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../kernels/table.hpp"
#include "index.hpp"

namespace tinypyr {

inline bool is_aligned(const void* pointer, int width) {
  return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<unsigned>(width) == 0;
}

// Return true if voxels of these extents and strides are contiguous.
inline bool is_contiguous(int axes, const i64* extent, const i64* stride, i64 width) {
  for (int axis = 0; axis < axes; ++axis) {
    if (extent[axis] > 1 && stride[axis] != width) return false;
    width *= extent[axis];
  }
  return true;
}

// Return true if kernels can access rows along the first `row_axes` axes of an array where they are: each row is
// contiguous, and all are aligned.
inline bool rows_are_direct(const void* start, int row_axes, int ndim, const i64* extent, const i64* stride,
                            int width) {
  bool direct = is_contiguous(row_axes, extent, stride, width) && is_aligned(start, width);
  for (int axis = row_axes; axis < ndim; ++axis) direct = direct && stride[axis] % width == 0;
  return direct;
}

// Call visit(run) for the runs along axis 0 of a box of voxels in strided memory, in order.
template <class Visit>
inline void each_run(char* box, int axes, const i64* extent, const i64* stride, Visit visit) {
  i64 index[max_ndim];
  const IndexRange runs{AxisRange{1, axes}, extent};
  runs.start(index);
  do visit(box);
  while (runs.next(index, [&](int axis, i64 n) { box += n * stride[axis]; }));
}

// Copy a box of voxels to a contiguous row, axis 0 fastest in the row.
inline void box_to_row(const RowKernels& kernels, int width, char* row, const char* box, int axes, const i64* extent,
                       const i64* stride) {
  // (each_run takes a mutable pointer, but the box is only read.)
  each_run(const_cast<char*>(box), axes, extent, stride, [&](const char* run) {
    kernels.copy(row, width, run, stride[0], extent[0]);
    row += extent[0] * width;
  });
}

// Copy a contiguous row, axis 0 fastest, to a box of voxels.
inline void row_to_box(const RowKernels& kernels, int width, const char* row, char* box, int axes, const i64* extent,
                       const i64* stride) {
  each_run(box, axes, extent, stride, [&](char* run) {
    kernels.copy(run, stride[0], row, width, extent[0]);
    row += extent[0] * width;
  });
}

// Call visit(bytes), with a constant for small powers of two, so that the compiler can inline their copies.
template <class Visit>
inline void with_known_size(i64 bytes, Visit visit) {
  switch (bytes) {
    case 1:
      return visit(std::integral_constant<i64, 1>{});
    case 2:
      return visit(std::integral_constant<i64, 2>{});
    case 4:
      return visit(std::integral_constant<i64, 4>{});
    case 8:
      return visit(std::integral_constant<i64, 8>{});
    case 16:
      return visit(std::integral_constant<i64, 16>{});
    case 32:
      return visit(std::integral_constant<i64, 32>{});
    case 64:
      return visit(std::integral_constant<i64, 64>{});
    case 128:
      return visit(std::integral_constant<i64, 128>{});
    default:
      return visit(bytes);
  }
}

}  // namespace tinypyr
