// The rules of boundary modes: the points of an axis that are plain, and the voxels that replace those beyond the
// array. No other file depends on the mode.
//
// Modes follow scipy.ndimage, with which tests compare: reflect (d c b a | a b c d), mirror (d c b | a b c d), nearest,
// grid_wrap (repeated copies), wrap (copies that share their border voxels), grid_constant (the array continues with
// `fill`) and constant (points beyond the border voxels' centres are `fill`). border is like constant, but points
// are `fill` only from half a voxel beyond the centres of the border voxels.
#pragma once

#include <algorithm>
#include <cmath>

#include "../tinypyr.hpp"
#include "kernels.hpp"

namespace tinypyr {

class Boundary {
 public:
  Boundary(BoundaryMode mode, int order) : mode_(mode), order_(order) {}

  // Fill in an axis whose extent, first, count and stride are set.
  void describe(SampleAxis& axis) const {
    const bool passes_end = axis.first + axis.count > axis.extent;
    const i64 at_hand = passes_end ? axis.extent - axis.first : axis.count;
    const bool has_end = axis.first + at_hand == axis.extent;
    const double last = static_cast<double>(axis.extent - 1);
    axis.step = axis.extent > 1 ? axis.stride : 0;
    axis.clamped = mode_ == BoundaryMode::nearest && order_ < 2;  // splines continue smoothly into the border's voxels
    axis.cut = mode_ == BoundaryMode::constant || mode_ == BoundaryMode::border;
    axis.margin = mode_ == BoundaryMode::border ? 0.5 : 0;
    axis.reach = axis.clamped ? HUGE_VAL : axis.margin;
    axis.ends = axis.reach > 0 && has_end && at_hand > 0;
    axis.low = std::max(0.0, lowest(static_cast<double>(axis.first + order_ / 2)));
    axis.high = std::min(last, below(static_cast<double>(axis.first + at_hand - order_ + order_ / 2)));
    axis.top = last;
    // In these modes the voxel before the last also replaces the one beyond the last. A point on the last voxel is
    // therefore located at fraction 1 of the interval between the last two.
    if (order_ == 1 && (mirrors_last() || axis.extent == 1)) {
      axis.top = static_cast<double>(std::max<i64>(axis.extent - 2, 0));
      if (has_end && at_hand > (axis.extent > 1)) axis.high = last;
    }
    if (axis.count == 0) axis.high = -1;
    axis.line_high = std::min(axis.high, std::nextafter(axis.top + 1, -HUGE_VAL));
  }

  // Map a coordinate to the equivalent coordinate inside the array.
  double fold(double x, const SampleAxis& axis) const {
    const double n = static_cast<double>(axis.extent), last = n - 1;
    if (x >= 0 && x <= last) return x;
    switch (mode_) {
      case BoundaryMode::border:
        return x < 0 ? 0 : last;
      case BoundaryMode::mirror: {
        if (axis.extent == 1) return 0;
        const double at = std::fmod(std::abs(x), 2 * last);
        return at >= (x < 0 ? last : n) ? 2 * last - at : at;  // points halfway are mapped as in scipy
      }
      case BoundaryMode::reflect: {
        const double at = std::fmod(std::abs(x + 0.5), 2 * n);
        return (at > n ? 2 * n - at : at) - 0.5;
      }
      case BoundaryMode::wrap: {  // the border voxel is the last one below the array, and the first one above it
        if (axis.extent == 1) return 0;
        const double at = std::fmod(std::abs(x), last);
        return x < 0 ? last - at : at;
      }
      case BoundaryMode::grid_wrap: {
        const double at = std::fmod(x, n);
        return at < 0 ? at + n : at;
      }
      default:
        return x;
    }
  }

  // Limit a coordinate whose neighbours' indices could overflow, where this changes no value.
  double limit(double x, const SampleAxis& axis) const {
    if (mode_ != BoundaryMode::nearest) return x;
    const double reach = static_cast<double>(axis.extent) + max_order;
    return x < -reach ? -reach : x > 2 * reach ? 2 * reach : x;
  }

  // Return the middle neighbour of a coordinate that has been folded.
  double middle(double x, const SampleAxis& axis) const {
    const double middle = std::floor(order_ % 2 == 0 ? x + 0.5 : x);
    const bool is_limited = order_ == 1 && mirrors_last() && x <= static_cast<double>(axis.extent - 1);
    return is_limited ? std::min(middle, axis.top) : middle;
  }

  // Return the voxel that replaces a neighbour, which may be outside an array of n voxels; a negative number if there
  // is none.
  i64 neighbour(i64 at, i64 n) const {
    if (at >= 0 && at < n) return at;
    switch (mode_) {
      case BoundaryMode::grid_constant:
        return -1;
      case BoundaryMode::nearest:
        return at < 0 ? 0 : n - 1;
      case BoundaryMode::grid_wrap:
        return at - floor_div(at, n) * n;
      case BoundaryMode::reflect: {
        const i64 place = at - floor_div(at, 2 * n) * 2 * n;
        return place < n ? place : 2 * n - 1 - place;
      }
      default: {
        if (n == 1) return 0;
        const i64 period = 2 * n - 2, place = at - floor_div(at, period) * period;
        return place < n ? place : period - place;
      }
    }
  }

 private:
  // The neighbour after the last voxel is the one before it.
  bool mirrors_last() const {
    return mode_ == BoundaryMode::constant || mode_ == BoundaryMode::mirror || mode_ == BoundaryMode::wrap;
  }

  // Return the smallest coordinate whose middle neighbour is at least this one, and the largest coordinate whose middle
  // neighbour is below it.
  double lowest(double middle) const {
    if (order_ % 2 == 1) return middle;
    double x = middle - 0.5;  // rounded like the sum of x and 1/2
    for (;;) {
      const double less = std::nextafter(x, -HUGE_VAL);
      if (!(less + 0.5 >= middle)) return x;
      x = less;
    }
  }
  double below(double middle) const { return std::nextafter(lowest(middle), -HUGE_VAL); }

  BoundaryMode mode_;
  int order_;
};

}  // namespace tinypyr
