// Points computed one by one: those with neighbours beyond the array or the available part, and those without loops.
//
// Assumes: nothing; supports every order, dtype, dimension and boundary mode.
// Guarantees: for plain points, the same sums in the same order as the loops (kernels/samples.inl).
#pragma once

#include <cmath>
#include <cstring>

#include "sample_source.hpp"
#include "splines.hpp"

namespace tinypyr {

class EdgePoints {
 public:
  explicit EdgePoints(const SampleSource& source) : source_(source) {}

  // Write the value at coordinate[0], coordinate[strip], ... Return false if it needs a voxel outside the part.
  bool make(const double* coordinate, char* to) {
    for (int h = 0; h < source_.ndim; ++h) {
      const SampleAxis& axis = source_.axes[h];
      const double x = source_.boundary.limit(coordinate[h * strip], axis);
      if (!(std::abs(x) < far)) return source_.fill(to), true;  // not a number, or too far to tell neighbours apart
      if (!find_taps(source_.boundary.fold(x, axis), axis, taps_[h])) return false;
    }
    if (source_.how.order == 0) {
      copy_nearest(to);
    } else {
      const double value = sum(0, source_.in.data, false);
      source_.store(&value, 1, to, source_.out_width);
    }
    return true;
  }

 private:
  // The neighbours of a point along one axis. missing: outside an array that continues with `fill`.
  struct Taps {
    bool missing[max_order + 1];
    i64 offset[max_order + 1];
    double weight[max_order + 1];
  };

  bool find_taps(double x, const SampleAxis& axis, Taps& taps) const {
    const int order = source_.how.order;
    const double middle = source_.boundary.middle(x, axis);
    const i64 start = static_cast<i64>(middle) - order / 2;
    for (int k = 0; k <= order; ++k) {
      const i64 at = source_.boundary.neighbour(start + k, axis.extent);
      taps.missing[k] = at < 0;
      i64 place = at - axis.first;
      if (place < 0) place += axis.extent;
      if (at >= 0 && place >= axis.count) return false;
      taps.offset[k] = place * axis.stride;
    }
    with_order(order, [&](auto known) { spline_weights<known>(x - middle, taps.weight); });
    return true;
  }

  void copy_nearest(char* to) const {
    i64 offset = 0;
    for (int h = 0; h < source_.ndim; ++h) {
      if (taps_[h].missing[0]) return source_.fill(to);
      offset += taps_[h].offset[0];
    }
    std::memcpy(to, source_.in.data + offset, static_cast<std::size_t>(source_.width));
  }

  // Return the weighted sum over the axes from h on. missing: the voxels do not exist.
  double sum(int h, const char* from, bool missing) const {
    double total = 0;
    for (int k = 0; k <= source_.how.order; ++k) {
      const bool none = missing || taps_[h].missing[k];
      const char* at = none ? from : from + taps_[h].offset[k];
      const double value = h < source_.ndim - 1 ? sum(h + 1, at, none) : none ? source_.how.fill : read(at);
      total = k == 0 ? value * taps_[h].weight[0] : total + value * taps_[h].weight[k];
    }
    return total;
  }

  double read(const char* from) const {
    double value = 0;
    const auto as = [&](auto zero) {
      decltype(zero) voxel;
      std::memcpy(&voxel, from, sizeof(voxel));
      value = static_cast<double>(voxel);
    };
    const Kind kind = row(source_.in.dtype).kind;
    if (kind == Kind::floating)
      source_.width == 4 ? as(0.0f) : as(0.0);
    else if (kind == Kind::signed_integer)
      with_unsigned(source_.width, [&](auto u) { as(std::make_signed_t<decltype(u)>{}); });
    else
      with_unsigned(source_.width, as);
    return value;
  }

  static constexpr double far = 2251799813685248.0;  // 2^51: coordinates beyond have no fractions

  const SampleSource& source_;
  Taps taps_[max_ndim];
};

}  // namespace tinypyr
