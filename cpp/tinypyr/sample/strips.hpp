// Points with arbitrary coordinates, a strip at a time: runs of plain points by loops, the others one by one.
//
// Assumes: nothing about the points.
// Guarantees: each value depends on its own coordinates only. Status::incomplete is returned if a needed voxel is
// outside the part.
#pragma once

#include <cstring>

#include "../core/arena.hpp"
#include "edge_points.hpp"
#include "sample_source.hpp"

namespace tinypyr {

// Computes strips of points. Call allocate first; then set points().n and the coordinates, and call make.
class StripSampler {
 public:
  explicit StripSampler(const SampleSource& source) : source_(source), edge_points_(source) {}

  // Allocate memory. Return false if memory runs out.
  bool allocate() {
    points_.ndim = source_.ndim;
    return memory_.allocate([&](auto& take) {
      points_.coordinate = take.template array<double>(strip * source_.ndim);
      points_.fraction = take.template array<double>(strip * source_.ndim);
      points_.offset = take.template array<i64>(strip);
      points_.location = take.template array<u8>(strip);
    });
  }

  Strip& points() { return points_; }

  Status make(char* to, i64 to_stride) {
    const i64 n = points_.n;
    const bool has_loops = source_.has_loops;
    if (source_.kernels.locate(source_.axes, source_.how.order, points_)) {
      if (has_loops) return make_plain(0, n, to, to_stride), Status::ok;
      std::memset(points_.location, edge, static_cast<std::size_t>(n));
    }
    for (i64 i = 0, end = 0; i < n; i = end) {
      const u8 location = location_of(i);
      end = i + 1;
      if (location == edge) {
        if (!edge_points_.make(points_.coordinate + i, to + i * to_stride)) return Status::incomplete;
        continue;
      }
      while (end < n && points_.location[end] == location) ++end;
      if (location == plain)
        make_plain(i, end - i, to + i * to_stride, to_stride);
      else
        for (i64 j = i; j < end; ++j) source_.fill(to + j * to_stride);
    }
    return Status::ok;
  }

  // Compute the values of plain points that have been located.
  TINYPYR_INLINE void make_plain(i64 first, i64 n, char* to, i64 to_stride) const {
    source_.make_plain(points_.offset + first, points_.fraction + first, n, to, to_stride);
  }

 private:
  u8 location_of(i64 i) const {
    const u8 location = points_.location[i];
    return location == plain && !source_.has_loops ? static_cast<u8>(edge) : location;
  }

  const SampleSource& source_;
  EdgePoints edge_points_;
  Strip points_ = {};
  Arena memory_;
};

}  // namespace tinypyr
