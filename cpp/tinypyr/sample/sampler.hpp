// Values between voxels: nearest, linear, and splines of given coefficients, at places that an affine map or a list says.
//
// Places are computed from the output's own coordinates in the whole, term by term in the caller's order of axes, so that
// no value depends on how the output or the input was cut. Places beyond the array follow the extension modes of
// scipy.ndimage, which tests compare with: reflect (d c b a | a b c d), mirror (d c b | a b c d), nearest, grid_wrap (one
// copy after the other), wrap (copies that share their border voxels), grid_constant (an array that goes on as `fill`) and
// constant (nothing between the border voxels and beyond).
#pragma once

#include <cmath>

#include "../core/problem.hpp"
#include "kernels.hpp"

namespace tinypyr {

class Sampler {
 public:
  Sampler(const View& in, const Sampling& how, const SampleKernels& kernels) : in_(in), how_(how), kernels_(kernels) {}

  // Check what is asked for, and get ready. Out: only its dtype counts.
  Status plan(const View& out) {
    ndim_ = in_.ndim;
    width_ = row(in_.dtype).width;
    log2_width_ = width_ == 1 ? 0 : width_ == 2 ? 1 : width_ == 4 ? 2 : 3;
    if (ndim_ < 1 || how_.order < 0 || how_.order > max_order || in_.swapped || out.swapped) return Status::bad_view;
    if (how_.order == 0 ? out.dtype != in_.dtype : how_.order > 1 && in_.dtype != Dtype::float64)
      return Status::bad_out;
    bool loops = ndim_ <= 3;
    for (int h = 0; h < ndim_; ++h) {
      SampleAxis& axis = axes_[h];
      axis.extent = how_.extent[h];
      axis.first = how_.first[h];
      axis.count = in_.shape[h];
      axis.stride = in_.strides[h];
      if (axis.extent < 1 || axis.extent > max_extent || axis.first < 0 || axis.first >= axis.extent ||
          axis.count > axis.extent)
        return Status::bad_view;
      const bool round_the_end = axis.first + axis.count > axis.extent;
      const i64 at_hand = round_the_end ? axis.extent - axis.first : axis.count;
      axis.step = axis.extent > 1 ? axis.stride : 0;
      axis.clamped = how_.boundary_mode == BoundaryMode::nearest &&
                     how_.order < 2;  // (splines go on smoothly into the border's voxels)
      axis.cut = how_.boundary_mode == BoundaryMode::constant || how_.boundary_mode == BoundaryMode::border;
      axis.margin = how_.boundary_mode == BoundaryMode::border ? 0.5 : 0;
      axis.top = static_cast<double>(axis.extent - 1);
      axis.held = axis.clamped ? HUGE_VAL : axis.margin;
      const double last = static_cast<double>(axis.extent - 1);
      const bool whole_end = axis.first + at_hand == axis.extent;
      axis.ends = axis.held > 0 && whole_end && at_hand > 0;
      ends_before_ = how_.boundary_mode == BoundaryMode::constant || how_.boundary_mode == BoundaryMode::mirror ||
                     how_.boundary_mode == BoundaryMode::wrap;
      axis.low = std::max(0.0, lowest(static_cast<double>(axis.first + how_.order / 2)));
      axis.high = std::min(last, below(static_cast<double>(axis.first + at_hand - how_.order + how_.order / 2)));
      if (how_.order == 1) {
        // Where the voxel before the last stands for the one beyond, too, the last one lies at 1 between that and itself.
        if (ends_before_ || axis.extent == 1) {
          axis.top = static_cast<double>(std::max<i64>(axis.extent - 2, 0));
          if (whole_end && at_hand > (axis.extent > 1)) axis.high = last;
        }
      }
      if (axis.count == 0) axis.high = -1;
      axis.line_high = std::min(axis.high, std::nextafter(axis.top + 1, -HUGE_VAL));
      loops = loops && (how_.order < 2 || h < ndim_ - 1 || axis.stride == 8);
    }
    loops_ = loops || how_.order == 0;  // (plain voxels of order 0 have them in any dimension)
    for (int p = 0; p < 4; ++p) {
      corner_[p] = 0;
      for (int bit = 0; bit < ndim_ - 1 && bit < 2; ++bit)
        if (p >> bit & 1) corner_[p] += axes_[ndim_ - 2 - bit].step;
    }
    out_dtype_ = out.dtype;
    out_width_ = row(out.dtype).width;
    const i64 rows = 8 * strip * ndim_;
    if (!memory_.reserve(2 * rows + 8 * strip + strip)) return Status::out_of_memory;
    strip_.ndim = ndim_;
    strip_.coordinate = reinterpret_cast<double*>(memory_.data());
    strip_.fraction = reinterpret_cast<double*>(memory_.data() + rows);
    strip_.offset = reinterpret_cast<i64*>(memory_.data() + 2 * rows);
    strip_.where = reinterpret_cast<u8*>(memory_.data() + 2 * rows + 8 * strip);
    return Status::ok;
  }

  // Voxel o of the output, whose first is `start`, is that at matrix * o + offset.
  Status affine(const double* matrix, const double* offset, const i64* start, const View& out) {
    const int n = out.ndim;
    if (n < 1) return Status::bad_out;
    int fast = n - 1;  // rows along the axis whose voxels lie closest together
    for (int axis = n - 1; axis >= 0; --axis)
      if (out.shape[axis] > 1 && (out.shape[fast] <= 1 || std::abs(out.strides[axis]) < std::abs(out.strides[fast])))
        fast = axis;
    map_ = {matrix, offset, start, &out, fast};
    const bool by_rows = plan_rows();
    const int next = map_.fast < n - 1 ? n - 1 : n - 2;  // to the next row of a tile
    ahead_ = 0;
    for (int h = 0; h < ndim_ && next >= 0 && how_.order == 0; ++h) {  // (else there is enough to do meanwhile)
      const double further = rows_ahead * matrix[h * n + next];
      if (std::abs(further) < strip) ahead_ += static_cast<i64>(std::floor(further + 0.5)) * axes_[h].stride;
    }
    // Strips of neighbouring rows one after the other, in tiles: what they read lies close together, so that most of it is
    // still in the cache.
    i64 tile[max_ndim], first[max_ndim] = {}, size[max_ndim];
    for (int axis = 0; axis < n; ++axis)
      tile[axis] = axis == map_.fast ? strip : n == 2 ? image_edge : n - axis <= 3 ? tile_edge : 1;
    for (;;) {
      for (int axis = 0; axis < n; ++axis) size[axis] = std::min(tile[axis], out.shape[axis] - first[axis]);
      const Status status = by_rows && start_tile(first, size) ? tile_of_rows(first, size) : tile_of_lines(first, size);
      if (status != Status::ok) return status;
      int axis = n - 1;
      for (; axis >= 0; --axis) {
        if ((first[axis] += tile[axis]) < out.shape[axis]) break;
        first[axis] = 0;
      }
      if (axis < 0) return Status::ok;
    }
  }

  // Voxel i of the output is that at coordinates (0, i), (1, i), ...
  Status points(const View& coordinates, const View& out) {
    for (i64 x = 0; x < out.shape[0]; x += strip) {
      strip_.n = std::min(strip, out.shape[0] - x);
      for (int h = 0; h < ndim_; ++h) {
        const char* from = coordinates.data + h * coordinates.strides[0] + x * coordinates.strides[1];
        double* to = strip_.coordinate + h * strip;
        for (i64 i = 0; i < strip_.n; ++i) {
          std::memcpy(to + i, from + i * coordinates.strides[1], sizeof(double));
          to[i] += how_.pad;
        }
      }
      const Status status = make(out.data + x * out.strides[0], out.strides[0]);
      if (status != Status::ok) return status;
    }
    return Status::ok;
  }

 private:
  // Visit the first voxels of a tile's rows, until visit does not say ok.
  template <class Visit>
  Status each_row(const i64* first, const i64* size, Visit visit) {
    const View& out = *map_.out;
    i64 index[max_ndim];
    char* to = out.data;
    for (int axis = 0; axis < out.ndim; ++axis) {
      index[axis] = first[axis];
      to += first[axis] * out.strides[axis];
    }
    for (;;) {
      const Status status = visit(index, to);
      if (status != Status::ok) return status;
      int axis = out.ndim - 1;
      for (; axis >= 0; --axis) {
        if (axis == map_.fast) continue;
        to += out.strides[axis];
        if (++index[axis] < first[axis] + size[axis]) break;
        to -= size[axis] * out.strides[axis];
        index[axis] = first[axis];
      }
      if (axis < 0) return Status::ok;
    }
  }

  Status tile_of_lines(const i64* first, const i64* size) {
    return each_row(first, size, [&](const i64* index, char* to) { return line(index, size[map_.fast], to); });
  }

  // n voxels of a row, wherever they lie: coordinates rise or fall along it, so those that are plain come in one run.
  Status line(const i64* index, i64 n, char* to) {
    const View& out = *map_.out;
    const int fast = map_.fast, afters = out.ndim - 1 - fast;
    const i64 from = map_.start[fast] + index[fast], step = out.strides[fast];
    if (step == out_width_) prefetch_to_write(to, n * step);  // (on its way here while places are computed)
    double before[max_ndim], slope[max_ndim], after[max_ndim][max_ndim];
    for (int h = 0; h < ndim_; ++h) {
      before[h] = map_.offset[h];
      slope[h] = map_.matrix[h * out.ndim + fast];
      for (int axis = 0; axis < out.ndim; ++axis) {
        const double term = static_cast<double>(map_.start[axis] + index[axis]) * map_.matrix[h * out.ndim + axis];
        if (axis < fast)
          before[h] += term;
        else if (axis > fast)
          after[h][axis - fast - 1] = term;
      }
    }
    const auto anywhere = [&](i64 begin, i64 end) {
      if (begin >= end) return Status::ok;
      strip_.n = end - begin;
      for (int h = 0; h < ndim_; ++h)
        kernels_.advance(strip_.coordinate + h * strip, strip_.n, from + begin, before[h], slope[h], after[h], afters,
                         how_.pad);
      return make(to + begin * step, step);
    };
    i64 begin = 0, end = afters == 0 && how_.pad == 0 && loops_ ? n : 0;
    for (int h = 0; h < ndim_; ++h)
      narrow(axes_[h], before[h] + static_cast<double>(from) * slope[h], slope[h], begin, end);
    strip_.n = end - begin;
    if (strip_.n > 0 && kernels_.locate_line(axes_, how_.order, strip_, from + begin, before, slope)) {
      if (ahead_ != 0)
        for (i64 i = 0; i < strip_.n; i += fetched_each) prefetch(in_.data + strip_.offset[i] + ahead_, 1);
      make_plain(0, strip_.n, to + begin * step, step);
    } else {
      begin = end = 0;
    }
    const Status status = anywhere(0, begin);
    return status == Status::ok ? anywhere(end, n) : status;
  }

  // Those of the voxels from begin to end of a line that are plain along an axis: a guess, one voxel short at either end.
  static void narrow(const SampleAxis& axis, double before, double slope, i64& begin, i64& end) {
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

  // --- maps that only scale, flip, move and swap axes ---
  //
  // Along each axis the output depends on one axis of the input. Places along a row are the same for all rows, and rows of
  // the input, once interpolated along themselves, serve several rows of the output.

  // Whether this map is one, and its rows are interpolated here; the axis that rows are along then is that of the input's
  // last.
  bool plan_rows() {
    const int n = map_.out->ndim;
    if (!loops_ || how_.order > 1 || ndim_ < 2 || n != ndim_) return false;
    bool taken[max_ndim] = {};
    for (int h = 0; h < ndim_; ++h) {
      along_[h] = -1;
      for (int axis = 0; axis < n; ++axis) {
        if (map_.matrix[h * n + axis] == 0) continue;
        if (along_[h] >= 0 || taken[axis]) return false;
        along_[h] = axis;
        taken[axis] = true;
      }
      if (along_[h] < 0) return false;
    }
    if (!rows_.reserve(8 * strip * (most_rows + 2) + 8 * strip + most_rows)) return false;
    map_.fast = along_[ndim_ - 1];
    row_offset_ = reinterpret_cast<i64*>(rows_.data());
    row_fraction_ = reinterpret_cast<double*>(rows_.data() + 8 * strip);
    row_values_ = row_fraction_ + strip;
    row_is_made_ = reinterpret_cast<u8*>(row_values_ + most_rows * strip);
    return true;
  }

  // (what lies a little beyond the array is on its edge)
  double coordinate(int h, i64 index) const {
    const int axis = along_[h];
    const double x =
        map_.offset[h] + static_cast<double>(map_.start[axis] + index) * map_.matrix[h * map_.out->ndim + axis];
    const double last = static_cast<double>(axes_[h].extent - 1), held = axes_[h].held;
    return x < 0 ? (x >= -held ? 0 : x) : x > last ? (x - last <= held ? last : x) : x;
  }
  bool at_end(const SampleAxis& axis, double x) const {
    return axis.ends && x == static_cast<double>(axis.extent - 1) && x > axis.high;
  }

  // Places along the rows of a tile; false: the tile is better made by lines.
  bool start_tile(const i64* first, const i64* size) {
    const int last = ndim_ - 1, fast = map_.fast;
    const i64 from = map_.start[fast] + first[fast];
    const double before = map_.offset[last], slope = map_.matrix[last * map_.out->ndim + fast];
    row_begin_ = 0;
    row_end_ = size[fast];
    narrow(axes_[last], before + static_cast<double>(from) * slope, slope, row_begin_, row_end_);
    if (row_end_ - row_begin_ < shortest_row) return false;
    const StripOf along = {row_end_ - row_begin_, 1, strip_.coordinate, row_fraction_, row_offset_, strip_.where};
    if (!kernels_.locate_line(axes_ + last, how_.order, along, from + row_begin_, &before, &slope)) return false;
    if (how_.order == 0) return true;
    i64 rows = 1;
    for (int h = 0; h < last; ++h) {
      const i64 start = first[along_[h]], count = size[along_[h]];
      const double a = coordinate(h, start), b = coordinate(h, start + count - 1), most = std::max(a, b);
      const double low = std::max(axes_[h].low, std::min(a, b));
      const double high = at_end(axes_[h], most) ? most : std::min(axes_[h].high, most);
      if (!(low <= high)) return false;
      lowest_row_[h] = static_cast<i64>(std::min(std::floor(low), axes_[h].top));
      row_count_[h] = static_cast<i64>(std::floor(high)) + 2 - lowest_row_[h];
      if (row_count_[h] > most_rows) return false;
      rows *= row_count_[h];
    }
    if (rows > most_rows) return false;
    std::memset(row_is_made_, 0, static_cast<std::size_t>(rows));
    return true;
  }

  Status tile_of_rows(const i64* first, const i64* size) {
    const i64 n = size[map_.fast], step = map_.out->strides[map_.fast];
    return each_row(first, size, [&](const i64* index, char* to) {
      double fraction[max_ndim];
      i64 place[max_ndim], offset = 0;
      bool alone[max_ndim];  // there is no neighbour, and none is needed
      for (int h = 0; h < ndim_ - 1; ++h) {
        const SampleAxis& axis = axes_[h];
        const double x = coordinate(h, index[along_[h]]);
        const bool ends = at_end(axis, x);
        if (!ends && !(x >= axis.low && x <= axis.high)) return line(index, n, to);
        alone[h] = ends || axis.step == 0;
        const double middle = std::min(std::floor(how_.order == 0 ? x + 0.5 : x), axis.top);
        fraction[h] = x - middle;
        place[h] = static_cast<i64>(middle);
        offset += (place[h] - axis.first) * axis.stride;
      }
      if (how_.order == 0)
        nearest(offset, to + row_begin_ * step, step);
      else
        blend(place, fraction, alone, to + row_begin_ * step, step);
      const Status status = row_begin_ > 0 ? line(index, row_begin_, to) : Status::ok;
      if (status != Status::ok || row_end_ == n) return status;
      i64 rest[max_ndim];
      std::copy(index, index + map_.out->ndim, rest);
      rest[map_.fast] += row_end_;
      return line(rest, n - row_end_, to + row_end_ * step);
    });
  }

  void nearest(i64 offset, char* to, i64 step) const {
    kernels_.nearest[log2_width_](in_.data + offset, row_offset_, row_end_ - row_begin_, to, step);
  }

  void blend(const i64* place, const double* fraction, const bool* alone, char* to, i64 step) {
    const i64 n = row_end_ - row_begin_;
    const double* row[4];
    for (int r = 0; r < 1 << (ndim_ - 1); ++r) {
      i64 at[2], offset = 0, number = 0;
      for (int h = 0; h < ndim_ - 1; ++h) {
        at[h] = place[h] + (alone[h] ? 0 : r >> (ndim_ - 2 - h) & 1);
        offset += (at[h] - axes_[h].first) * axes_[h].stride;
        number = number * row_count_[h] + at[h] - lowest_row_[h];
      }
      double* values = row_values_ + number * strip;
      row[r] = values;
      if (row_is_made_[number]) continue;
      row_is_made_[number] = 1;
      kernels_.linear[static_cast<int>(in_.dtype)][0](in_.data + offset, row_offset_, row_fraction_, corner_,
                                                      axes_[ndim_ - 1].step, n, values);
    }
    double value[strip];
    double* const made = straight(to, step, value);
    kernels_.blend[ndim_ - 2](row, fraction, n, made);
    if (made == value) kernels_.store[static_cast<int>(out_dtype_)](value, n, to, step);
  }

  // Where values of doubles can be made, if that is the output itself; else `elsewhere`.
  double* straight(char* to, i64 step, double* elsewhere) const {
    const bool fits = out_dtype_ == Dtype::float64 && step == 8 && reinterpret_cast<std::uintptr_t>(to) % 8 == 0;
    return fits ? reinterpret_cast<double*>(to) : elsewhere;
  }

  // The least coordinate whose middle neighbour is this one or one above, and the largest whose is below.
  double lowest(double middle) const {
    if (how_.order % 2 == 1) return middle;
    double x = middle - 0.5;  // (as the sum of x and 1/2 is rounded)
    for (;;) {
      const double less = std::nextafter(x, -HUGE_VAL);
      if (!(less + 0.5 >= middle)) return x;
      x = less;
    }
  }
  double below(double middle) const { return std::nextafter(lowest(middle), -HUGE_VAL); }

  // The voxels of a strip whose coordinates are there.
  Status make(char* to, i64 to_stride) {
    const i64 n = strip_.n;
    if (kernels_.locate(axes_, how_.order, strip_)) {
      if (loops_) return make_plain(0, n, to, to_stride), Status::ok;
      std::memset(strip_.where, edge, static_cast<std::size_t>(n));
    }
    for (i64 i = 0; i < n;) {
      const u8 where = strip_.where[i] == plain && !loops_ ? static_cast<u8>(edge) : strip_.where[i];
      i64 end = i + 1;
      if (where == edge) {
        if (!make_at_edge(i, to + i * to_stride)) return Status::incomplete;
      } else {
        while (end < n && strip_.where[end] == where) ++end;
        if (where == plain)
          make_plain(i, end - i, to + i * to_stride, to_stride);
        else
          for (i64 j = i; j < end; ++j) fill(to + j * to_stride);
      }
      i = end;
    }
    return Status::ok;
  }

  void make_plain(i64 first, i64 n, char* to, i64 to_stride) const {
    const i64* offset = strip_.offset + first;
    const double* fraction = strip_.fraction + first;
    if (how_.order == 0) return kernels_.nearest[log2_width_](in_.data, offset, n, to, to_stride);
    double value[strip];
    double* const made = straight(to, to_stride, value);
    if (how_.order == 1)
      kernels_.linear[static_cast<int>(in_.dtype)][ndim_ - 1](in_.data, offset, fraction, corner_,
                                                              axes_[ndim_ - 1].step, n, made);
    else
      kernels_.spline[how_.order - 2][ndim_ - 1](in_.data, offset, fraction, axes_, n, made);
    if (made == value) kernels_.store[static_cast<int>(out_dtype_)](value, n, to, to_stride);
  }

  void fill(char* to) const { std::memcpy(to, &how_.fill_bits, static_cast<std::size_t>(out_width_)); }

  // One axis of one voxel: its neighbours' places in memory (missing: they lie beyond an array that goes on as `fill`),
  // and what they count.
  struct Taps {
    bool missing[max_order + 1];
    i64 offset[max_order + 1];
    double weight[max_order + 1];
  };

  bool make_at_edge(i64 i, char* to) {
    for (int h = 0; h < ndim_; ++h) {
      double x = strip_.coordinate[h * strip + i];
      if (how_.boundary_mode == BoundaryMode::nearest) {  // far beyond it is as a little beyond
        const double reach = static_cast<double>(axes_[h].extent) + max_order;
        x = x < -reach ? -reach : x > 2 * reach ? 2 * reach : x;
      }
      if (!(std::abs(x) < far)) return fill(to), true;  // not a number, or no neighbours can be told apart there
      x = fold(x, axes_[h]);
      double middle = std::floor(how_.order % 2 == 0 ? x + 0.5 : x);
      if (how_.order == 1 && ends_before_ && x <= static_cast<double>(axes_[h].extent - 1))
        middle = std::min(middle, axes_[h].top);
      const i64 start = static_cast<i64>(middle) - how_.order / 2;
      for (int k = 0; k <= how_.order; ++k) {
        const i64 at = neighbour(start + k, axes_[h].extent);
        taps_[h].missing[k] = at < 0;
        i64 place = at - axes_[h].first;
        if (place < 0) place += axes_[h].extent;
        if (at >= 0 && place >= axes_[h].count) return false;
        taps_[h].offset[k] = place * axes_[h].stride;
      }
      with_order(how_.order, [&](auto order) { spline_weights<order>(x - middle, taps_[h].weight); });
    }
    if (how_.order == 0) {
      i64 offset = 0;
      for (int h = 0; h < ndim_; ++h) {
        if (taps_[h].missing[0]) return fill(to), true;
        offset += taps_[h].offset[0];
      }
      std::memcpy(to, in_.data + offset, static_cast<std::size_t>(width_));
      return true;
    }
    const double value = sum_of(0, in_.data, false);
    kernels_.store[static_cast<int>(out_dtype_)](&value, 1, to, out_width_);
    return true;
  }

  // What the axes from h on make of the voxels from here on.
  double sum_of(int h, const char* from, bool missing) const {
    double sum = 0;
    for (int k = 0; k <= how_.order; ++k) {
      const bool none = missing || taps_[h].missing[k];
      const char* at = none ? from : from + taps_[h].offset[k];
      const double value = h < ndim_ - 1 ? sum_of(h + 1, at, none) : none ? how_.fill : read(at);
      sum = k == 0 ? value * taps_[h].weight[0] : sum + value * taps_[h].weight[k];
    }
    return sum;
  }

  double read(const char* from) const {
    double value = 0;
    const auto as = [&](auto zero) {
      decltype(zero) voxel;
      std::memcpy(&voxel, from, sizeof(voxel));
      value = static_cast<double>(voxel);
    };
    const Kind kind = row(in_.dtype).kind;
    if (kind == Kind::floating)
      width_ == 4 ? as(0.0f) : as(0.0);
    else if (kind == Kind::signed_integer)
      with_unsigned(width_, [&](auto u) { as(std::make_signed_t<decltype(u)>{}); });
    else
      with_unsigned(width_, as);
    return value;
  }

  // The place within the array that stands for one beyond it.
  double fold(double x, const SampleAxis& axis) const {
    const double n = static_cast<double>(axis.extent), last = n - 1;
    if (x >= 0 && x <= last) return x;
    switch (how_.boundary_mode) {
      case BoundaryMode::border:
        return x < 0 ? 0 : last;
      case BoundaryMode::mirror: {
        if (axis.extent == 1) return 0;
        const double at = std::fmod(std::abs(x), 2 * last);
        return at >= (x < 0 ? last : n) ? 2 * last - at
                                        : at;  // (so that what lies halfway goes where scipy lets it go)
      }
      case BoundaryMode::reflect: {
        const double at = std::fmod(std::abs(x + 0.5), 2 * n);
        return (at > n ? 2 * n - at : at) - 0.5;
      }
      case BoundaryMode::wrap: {  // below the array, its border voxel is the last; above, the first
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

  // The voxel that stands for a neighbour, which may lie beyond the array; below 0: none does.
  i64 neighbour(i64 at, i64 n) const {
    if (at >= 0 && at < n) return at;
    switch (how_.boundary_mode) {
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

  struct Map {
    const double *matrix, *offset;
    const i64* start;
    const View* out;
    int fast;  // rows are along this axis
  };

  static constexpr i64 tile_edge = 16, image_edge = 64, most_rows = 512, shortest_row = 16;
  // What a row of a tile reads is fetched while one so many before it is made, around each of so many of its voxels:
  // rows are too short, and their voxels too far apart, for prefetchers to see what comes.
  static constexpr i64 rows_ahead = 4, fetched_each = 8;
  static constexpr double far = 2251799813685248.0;  // 2^51: beyond, coordinates have no fractions

  const View& in_;
  const Sampling& how_;
  const SampleKernels& kernels_;
  int ndim_ = 0, width_ = 0, log2_width_ = 0, out_width_ = 0;
  Dtype out_dtype_ = Dtype::uint8;
  bool loops_ = false;
  bool ends_before_ = false;  // the neighbour beyond the last voxel is the one before it
  SampleAxis axes_[max_ndim] = {};
  i64 corner_[4] = {};
  Taps taps_[max_ndim];
  StripOf strip_ = {};
  Map map_ = {};
  i64 ahead_ = 0;
  int along_[max_ndim];  // the axis of the output that an axis of the input goes along
  i64 row_begin_ = 0, row_end_ = 0, lowest_row_[max_ndim], row_count_[max_ndim];
  i64* row_offset_ = nullptr;
  double *row_fraction_ = nullptr, *row_values_ = nullptr;
  u8* row_is_made_ = nullptr;
  Arena memory_, rows_;
};

}  // namespace tinypyr
