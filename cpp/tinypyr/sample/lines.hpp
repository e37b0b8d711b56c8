// Points of an affine map, line by line.
//
// Assumes: nothing about the matrix.
// Guarantees: coordinates are summed from the output's own index in the whole, term by term in the caller's order of
// axes, so that values do not depend on the division of the output or the input into parts.
#pragma once

#include <algorithm>
#include <cmath>

#include "../core/index.hpp"
#include "strips.hpp"

namespace tinypyr {

// The map of an output: voxel o, numbered from `start` on, has the value at matrix * o + offset.
struct AffineMap {
  const double *matrix, *offset;
  const i64* start;
  const View* out;
  int fast;  // the axis of the output that lines are parallel to

  double entry(int h, int axis) const { return matrix[h * out->ndim + axis]; }
  double index(int axis, i64 at) const { return static_cast<double>(start[axis] + at); }
};

// Limit [begin, end) to the points of a line that are plain along an axis: an estimate that excludes one point at
// either end.
inline void limit_to_plain(const SampleAxis& axis, double before, double slope, i64& begin, i64& end) {
  const double low = axis.low, high = axis.line_high, last = before + static_cast<double>(end - 1) * slope;
  if (begin >= end || (before >= low && before <= high && last >= low && last <= high)) return;
  const double from = ((slope > 0 ? low : high) - before) / slope, to = ((slope > 0 ? high : low) - before) / slope;
  if (!(slope != 0 && from < static_cast<double>(end) && to > static_cast<double>(begin))) {
    end = begin;
    return;
  }
  if (from > static_cast<double>(begin)) begin = static_cast<i64>(from) + 2;
  if (to < static_cast<double>(end - 1)) end = static_cast<i64>(to);
  end = std::max(begin, end);
}

// Computes lines of points. Call start once per map, then make.
class LineSampler {
 public:
  LineSampler(const SampleSource& source, StripSampler& strips) : source_(source), strips_(strips) {}

  void start(const AffineMap& map) {
    map_ = &map;
    const int n = map.out->ndim, next = map.fast < n - 1 ? n - 1 : n - 2;  // the axis to the next line of a tile
    ahead_ = 0;
    if (next < 0 || source_.how.order != 0) return;  // other orders compute enough to hide the latency
    for (int h = 0; h < source_.ndim; ++h) {
      const double further = lines_ahead * map.entry(h, next);
      if (std::abs(further) < strip) ahead_ += static_cast<i64>(std::floor(further + 0.5)) * source_.axes[h].stride;
    }
  }

  // Compute n points from this index on. Coordinates rise or fall along a line, so its plain points are one run.
  Status make(const i64* index, i64 n, char* to) {
    const i64 step = map_->out->strides[map_->fast], from = map_->start[map_->fast] + index[map_->fast];
    if (step == source_.out_width) prefetch_to_write(to, n * step);  // prefetched while coordinates are computed
    Coordinates line;
    start_line(index, line);
    Strip& points = strips_.points();
    i64 begin = 0, end = line.afters == 0 && source_.how.pad == 0 && source_.has_loops ? n : 0;
    for (int h = 0; h < source_.ndim; ++h)
      limit_to_plain(source_.axes[h], line.before[h] + static_cast<double>(from) * line.slope[h], line.slope[h], begin,
                     end);
    points.n = end - begin;
    if (points.n > 0 &&
        source_.kernels.locate_line(source_.axes, source_.how.order, points, from + begin, line.before, line.slope)) {
      if (ahead_ != 0)
        for (i64 i = 0; i < points.n; i += points_per_fetch) prefetch(source_.in.data + points.offset[i] + ahead_, 1);
      strips_.make_plain(0, points.n, to + begin * step, step);
    } else {
      begin = end = 0;
    }
    const Status status = make_any(line, from, 0, begin, to, step);
    return status == Status::ok ? make_any(line, from, end, n, to, step) : status;
  }

 private:
  // Coordinate h of point i of a line is before[h] + i * slope[h] + after[h][0] + ...
  struct Coordinates {
    int afters;
    double before[max_ndim], slope[max_ndim], after[max_ndim][max_ndim];
  };

  TINYPYR_INLINE void start_line(const i64* index, Coordinates& line) const {
    const int fast = map_->fast, n = map_->out->ndim;
    line.afters = n - 1 - fast;
    for (int h = 0; h < source_.ndim; ++h) {
      line.before[h] = map_->offset[h];
      line.slope[h] = map_->entry(h, fast);
      for (int axis = 0; axis < n; ++axis) {
        const double term = map_->index(axis, index[axis]) * map_->entry(h, axis);
        if (axis < fast)
          line.before[h] += term;
        else if (axis > fast)
          line.after[h][axis - fast - 1] = term;
      }
    }
  }

  // Compute the points [begin, end) of a line, plain or not. from: the index of the line's first point.
  Status make_any(const Coordinates& line, i64 from, i64 begin, i64 end, char* to, i64 step) {
    if (begin >= end) return Status::ok;
    Strip& points = strips_.points();
    points.n = end - begin;
    for (int h = 0; h < source_.ndim; ++h)
      source_.kernels.advance(points.coordinate + h * strip, points.n, from + begin, line.before[h], line.slope[h],
                              line.after[h], line.afters, source_.how.pad);
    return strips_.make(to + begin * step, step);
  }

  // Input is prefetched some lines ahead, near every eighth point of a line, because lines are too short, and their
  // voxels too far apart, for hardware prefetchers.
  static constexpr i64 lines_ahead = 4, points_per_fetch = 8;

  const SampleSource& source_;
  StripSampler& strips_;
  const AffineMap* map_ = nullptr;
  i64 ahead_ = 0;  // bytes
};

}  // namespace tinypyr
