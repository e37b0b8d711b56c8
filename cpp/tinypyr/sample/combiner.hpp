// A volume and a field that is sampled where its voxels lie, combined: a tile of the field's values at a time, which stays
// in the cache until it is used.
#pragma once

#include "sampler.hpp"

namespace tinypyr {

// What the combiner knows of its loops: the table that each instruction set fills (kernels/combine.inl).
struct CombineKernels {
  void (*load[dtype_count])(const char* from, i64 from_stride, i64 n, double* to);
  // value[i] becomes what the operation makes of voxel[i] and the field's value[i]; keep has loops of its own.
  void (*operate[operation_count - 1])(const double* voxel, i64 n, double* value);
  // Rounded half to even, into the dtype's range; NaN is 0.
  void (*store[dtype_count])(const double* from, i64 n, char* to, i64 to_stride);
  // By width: voxels as they are, or 0.
  void (*keep[4])(const char* from, i64 from_stride, const double* value, i64 n, char* to, i64 to_stride);
};

class Combiner {
 public:
  Combiner(const View& full, Operation operation, const View& out, const CombineKernels& kernels)
      : full_(full), out_(out), operation_(operation), kernels_(kernels) {}

  // sample(start, tile): fill the tile, whose first voxel is at `start`, with the field's values.
  template <class Sample>
  Status run(const i64* start, Sample sample) {
    const int n = out_.ndim;
    if (full_.ndim != n || n < 1 || full_.swapped || out_.swapped) return Status::bad_view;
    for (int axis = 0; axis < n; ++axis)
      if (full_.shape[axis] != out_.shape[axis]) return Status::bad_out;
    if (operation_ == Operation::mask && full_.dtype != out_.dtype) return Status::bad_out;
    // Tiles lie in memory as the output does: its closest voxels one after the other.
    int axes[max_ndim];
    for (int axis = 0; axis < n; ++axis) axes[axis] = axis;
    std::stable_sort(axes, axes + n, [&](int a, int b) {
      const bool one_a = out_.shape[a] == 1, one_b = out_.shape[b] == 1;
      return one_a != one_b ? one_b : std::abs(out_.strides[a]) < std::abs(out_.strides[b]);
    });
    i64 edge[max_ndim], first[max_ndim] = {}, from[max_ndim], voxels = 1;
    for (int rank = 0; rank < n; ++rank) {
      edge[axes[rank]] = std::min(out_.shape[axes[rank]], rank < 3 ? tile_edges[rank] : 1);
      voxels *= edge[axes[rank]];
    }
    if (!memory_.reserve(8 * voxels)) return Status::out_of_memory;
    const int fast = axes[0];
    View tile;
    tile.data = memory_.data();
    tile.ndim = n;
    tile.dtype = Dtype::float64;
    for (;;) {
      i64 stride = 8;
      for (int rank = 0; rank < n; ++rank) {
        const int axis = axes[rank];
        tile.shape[axis] = std::min(edge[axis], out_.shape[axis] - first[axis]);
        tile.strides[axis] = stride;
        stride *= tile.shape[axis];
        from[axis] = start[axis] + first[axis];
      }
      const i64 count = tile.shape[fast], full_step = full_.strides[fast], out_step = out_.strides[fast];
      each_row(tile, first, fast, [&](const char* full, char*, char* out) {  // (on its way here while values are made)
        if (full_step == row(full_.dtype).width) prefetch(full, count * full_step);
        if (out_step == row(out_.dtype).width) prefetch_to_write(out, count * out_step);
      });
      const Status status = sample(from, tile);
      if (status != Status::ok) return status;
      each_row(tile, first, fast, [&](const char* full, char* value, char* out) {
        combine(full, full_step, reinterpret_cast<double*>(value), count, out, out_step);
      });
      int rank = 0;
      for (; rank < n; ++rank) {
        const int axis = axes[rank];
        if ((first[axis] += edge[axis]) < out_.shape[axis]) break;
        first[axis] = 0;
      }
      if (rank == n) return Status::ok;
    }
  }

 private:
  template <class Visit>
  void each_row(const View& tile, const i64* first, int fast, Visit visit) const {
    i64 index[max_ndim] = {};
    const char* full = full_.data;
    char *out = out_.data, *value = tile.data;
    for (int axis = 0; axis < tile.ndim; ++axis) {
      full += first[axis] * full_.strides[axis];
      out += first[axis] * out_.strides[axis];
    }
    for (;;) {
      visit(full, value, out);
      int axis = tile.ndim - 1;
      for (; axis >= 0; --axis) {
        if (axis == fast) continue;
        full += full_.strides[axis];
        out += out_.strides[axis];
        value += tile.strides[axis];
        if (++index[axis] < tile.shape[axis]) break;
        full -= index[axis] * full_.strides[axis];
        out -= index[axis] * out_.strides[axis];
        value -= index[axis] * tile.strides[axis];
        index[axis] = 0;
      }
      if (axis < 0) return;
    }
  }

  void combine(const char* full, i64 full_stride, double* value, i64 n, char* out, i64 out_stride) const {
    if (operation_ == Operation::mask) {
      const int width = row(out_.dtype).width;
      kernels_.keep[width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3](full, full_stride, value, n, out, out_stride);
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
  Arena memory_;
};

}  // namespace tinypyr
