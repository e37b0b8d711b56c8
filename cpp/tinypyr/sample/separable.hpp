// Points of separable maps, which only scale, flip, shift and swap axes.
//
// Assumes: orders 0 and 1, as many axes in the output as in the input (two or three; any number for order 0), and a
// matrix with one entry per row and column (checked by plan). Each axis of the input then depends on one axis of the
// output. The offsets and fractions along a line are therefore the same for all lines, and rows of the input,
// interpolated along themselves, serve several lines.
// Guarantees: the same values as LineSampler, which computes the ends of lines and all lines at edges. start_tile
// rejects tiles with too few plain points or too many rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../core/arena.hpp"
#include "lines.hpp"

namespace tinypyr {

// Computes tiles of a separable map. Call plan once per map; for each tile start_tile, and if it returns true make for
// each of its lines.
class SeparableSampler {
 public:
  SeparableSampler(const SampleSource& source, StripSampler& strips, LineSampler& lines)
      : source_(source), strips_(strips), lines_(lines) {}

  // Check that the map is separable; then make lines parallel to the output axis that the input's last axis depends on.
  bool plan(AffineMap& map) {
    map_ = &map;
    const int n = map.out->ndim, ndim = source_.ndim;
    if (!source_.has_loops || source_.how.order > 1 || ndim < 2 || n != ndim) return false;
    bool taken[max_ndim] = {};
    for (int h = 0; h < ndim; ++h) {
      along_[h] = -1;
      for (int axis = 0; axis < n; ++axis) {
        if (map.entry(h, axis) == 0) continue;
        if (along_[h] >= 0 || taken[axis]) return false;
        along_[h] = axis;
        taken[axis] = true;
      }
      if (along_[h] < 0) return false;
    }
    if (!allocate()) return false;
    map.fast = along_[ndim - 1];
    return true;
  }

  // Locate the points along the lines of a tile. Return false if the tile is better computed line by line.
  bool start_tile(const i64* first, const i64* size) {
    const int last = source_.ndim - 1, fast = map_->fast;
    const i64 from = map_->start[fast] + first[fast];
    const double before = map_->offset[last], slope = map_->entry(last, fast);
    begin_ = 0;
    end_ = size[fast];
    limit_to_plain(source_.axes[last], before + static_cast<double>(from) * slope, slope, begin_, end_);
    if (end_ - begin_ < shortest_line) return false;
    const Strip& points = strips_.points();
    const Strip along = {end_ - begin_, 1, points.coordinate, rows_.fraction, rows_.offset, points.location};
    return source_.kernels.locate_line(source_.axes + last, source_.how.order, along, from + begin_, &before, &slope) &&
           (source_.how.order == 0 || start_rows(first, size));
  }

  // Compute the n points of a line of the tile.
  Status make(const i64* index, i64 n, char* to) {
    const i64 step = map_->out->strides[map_->fast];
    Place place;
    if (!locate(index, place)) return lines_.make(index, n, to);
    if (source_.how.order == 0)
      source_.nearest(source_.in.data + place.offset, rows_.offset, end_ - begin_, to + begin_ * step, step);
    else
      blend(place, to + begin_ * step, step);
    const Status status = begin_ > 0 ? lines_.make(index, begin_, to) : Status::ok;
    if (status != Status::ok || end_ == n) return status;
    i64 rest[max_ndim];
    std::copy(index, index + map_->out->ndim, rest);
    rest[map_->fast] += end_;
    return lines_.make(rest, n - end_, to + end_ * step);
  }

 private:
  // The position of a line along the input's axes other than the last.
  struct Place {
    double fraction[max_ndim];
    i64 middle[max_ndim], offset;  // offset: bytes
    bool alone[max_ndim];          // there is no further neighbour, and none is needed
  };

  // A box of rows of the input that a tile needs, interpolated along themselves.
  struct Rows {
    i64* offset = nullptr;                          // by point of a line
    double *fraction = nullptr, *values = nullptr;  // by point of a line; by row and point
    u8* is_made = nullptr;                          // by row: true if it has been interpolated
    i64 lowest[max_ndim], count[max_ndim];
  };

  bool allocate() {
    return memory_.allocate([&](auto& take) {
      rows_.offset = take.template array<i64>(strip);
      rows_.fraction = take.template array<double>(strip);
      rows_.values = take.template array<double>(max_rows * strip);
      rows_.is_made = take.template array<u8>(max_rows);
    });
  }

  // Find the rows that the tile needs. Return false if there are none or too many.
  bool start_rows(const i64* first, const i64* size) {
    i64 rows = 1;
    for (int h = 0; h < source_.ndim - 1; ++h) {
      const SampleAxis& axis = source_.axes[h];
      const i64 start = first[along_[h]], count = size[along_[h]];
      const double a = coordinate(h, start), b = coordinate(h, start + count - 1), most = std::max(a, b);
      const double low = std::max(axis.low, std::min(a, b));
      const double high = is_on_end(axis, most) ? most : std::min(axis.high, most);
      if (!(low <= high)) return false;
      rows_.lowest[h] = static_cast<i64>(std::min(std::floor(low), axis.top));
      rows_.count[h] = static_cast<i64>(std::floor(high)) + 2 - rows_.lowest[h];
      if (rows_.count[h] > max_rows) return false;
      rows *= rows_.count[h];
    }
    if (rows > max_rows) return false;
    std::memset(rows_.is_made, 0, static_cast<std::size_t>(rows));
    return true;
  }

  // Return the coordinate along input axis h at an index of the output. Points slightly beyond the array count as on
  // its edge.
  double coordinate(int h, i64 index) const {
    const int axis = along_[h];
    const double x = map_->offset[h] + map_->index(axis, index) * map_->entry(h, axis);
    const double last = static_cast<double>(source_.axes[h].extent - 1), reach = source_.axes[h].reach;
    return x < 0 ? (x >= -reach ? 0 : x) : x > last ? (x - last <= reach ? last : x) : x;
  }
  static bool is_on_end(const SampleAxis& axis, double x) {
    return axis.ends && x == static_cast<double>(axis.extent - 1) && x > axis.high;
  }

  // Locate a line. Return false if it needs voxels outside the part.
  bool locate(const i64* index, Place& place) const {
    place.offset = 0;
    for (int h = 0; h < source_.ndim - 1; ++h) {
      const SampleAxis& axis = source_.axes[h];
      const double x = coordinate(h, index[along_[h]]);
      const bool ends = is_on_end(axis, x);
      if (!ends && !(x >= axis.low && x <= axis.high)) return false;
      place.alone[h] = ends || axis.step == 0;
      const double middle = std::min(std::floor(source_.how.order == 0 ? x + 0.5 : x), axis.top);
      place.fraction[h] = x - middle;
      place.middle[h] = static_cast<i64>(middle);
      place.offset += (place.middle[h] - axis.first) * axis.stride;
    }
    return true;
  }

  // Interpolate between rows, each of which is computed when it is first needed.
  void blend(const Place& place, char* to, i64 step) {
    const int ndim = source_.ndim;
    const i64 n = end_ - begin_;
    const double* row[4];
    for (int r = 0; r < 1 << (ndim - 1); ++r) {
      i64 offset = 0, number = 0;
      for (int h = 0; h < ndim - 1; ++h) {
        const i64 at = place.middle[h] + (place.alone[h] ? 0 : r >> (ndim - 2 - h) & 1);
        offset += (at - source_.axes[h].first) * source_.axes[h].stride;
        number = number * rows_.count[h] + at - rows_.lowest[h];
      }
      double* values = rows_.values + number * strip;
      row[r] = values;
      if (rows_.is_made[number]) continue;
      rows_.is_made[number] = 1;
      source_.linear(1, source_.in.data + offset, rows_.offset, rows_.fraction, n, values);
    }
    double value[strip];
    double* const values = source_.direct(to, step, value);
    source_.kernels.blend[ndim - 2](row, place.fraction, n, values);
    if (values == value) source_.store(value, n, to, step);
  }

  static constexpr i64 max_rows = 512, shortest_line = 16;

  const SampleSource& source_;
  StripSampler& strips_;
  LineSampler& lines_;
  const AffineMap* map_ = nullptr;
  int along_[max_ndim];      // by axis of the input: the axis of the output that it depends on
  i64 begin_ = 0, end_ = 0;  // the points of a line that are plain along the input's last axis
  Rows rows_;
  Arena memory_;
};

}  // namespace tinypyr
