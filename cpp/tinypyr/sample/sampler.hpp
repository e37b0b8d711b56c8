// Interpolation at the points of an affine map or of a list: the choice of the strategy for each point.
//
//   points()  strips                   (sample/strips.hpp)
//   affine()  by tile: separable maps  (sample/separable.hpp), if the map is separable and most of the tile is plain
//                      else lines      (sample/lines.hpp): plain points in one run, the others by strips
//   in strips: plain points by loops   (kernels/samples.inl)
//              edge points one by one  (sample/edge_points.hpp)
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/index.hpp"
#include "../core/view.hpp"
#include "lines.hpp"
#include "sample_source.hpp"
#include "separable.hpp"
#include "strips.hpp"

namespace tinypyr {

// Computes samples. Call plan first.
class Sampler {
 public:
  Sampler(const View& in, const Sampling& how, const SampleKernels& kernels)
      : source_(in, how, kernels), strips_(source_), lines_(source_, strips_), separable_(source_, strips_, lines_) {}

  // Check the arguments, and allocate memory. Only the dtype of out matters.
  Status plan(const View& out) {
    const Status status = source_.check(out);
    if (status != Status::ok) return status;
    return strips_.allocate() ? Status::ok : Status::out_of_memory;
  }

  // Compute an output whose voxel o, numbered from `start` on, is the value at matrix * o + offset.
  Status affine(const double* matrix, const double* offset, const i64* start, const View& out) {
    const int n = out.ndim;
    if (n < 1) return Status::bad_out;
    AffineMap map = {matrix, offset, start, &out, fastest_axis(out)};
    const bool is_separable = separable_.plan(map);
    lines_.start(map);
    // Neighbouring lines are computed one after the other, in tiles, so that most of their input is still in the cache.
    i64 tile[max_ndim], first[max_ndim], size[max_ndim];
    int order[max_ndim];
    for (int axis = 0; axis < n; ++axis) {
      tile[axis] = axis == map.fast ? strip : n == 2 ? image_edge : n - axis <= 3 ? tile_edge : 1;
      order[axis] = n - 1 - axis;
    }
    const IndexRange tiles{AxisList{order, n}, out.shape, nullptr, tile};
    Status status = Status::ok;
    tiles.each(first, [&] {
      for (int axis = 0; axis < n; ++axis) size[axis] = std::min(tile[axis], out.shape[axis] - first[axis]);
      const bool by_rows = is_separable && separable_.start_tile(first, size);
      status = each_line(map, first, size, [&](const i64* index, i64 points, char* to) {
        return by_rows ? separable_.make(index, points, to) : lines_.make(index, points, to);
      });
      return status == Status::ok;
    });
    return status;
  }

  // Compute an output whose voxel i is the value at coordinates (0, i), (1, i), ...
  Status points(const View& coordinates, const View& out) {
    Strip& points = strips_.points();
    for (i64 x = 0; x < out.shape[0]; x += strip) {
      points.n = std::min(strip, out.shape[0] - x);
      for (int h = 0; h < source_.ndim; ++h) {
        const char* from = coordinates.data + h * coordinates.strides[0] + x * coordinates.strides[1];
        double* to = points.coordinate + h * strip;
        for (i64 i = 0; i < points.n; ++i) {
          std::memcpy(to + i, from + i * coordinates.strides[1], sizeof(double));
          to[i] += source_.how.pad;
        }
      }
      const Status status = strips_.make(out.data + x * out.strides[0], out.strides[0]);
      if (status != Status::ok) return status;
    }
    return Status::ok;
  }

 private:
  // Return the axis with the smallest stride.
  static int fastest_axis(const View& out) {
    int fast = out.ndim - 1;
    for (int axis = out.ndim - 1; axis >= 0; --axis)
      if (out.shape[axis] > 1 && (out.shape[fast] <= 1 || std::abs(out.strides[axis]) < std::abs(out.strides[fast])))
        fast = axis;
    return fast;
  }

  // Call visit(index, points, output) for the lines of a tile until it returns a status other than ok.
  template <class Visit>
  static Status each_line(const AffineMap& map, const i64* first, const i64* size, Visit visit) {
    const View& out = *map.out;
    i64 index[max_ndim], end[max_ndim];
    int order[max_ndim], count = 0;
    char* to = out.data;
    for (int axis = out.ndim - 1; axis >= 0; --axis) {
      if (axis != map.fast) order[count++] = axis;
      index[axis] = first[axis];
      end[axis] = first[axis] + size[axis];
      to += first[axis] * out.strides[axis];
    }
    const IndexRange lines{AxisList{order, count}, end, first};
    Status status;
    do status = visit(index, size[map.fast], to);
    while (status == Status::ok && lines.next(index, [&](int axis, i64 n) { to += n * out.strides[axis]; }));
    return status;
  }

  static constexpr i64 tile_edge = 16, image_edge = 64;

  SampleSource source_;
  StripSampler strips_;
  LineSampler lines_;
  SeparableSampler separable_;
};

}  // namespace tinypyr
