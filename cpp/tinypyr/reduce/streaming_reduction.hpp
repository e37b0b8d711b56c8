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
#include "piece_reader.hpp"
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

// Combines the accumulators of pieces along some axes. Order of calls: start, once per problem; then everything else.
class AccumulatorPieces {
 public:
  // parts: a driver with the same rule.
  AccumulatorPieces(ReductionDriver& parts, const ReductionRule& rule)
      : reduction_(*rule.reduction), reader_(parts, rule) {}

  // Choose the axis of pieces. This and the functions below return false if memory runs out.
  bool start(const Problem& whole) {
    if (!reader_.start(whole)) return false;
    choose_axes(whole);
    // A row for each axis that is combined before that of pieces, and one more.
    return memory_.allocate([&](auto& take) {
      for (int i = 0; i <= before_; ++i)
        rows_[i] = take.template array<char>(plane * reduction_.lanes * reduction_.lane_bytes);
    });
  }

  // The first level that is combined from pieces, which is also the number of levels that the driver computes.
  int first_level() const { return reader_.levels(); }
  // The axes in the order of combination, the caller's axis 0 first, and the index of the axis of pieces among them.
  const int* order() const { return order_; }
  int piece_axis() const { return before_; }

  // Combine the children of a footprint of the first level above the driver's, along the axis of pieces and the axes
  // before it.
  bool sum(Children& children, Accumulator& accumulator) {
    const int along = order_[before_];
    for (i64 begin = children.first[along]; begin < children.end[along]; begin += PieceReader::most_voxels) {
      const i64 n = std::min(PieceReader::most_voxels, children.end[along] - begin);
      const bool continues = begin > children.first[along];
      children.at[along] = begin;
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
  // The length of a row: the sum of the pieces before, and a piece.
  static constexpr i64 plane = PieceReader::most_voxels + 1;

  // Let pieces lie along the axis with the longest footprints.
  void choose_axes(const Problem& p) {
    const int k = first_level();
    int along = 0;
    i64 most = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      order_[axis] = axis;
      const i64 below = k == 0 ? p.extent[axis] : p.level[k - 1].extent[axis];
      const i64 voxels = std::min(below, p.level[k].factor[axis]);
      if (voxels > most) along = axis;
      most = std::max(most, voxels);
    }
    std::sort(order_, order_ + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    before_ = static_cast<int>(std::find(order_, order_ + p.ndim, along) - order_);
  }

  char* lane_of(char* row, int lane) const { return row + lane * plane * reduction_.lane_bytes; }

  // Combine the accumulators of a piece along the axes before it up to the d-th; the result is in the row after that.
  bool sum_rows(int d, Children& children, i64 n) {
    if (d < 0) return reader_.read(children.at, order_[before_], n, rows_[0] + reduction_.lane_bytes, plane);
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

  const Reduction& reduction_;
  PieceReader reader_;
  int before_ = 0;  // the number of axes that are combined before the axis of pieces
  int order_[max_ndim];
  char* rows_[max_ndim];
  Arena memory_;
};

// Calls of run are independent of each other.
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
