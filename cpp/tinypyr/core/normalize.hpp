// Conversion of the views of a call to a problem in normal form (core/problem.hpp). This file and pyramid.cpp contain
// every check that involves more than one view.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "../tinypyr.hpp"
#include "problem.hpp"

namespace tinypyr {

// The arguments of pyramid() that describe arrays. Each view has passed check().
struct Request {
  const View& in;
  int levels;                      // number of levels that are written
  const i64 (*factors)[max_ndim];  // one row per level
  const View* outs;
  const i64* voxel_offset;  // null: all 0
  const View* sums;         // null: not requested; else treated as one more level with factor 1

  int all_levels() const { return levels + (sums != nullptr); }
  bool is_sums(int k) const { return k == levels; }
  i64 offset(int axis) const { return voxel_offset == nullptr ? 0 : voxel_offset[axis]; }
  i64 factor(int k, int axis) const { return is_sums(k) ? 1 : factors[k][axis]; }
  // Extent and stride of a level's output along an axis of the input. (The first axis of the sums is their lanes.)
  i64 out_extent(int k, int axis) const { return is_sums(k) ? sums->shape[axis + 1] : outs[k].shape[axis]; }
  i64 out_stride(int k, int axis) const { return is_sums(k) ? sums->strides[axis + 1] : outs[k].strides[axis]; }
};

// Sort axes by stride, fastest first; among equal strides the last axis is the faster one. (std::stable_sort would
// allocate memory.)
inline void sort_axes(const View& in, int* order) {
  for (int i = 0; i < in.ndim; ++i) order[i] = i;
  std::sort(order, order + in.ndim, [&](int a, int b) {
    const i64 of_a = std::abs(in.strides[a]), of_b = std::abs(in.strides[b]);
    return of_a != of_b ? of_a < of_b : a > b;
  });
}

// Fill axis `at` of every level from axis `axis` of the request.
inline Status fill_levels(const Request& request, int axis, Problem& problem, int at) {
  const i64 n = request.in.shape[axis], offset = request.offset(axis);
  i64 total = 1;
  for (int k = 0; k < request.all_levels(); ++k) {
    const i64 factor = request.factor(k, axis);
    if (factor < 1) return Status::bad_factor;
    if (multiply_overflows(total, factor, &total) || total > 2 * max_extent) total = 2 * max_extent;
    Level& level = problem.level[k];
    level.factor[at] = std::min(factor, 2 * max_extent);
    level.total[at] = total;
    level.voxel_offset[at] = floor_div(offset, total);
    level.extent[at] = block_count(n, total, offset);
    level.stride[at] = request.out_stride(k, axis);
    if (request.out_extent(k, axis) != level.extent[at]) return Status::bad_out;
  }
  return Status::ok;
}

// Return true if an axis can be merged with the faster axis before it: it is not pooled, the faster axis has whole
// blocks only, and the two are contiguous in the input and in every level.
inline bool can_merge(const Problem& problem, int axis) {
  const int fast = axis - 1;
  if (fast < 0) return false;
  for (int k = 0; k < problem.levels; ++k) {
    const Level& level = problem.level[k];
    if (level.total[axis] != 1 || problem.voxel_offset[fast] % level.total[fast] != 0 ||
        problem.extent[fast] % level.total[fast] != 0 ||
        problem.stride[axis] != problem.stride[fast] * problem.extent[fast] ||
        level.stride[axis] != level.stride[fast] * level.extent[fast])
      return false;
  }
  return true;
}

inline void merge_with_faster(Problem& problem, int axis) {
  problem.extent[axis - 1] *= problem.extent[axis];
  for (int k = 0; k < problem.levels; ++k) problem.level[k].extent[axis - 1] *= problem.level[k].extent[axis];
}

// Add an axis of extent 1 to a problem of one voxel, all of whose axes have been dropped.
inline void add_axis_of_one(Problem& problem) {
  problem.ndim = 1;
  problem.extent[0] = problem.weight[0] = 1;
  problem.stride[0] = problem.codec.width;
  problem.voxel_offset[0] = problem.logical[0] = 0;
  for (int k = 0; k < problem.levels; ++k) {
    Level& level = problem.level[k];
    level.factor[0] = level.total[0] = level.extent[0] = 1;
    level.voxel_offset[0] = 0;
    level.stride[0] = problem.codec.width;
  }
}

// Return true if the fastest axis is short and not pooled, such as the channels of an image.
inline bool has_short_unpooled_axis(const Problem& problem) {
  constexpr i64 shortest_row = 64;  // bytes
  if (problem.ndim < 2 || problem.extent[1] <= problem.extent[0]) return false;
  return problem.top().total[0] == 1 && problem.extent[0] * problem.codec.width < shortest_row;
}

inline void swap_fastest_axes(Problem& problem) {
  std::swap(problem.extent[0], problem.extent[1]);
  std::swap(problem.stride[0], problem.stride[1]);
  std::swap(problem.voxel_offset[0], problem.voxel_offset[1]);
  std::swap(problem.logical[0], problem.logical[1]);
  std::swap(problem.weight[0], problem.weight[1]);
  for (int k = 0; k < problem.levels; ++k) {
    Level& level = problem.level[k];
    for (i64* numbers : {level.factor, level.total, level.voxel_offset, level.extent, level.stride})
      std::swap(numbers[0], numbers[1]);
  }
}

// Fill the axes of a problem.
inline Status fill_axes(const Request& request, Problem& problem) {
  const View& in = request.in;
  int order[max_ndim];
  sort_axes(in, order);
  i64 weights[max_ndim], voxels = 1;
  for (int axis = 0; axis < in.ndim; ++axis) {
    weights[axis] = voxels;
    voxels *= in.shape[axis];
  }
  problem.ndim = 0;
  for (int i = 0; i < in.ndim; ++i) {
    const int axis = order[i], at = problem.ndim;
    const Status status = fill_levels(request, axis, problem, at);
    if (status != Status::ok) return status;
    if (in.shape[axis] == 1) continue;
    problem.extent[at] = in.shape[axis];
    problem.stride[at] = in.strides[axis];
    problem.voxel_offset[at] = request.offset(axis);
    problem.logical[at] = axis;
    problem.weight[at] = weights[axis];
    if (can_merge(problem, at))
      merge_with_faster(problem, at);
    else
      ++problem.ndim;
  }
  if (problem.ndim == 0) add_axis_of_one(problem);
  return Status::ok;
}

inline Status check_footprint(const Problem& problem) {
  i64 footprint = 1;
  for (int axis = 0; axis < problem.ndim; ++axis) {
    const i64 widest = std::min(problem.extent[axis], problem.top().total[axis]);
    if (multiply_overflows(footprint, widest, &footprint) || footprint > max_footprint) return Status::footprint;
  }
  return Status::ok;
}

// Arrays of up to this size are taken to be in a cache, as the chunks are that pipelines have just decompressed.
constexpr i64 longest_cached = i64{1} << 23;  // bytes

inline i64 bytes_of(const View& in) {
  i64 bytes = row(in.dtype).width;
  for (int axis = 0; axis < in.ndim; ++axis)
    if (multiply_overflows(bytes, in.shape[axis], &bytes)) return longest_cached + 1;
  return bytes;
}

// Check the whole request and fill the problem, except for its kernels. Empty arrays are checked too, but the resulting
// problem must not be run.
inline Status make_problem(const Request& request, Problem& problem) {
  const View& in = request.in;
  for (int axis = 0; axis < in.ndim; ++axis)
    if (request.offset(axis) > max_extent || request.offset(axis) < -max_extent) return Status::bad_voxel_offset;
  problem.in = in.data;
  problem.levels = request.all_levels();
  problem.progress = nullptr;
  problem.is_cached = bytes_of(in) <= longest_cached;
  problem.lane_stride = request.sums == nullptr ? 0 : request.sums->strides[0];
  problem.codec.width = row(in.dtype).width;
  problem.codec.kind = row(in.dtype).kind;
  problem.codec.swapped = in.swapped;
  for (int k = 0; k < problem.levels; ++k)
    problem.level[k].out = request.is_sums(k) ? request.sums->data : request.outs[k].data;
  const Status status = fill_axes(request, problem);
  return status == Status::ok ? check_footprint(problem) : status;
}

}  // namespace tinypyr
