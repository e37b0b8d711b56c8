// mean, min and max of footprints that are too long for rows of accumulators: millions of voxels along one axis that
// cannot be read in place, or before which another axis is pooled.
//
// A ReductionDriver computes the levels whose rows are short enough, a piece at a time, together with their
// accumulators. The accumulators of the levels above are combined one by one, in the order that the interface
// guarantees: within a footprint the caller's axis 0 first, then axis 1, and so on; every sum continues from piece to
// piece.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/problem.hpp"
#include "reduction.hpp"

namespace tinypyr {

// The accumulator of one voxel.
struct Accumulator {
  static constexpr int most_lanes = 4;
  u64 lane[most_lanes];
};

// The children of a voxel: the range of voxels of the level below that its footprint covers, along each axis, and the
// current one among them.
struct Children {
  i64 first[max_ndim], end[max_ndim], at[max_ndim];
};

// Computes the accumulators of the levels that a ReductionDriver can compute, a piece at a time, and combines them
// along some axes. Order of calls: start, then everything else.
class AccumulatorPieces {
 public:
  // parts: a driver with the same rule.
  AccumulatorPieces(ReductionDriver& parts, const ReductionRule& rule)
      : parts_(parts), rule_(rule), reduction_(*rule.reduction) {}

  // Start a problem. This and the functions below return false if memory runs out.
  bool start(const Problem& whole) {
    problem_ = &whole;
    return find_first_level() && lay_out();
  }

  // The number of levels that the driver computes, which is also the first level that is combined from pieces.
  int first_level() const { return first_; }
  // The axes in the order of combination, the caller's axis 0 first, and the index of the axis of pieces among them.
  const int* order() const { return order_; }
  int piece_axis() const { return before_; }

  // Combine the children of a footprint of the first level above the driver's, along the axis of pieces and the axes
  // before it.
  bool sum(Children& children, Accumulator& accumulator) {
    for (i64 begin = children.first[along_]; begin < children.end[along_]; begin += piece) {
      const i64 n = std::min(piece, children.end[along_] - begin);
      const bool continues = begin > children.first[along_];
      children.at[along_] = begin;
      if (!sum_rows(before_ - 1, children, n)) return false;
      for (int lane = 0; lane < reduction_.lanes; ++lane) {
        char* row = lane_of(rows_[before_], lane);
        if (continues) std::memcpy(row, &accumulator.lane[lane], static_cast<std::size_t>(reduction_.lane_bytes));
        const i64 count = n + continues;
        reduction_.part(row + (continues ? 0 : reduction_.lane_bytes), &accumulator.lane[lane], 0,
                        {1, count, 1, count, 0, 0}, false, 0);
      }
    }
    return true;
  }

 private:
  static constexpr i64 piece = 4096;

  // Find the number of levels that the driver can compute.
  bool find_first_level() {
    part_ = Problem::allocate();
    if (!part_) return false;
    first_ = problem_->levels;
    for (bool fits = false; first_ > 0 && !fits;) {
      *part_ = *problem_;
      part_->levels = --first_;
      if (first_ > 0) ask_for_sums(*part_, nullptr);
      if (first_ > 0 && !parts_.fits(*part_, &fits)) return false;
    }
    return true;
  }

  // Choose the axis of pieces and allocate memory: rows of a piece's accumulators, one more for each axis that is
  // combined before, each preceded by room for the sum so far; and the voxels of a piece.
  bool lay_out() {
    const Problem& p = *problem_;
    i64 most = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      order_[axis] = axis;
      const i64 below = first_ == 0 ? p.extent[axis] : p.level[first_ - 1].extent[axis];
      const i64 voxels = std::min(below, p.level[first_].factor[axis]);
      if (voxels > most) along_ = axis;
      most = std::max(most, voxels);
    }
    std::sort(order_, order_ + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    before_ = static_cast<int>(std::find(order_, order_ + p.ndim, along_) - order_);
    return memory_.lay_out([&](auto& take) {
      for (int i = 0; i <= before_; ++i)
        rows_[i] = take.template array<char>(plane() * reduction_.lanes * reduction_.lane_bytes);
      voxels_ = take.template array<char>(piece * p.codec.width);
    });
  }

  i64 plane() const { return piece + 1; }
  char* lane_of(char* row, int lane) const { return row + lane * plane() * reduction_.lane_bytes; }

  // Combine the accumulators of a piece along the axes before it up to the d-th; the result is in the row after that.
  bool sum_rows(int d, Children& children, i64 n) {
    if (d < 0) return read(children.at, n, rows_[0]);
    const int axis = order_[d];
    for (i64 j = children.first[axis]; j < children.end[axis]; ++j) {
      children.at[axis] = j;
      if (!sum_rows(d - 1, children, n)) return false;
      for (int lane = 0; lane < reduction_.lanes; ++lane)
        reduction_.part(lane_of(rows_[d], lane) + reduction_.lane_bytes,
                        lane_of(rows_[d + 1], lane) + reduction_.lane_bytes, 0, {1, n, 1, 1, 0, 0},
                        j > children.first[axis], 0);
    }
    return true;
  }

  // Fill a row with the accumulators of n voxels along the axis of pieces: voxels of the base, or of the last level
  // that the driver computes.
  bool read(const i64* at, i64 n, char* row) {
    const Problem& p = *problem_;
    char* to = row + reduction_.lane_bytes;
    if (first_ == 0) {
      p.report(n * p.codec.width);
      const char* from = p.in;
      for (int axis = 0; axis < p.ndim; ++axis) from += at[axis] * p.stride[axis];
      p.rows().copy(voxels_, p.codec.width, from, p.stride[along_], n);
      p.rows().encode(voxels_, voxels_, n, p.codec);
      reduction_.first(voxels_, to, plane(), {1, n, 1, 1, 0, 0}, false, rule_.ignore);
      return true;
    }
    Problem& part = *part_;
    part = p;
    part.levels = first_;
    for (int axis = 0; axis < p.ndim; ++axis) part.restrict_to(axis, at[axis], axis == along_ ? n : 1);
    ask_for_sums(part, to);
    bool fits = true;
    return parts_.run(part, &fits) == Status::ok && fits;
  }

  // Append a level for the accumulators of the last one.
  void ask_for_sums(Problem& part, char* to) const {
    Level& sums = part.level[part.levels++];
    sums = part.level[first_ - 1];
    sums.out = to;
    for (int axis = 0; axis < part.ndim; ++axis) {
      sums.factor[axis] = 1;
      sums.stride[axis] = reduction_.lane_bytes;
    }
    part.lane_stride = plane() * reduction_.lane_bytes;
  }

  ReductionDriver& parts_;
  const ReductionRule& rule_;
  const Reduction& reduction_;
  const Problem* problem_ = nullptr;
  std::unique_ptr<Problem> part_;
  int first_ = 0;
  int along_ = 0, before_ = 0;  // the axis of pieces; the number of axes that are combined before it
  int order_[max_ndim];
  char *rows_[max_ndim], *voxels_ = nullptr;
  Arena memory_;
};

class StreamingReduction {
 public:
  // parts: a driver with the same rule, for the pieces of levels that fit.
  StreamingReduction(ReductionDriver& parts, const ReductionRule& rule)
      : rule_(rule), reduction_(*rule.reduction), pieces_(parts, rule) {}

  Status run(const Problem& whole) {
    problem_ = &whole;
    if (!pieces_.start(whole)) return Status::out_of_memory;
    i64 at[max_ndim];
    const IndexRange voxels{AxisRange{0, whole.ndim}, whole.top().extent};
    const bool is_complete = voxels.each(at, [&] {
      Accumulator accumulator;
      return make(whole.levels - 1, at, accumulator);
    });
    return is_complete ? Status::ok : Status::out_of_memory;
  }

 private:
  // Compute the accumulator of a voxel, and write the voxel. This and the functions below return false if memory runs
  // out.
  bool make(int k, const i64* at, Accumulator& accumulator) {
    const Problem& p = *problem_;
    const Level& level = p.level[k];
    Children children{};
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 offset = k == 0 ? p.voxel_offset[axis] : p.level[k - 1].voxel_offset[axis];
      const i64 extent = k == 0 ? p.extent[axis] : p.level[k - 1].extent[axis];
      const i64 start = (level.voxel_offset[axis] + at[axis]) * level.factor[axis] - offset;
      children.first[axis] = std::max<i64>(0, start);
      children.end[axis] = std::min(extent, start + level.factor[axis]);
    }
    if (!sum(k, p.ndim - 1, children, accumulator)) return false;
    write(level, k, at, accumulator);
    return true;
  }

  // Combine the results along the d-th axis, in order; each result combines the axes before it.
  bool sum(int k, int d, Children& children, Accumulator& accumulator) {
    if (d < 0) return make(k - 1, children.at, accumulator);
    if (k == pieces_.first_level() && d == pieces_.piece_axis()) return pieces_.sum(children, accumulator);
    const int axis = pieces_.order()[d];
    for (i64 j = children.first[axis]; j < children.end[axis]; ++j) {
      children.at[axis] = j;
      Accumulator one;
      if (!sum(k, d - 1, children, one)) return false;
      add(one, j > children.first[axis], accumulator);
    }
    return true;
  }

  // Set `to` to an accumulator, or (onto) to the sum of `to` and the accumulator, in that order.
  void add(const Accumulator& accumulator, bool onto, Accumulator& to) const {
    for (int lane = 0; lane < reduction_.lanes; ++lane)
      reduction_.part(&accumulator.lane[lane], &to.lane[lane], 0, {1, 1, 1, 1, 0, 0}, onto, 0);
  }

  void write(const Level& level, int k, const i64* at, const Accumulator& accumulator) {
    const Problem& p = *problem_;
    char* out = level.out;
    i64 count = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      out += at[axis] * level.stride[axis];
      count *= p.present(level, axis, at[axis]);
    }
    const std::size_t lane_bytes = static_cast<std::size_t>(reduction_.lane_bytes);
    if (p.lane_stride != 0 && k == p.levels - 1) {
      for (int lane = 0; lane < reduction_.lanes; ++lane) {
        char* const sum = out + lane * p.lane_stride;
        std::memcpy(sum, &accumulator.lane[lane], lane_bytes);
        if (p.codec.kind == Kind::floating) make_nan_canonical(sum, 1);
      }
      return;
    }
    u64 lanes[Accumulator::most_lanes], voxel = 0;  // lanes side by side
    for (int lane = 0; lane < reduction_.lanes; ++lane)
      std::memcpy(reinterpret_cast<char*>(lanes) + lane * reduction_.lane_bytes, &accumulator.lane[lane], lane_bytes);
    reduction_.finish(lanes, 1, &voxel, 1, {count, rule_.half_even, rule_.ignore});
    p.rows().decode(&voxel, 1, p.codec);
    std::memcpy(out, &voxel, static_cast<std::size_t>(p.codec.width));
  }

  const ReductionRule& rule_;
  const Reduction& reduction_;
  const Problem* problem_ = nullptr;
  AccumulatorPieces pieces_;
};

}  // namespace tinypyr
