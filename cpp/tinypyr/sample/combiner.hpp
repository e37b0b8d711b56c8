// Combination of a volume with a field that is interpolated at its voxels, one tile of field values at a time, which
// stays in the cache until it is used.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "../core/arena.hpp"
#include "../core/index.hpp"
#include "../core/view.hpp"
#include "../tinypyr.hpp"
#include "kernels.hpp"

namespace tinypyr {

// The table of the combiner's loops that each instruction set fills (kernels/combine.inl).
struct CombineKernels {
  void (*load[dtype_count])(const char* from, i64 from_stride, i64 n, double* to);
  // Replace value[i] by the combination of voxel[i] with the field's value[i]. Indexed by operation, except mask.
  void (*operate[operation_count - 1])(const double* voxel, i64 n, double* value);
  // Round half to even and clip to the dtype's range; NaN becomes 0.
  void (*store[dtype_count])(const double* from, i64 n, char* to, i64 to_stride);
  // Indexed by width_index: copy voxels unchanged, or write 0.
  void (*mask[4])(const char* from, i64 from_stride, const double* value, i64 n, char* to, i64 to_stride);
};

class Combiner {
 public:
  Combiner(const View& full, Operation operation, const View& out, const CombineKernels& kernels)
      : full_(full), out_(out), operation_(operation), kernels_(kernels) {}

  // sample(start, tile) fills the tile, whose first voxel is at `start`, with the field's values.
  template <class Sample>
  Status run(const i64* start, Sample sample) {
    const Status status = check();
    if (status != Status::ok) return status;
    const int n = out_.ndim;
    sort_axes();
    i64 edge[max_ndim], first[max_ndim], voxels = 1;
    for (int rank = 0; rank < n; ++rank) {
      const int axis = axes_[rank];
      edge[axis] = std::min(out_.shape[axis], rank < 3 ? tile_edges[rank] : 1);
      voxels *= edge[axis];
    }
    if (!memory_.reserve(8 * voxels)) return Status::out_of_memory;
    View tile;
    tile.data = memory_.data();
    tile.ndim = n;
    tile.dtype = Dtype::float64;
    Status tile_status = Status::ok;
    const IndexRange tiles{AxisList{axes_, n}, out_.shape, nullptr, edge};
    tiles.each(first, [&] {
      place_tile(edge, first, tile);
      tile_status = make_tile(start, first, tile, sample);
      return tile_status == Status::ok;
    });
    return tile_status;
  }

 private:
  Status check() const {
    if (full_.ndim != out_.ndim || out_.ndim < 1 || full_.swapped || out_.swapped) return Status::bad_view;
    for (int axis = 0; axis < out_.ndim; ++axis)
      if (full_.shape[axis] != out_.shape[axis]) return Status::bad_out;
    return operation_ == Operation::mask && full_.dtype != out_.dtype ? Status::bad_out : Status::ok;
  }

  // Choose tiles in the output's memory order, so that adjacent voxels of the output are adjacent in the tile.
  void sort_axes() {
    for (int axis = 0; axis < out_.ndim; ++axis) axes_[axis] = axis;
    std::stable_sort(axes_, axes_ + out_.ndim, [&](int a, int b) {
      const bool one_a = out_.shape[a] == 1, one_b = out_.shape[b] == 1;
      return one_a != one_b ? one_b : std::abs(out_.strides[a]) < std::abs(out_.strides[b]);
    });
  }

  void place_tile(const i64* edge, const i64* first, View& tile) const {
    i64 stride = 8;
    for (int rank = 0; rank < out_.ndim; ++rank) {
      const int axis = axes_[rank];
      tile.shape[axis] = std::min(edge[axis], out_.shape[axis] - first[axis]);
      tile.strides[axis] = stride;
      stride *= tile.shape[axis];
    }
  }

  template <class Sample>
  Status make_tile(const i64* start, const i64* first, const View& tile, Sample& sample) const {
    const int fast = axes_[0];
    const i64 count = tile.shape[fast], full_step = full_.strides[fast], out_step = out_.strides[fast];
    i64 from[max_ndim];
    for (int axis = 0; axis < out_.ndim; ++axis) from[axis] = start[axis] + first[axis];
    each_row(tile, first,
             [&](const char* full, char*, char* out) {  // prefetch, to arrive while the field is interpolated
               if (full_step == row(full_.dtype).width) prefetch(full, count * full_step);
               if (out_step == row(out_.dtype).width) prefetch_to_write(out, count * out_step);
             });
    const Status status = sample(from, tile);
    if (status != Status::ok) return status;
    each_row(tile, first, [&](const char* full, char* value, char* out) {
      combine(full, full_step, reinterpret_cast<double*>(value), count, out, out_step);
    });
    return Status::ok;
  }

  // Call visit(full, value, out) for the rows of a tile, whose first voxel is at `first`.
  template <class Visit>
  TINYPYR_INLINE void each_row(const View& tile, const i64* first, Visit visit) const {
    i64 index[max_ndim];
    int order[max_ndim], slow = 0;
    const char* full = full_.data;
    char *out = out_.data, *value = tile.data;
    for (int axis = tile.ndim - 1; axis >= 0; --axis) {
      if (axis != axes_[0]) order[slow++] = axis;
      full += first[axis] * full_.strides[axis];
      out += first[axis] * out_.strides[axis];
    }
    const IndexRange rows{AxisList{order, slow}, tile.shape};
    rows.start(index);
    do visit(full, value, out);
    while (rows.next(index, [&](int axis, i64 n) {
      full += n * full_.strides[axis];
      out += n * out_.strides[axis];
      value += n * tile.strides[axis];
    }));
  }

  void combine(const char* full, i64 full_stride, double* value, i64 n, char* out, i64 out_stride) const {
    if (operation_ == Operation::mask) {
      kernels_.mask[width_index(row(out_.dtype).width)](full, full_stride, value, n, out, out_stride);
      return;
    }
    double voxel[strip];
    kernels_.load[static_cast<int>(full_.dtype)](full, full_stride, n, voxel);
    kernels_.operate[static_cast<int>(operation_)](voxel, n, value);
    kernels_.store[static_cast<int>(out_.dtype)](value, n, out, out_stride);
  }

  static constexpr i64 tile_edges[] = {strip, 16, 4};  // 64 KiB of values

  const View &full_, &out_;
  Operation operation_;
  const CombineKernels& kernels_;
  int axes_[max_ndim];  // of the output, by increasing stride
  Arena memory_;
};

}  // namespace tinypyr
