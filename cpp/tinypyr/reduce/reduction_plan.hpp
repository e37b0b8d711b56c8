// The plan of a reduction (mean, min, max): the length of its rows, and the stages that pool them.
//
// A pyramid is a chain of stages, each of which pools one axis by one factor; the last stage of a level writes it. A
// stage owns one row of accumulators. A stage along a row axis computes its row by pooling the row of the stage before;
// a stage along any other axis combines `factor` such rows.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"
#include "../core/segments.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

// A method in the form that drivers use.
struct ReductionRule {
  const Reduction* reduction;
  const Reduction* small;     // the reduction whose accumulators hold small footprints
  const Reduction* widening;  // from the lanes of `small` to those of `reduction`; null if they are the same
  bool any_order;             // results do not depend on the order of voxels
  bool half_even;
  u64 ignore;
  bool may_repeat;  // twice the voxels have the same result (a sum of doubles might overflow)
  bool averages;    // the result is the mean of all voxels, rounded half to even
  bool is_extreme;  // combining an accumulator with itself does not change it

  SmallKernels small_kernels() const {
    return {small->small, !any_order, ignore, half_even, small->lane_bytes, may_repeat, false, false, averages};
  }
};

// Rows cover the first `axes` axes of a problem as one run of voxels. Along the last of these axes a row holds `chunk`
// of the `blocks` blocks of the last level.
struct RowCut {
  int axes;
  i64 blocks, chunk;
  bool is_cut() const { return chunk < blocks; }
};

// Choose rows of up to `longest` accumulators in the row of the first stage, which pools `first_axis` and shortens the
// row by the factor `shrinks`.
inline RowCut cut_rows(const Problem& whole, i64 longest, int first_axis, i64 shrinks) {
  RowCut cut = {0, 0, 0};
  i64 length = 1;
  for (; cut.axes < whole.ndim && cut.chunk == 0; ++cut.axes) {
    const int axis = cut.axes;
    const i64 voxels = axis < first_axis ? longest : longest * shrinks;
    const i64 block = std::min(whole.top().total[axis], whole.extent[axis]);
    if (axis > 0 && length * block > voxels) break;
    const i64 blocks = std::max<i64>(1, voxels / (length * block));
    if (blocks < whole.top().extent[axis]) cut.chunk = blocks;
    length *= whole.extent[axis];
  }
  cut.blocks = whole.top().extent[cut.axes - 1];
  if (cut.chunk == 0) cut.chunk = cut.blocks;
  return cut;
}

struct Stage {
  int axis;
  bool along_row;
  Run run;     // parameters along the row; along another axis only n (extent before), factor and phase matter
  i64 length;  // of the resulting row, in accumulators
  int level;   // the level written from the row; -1: none
  char* accumulators;
};

// Properties common to all rows of a level.
struct RowShape {
  bool direct;    // the row is contiguous in the output, in the form that kernels produce
  bool uniform;   // every footprint has the same number of voxels along the row axes
  i64 footprint;  // that number; the largest one if footprints differ
};

// The factor of one stage if a larger factor is divided among several stages: pairs of neighbours, and up to four runs.
// The order of voxels must allow it. Very large factors are pooled in one stage, because its accumulators would be as
// long as the row.
inline i64 factor_of_stage(i64 factor, int axis) {
  if (factor % 2 != 0 || factor > 64) return factor;
  return axis > 0 && factor % 4 == 0 ? 4 : 2;
}

// Adds the stages of a problem to a list. Order of calls: the constructor, then add_all.
class StageBuilder {
 public:
  // small_first: stage 0 is the row of the first level, which SmallFootprints computes.
  StageBuilder(const Problem& problem, int row_axes, bool any_order, bool small_first, Stage* stages)
      : problem_(problem), row_axes_(row_axes), any_order_(any_order), small_first_(small_first), stages_(stages) {}

  // An upper bound of the number of stages.
  static i64 most_stages(const Problem& p) { return i64{p.levels} * (p.ndim + 1) + 62 * p.ndim + 1; }

  // Add all stages and return their number.
  int add_all() {
    const Problem& p = problem_;
    int order[max_ndim];
    order_axes(order);
    if (small_first_) {
      start(p.level[0].extent, p.level[0].voxel_offset);
      stages_[count_++] = {0, true, {}, row_length_, 0, nullptr};
    } else {
      start(p.extent, p.voxel_offset);
    }
    for (int k = small_first_; k < p.levels; ++k) {
      const int first = count_;
      for (int i = 0; i < p.ndim; ++i) add_along(order[i], p.level[k].factor[order[i]]);
      if (count_ == first) add(0, 1);
      stages_[count_ - 1].level = k;
    }
    return count_;
  }

 private:
  void start(const i64* extent, const i64* voxel_offset) {
    row_length_ = 1;
    for (int axis = 0; axis < problem_.ndim; ++axis) {
      extent_[axis] = extent[axis];
      voxel_offset_[axis] = voxel_offset[axis];
      if (axis < row_axes_) row_length_ *= extent[axis];
    }
  }

  // Choose the order of axes. Integer sums and extremes are the same in any order: the slowest axis comes first, so
  // that long runs are combined and only the result is pooled within a run. After a first level in registers, the
  // fastest axis comes first: pairs are as fast, and leave shorter rows to the other stages (unless runs get too short
  // for a vector). Sums of doubles depend on the order: the caller's axis 0 comes first, then axis 1, and so on, for
  // any memory order.
  void order_axes(int* order) const {
    const Problem& p = problem_;
    constexpr i64 short_run = 256;  // bytes
    for (int axis = 0; axis < p.ndim; ++axis) order[axis] = axis;
    if (!any_order_)
      std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    else if (!small_first_)
      std::reverse(order, order + p.ndim);
    else if (p.extent[0] * p.codec.width < short_run)
      std::reverse(order, order + row_axes_);
  }

  // Add the stages that pool an axis by the factor of a level.
  void add_along(int axis, i64 factor) {
    if (factor == 1 || extent_[axis] == 1) {
      voxel_offset_[axis] = floor_div(voxel_offset_[axis], factor);
      return;
    }
    while (any_order_ && extent_[axis] > 2) {
      const i64 part = factor_of_stage(factor, axis);
      if (part >= factor) break;
      add(axis, part);
      factor /= part;
    }
    add(axis, factor);
  }

  void add(int axis, i64 factor) {
    Stage& stage = stages_[count_++];
    i64 &extent = extent_[axis], &offset = voxel_offset_[axis];
    const i64 phase = offset - floor_div(offset, factor) * factor;
    stage = {axis, axis < row_axes_, {1, extent, 1, factor, phase, 0}, 0, -1, nullptr};
    for (int other = 0; other < row_axes_; ++other) {
      if (other < axis) stage.run.span *= extent_[other];
      if (other > axis) stage.run.outer *= extent_[other];
    }
    if (stage.along_row) row_length_ /= extent;
    extent = block_count(extent, factor, offset);
    offset = floor_div(offset, factor);
    if (stage.along_row) row_length_ *= extent;
    stage.length = row_length_;
  }

  const Problem& problem_;
  const int row_axes_;
  const bool any_order_, small_first_;
  Stage* const stages_;
  int count_ = 0;
  i64 extent_[max_ndim], voxel_offset_[max_ndim], row_length_ = 1;  // state before the next stage
};

// Order of calls: build for a problem, which must outlive the plan; then everything else. A plan can be rebuilt.
class ReductionPlan {
 public:
  explicit ReductionPlan(const ReductionRule& rule) : footprints(rule.small_kernels()), rule_(rule) {}

  // small_first: `footprints` computes the first level, and its accumulators are the row of stage 0. Return false if
  // memory runs out.
  bool build(const Problem& p, int row_axes, bool small_first) {
    problem_ = &p;
    row_axes_ = row_axes;
    small_first_ = small_first;
    if (!memory_.reserve(StageBuilder::most_stages(p) * static_cast<i64>(sizeof(Stage)))) return false;
    if (small_first && !footprints.plan(p)) return false;
    stages = reinterpret_cast<Stage*>(memory_.data());
    count = StageBuilder(p, row_axes, rule_.any_order, small_first, stages).add_all();
    base_length_ = 1;
    for (int axis = 0; axis < row_axes; ++axis) base_length_ *= p.extent[axis];
    base_direct = is_direct(p.in, p.extent, p.stride);
    for (int k = 0; k < p.levels; ++k) describe_level(k);
    return true;
  }

  bool small_first() const { return small_first_; }
  int row_axes() const { return row_axes_; }
  i64 base_length() const { return base_length_; }  // length of a row of the base

  // Sizes of further rows: of encoded voxels of the base, and of a level's voxels before they are stored.
  i64 base_row_bytes() const { return small_first_ || base_direct ? 0 : base_length_ * problem_->codec.width; }
  i64 out_row_bytes() const {
    const auto is_direct = [](const RowShape& shape) { return shape.direct; };
    const bool all_direct = std::all_of(shapes, shapes + problem_->levels, is_direct);
    return all_direct ? 0 : base_length_ * problem_->codec.width;
  }
  i64 accumulator_bytes(const Stage& stage) const {
    return stage.length * rule_.reduction->lanes * rule_.reduction->lane_bytes;
  }
  // The total size of all rows.
  i64 bytes() const {
    i64 sum =
        round_up(base_row_bytes()) + round_up(out_row_bytes()) + (small_first_ ? footprints.current().bytes() : 0);
    for (int s = 0; s < count; ++s) sum += round_up(accumulator_bytes(stages[s]));
    return sum;
  }

  Stage* stages = nullptr;
  int count = 0;
  RowShape shapes[max_levels];  // of levels
  bool base_direct = false;     // rows of the base can be read in place
  FootprintRows footprints;

 private:
  // Return true if rows at this address have the form that kernels read and write.
  bool is_direct(const void* start, const i64* extent, const i64* stride) const {
    const Problem& p = *problem_;
    return p.codec.is_identity() && rows_are_direct(start, row_axes_, p.ndim, extent, stride, p.codec.width);
  }

  void describe_level(int k) {
    const Problem& p = *problem_;
    const Level& level = p.level[k];
    RowShape& shape = shapes[k];
    shape = {is_direct(level.out, level.extent, level.stride), true, 1};
    Segment segment[3] = {};
    for (int axis = 0; axis < row_axes_; ++axis) {
      shape.uniform = shape.uniform && segments_of(p, level, axis, segment) == 1;
      shape.footprint *= most_present(p, level, axis);
    }
  }

  const ReductionRule rule_;
  const Problem* problem_ = nullptr;
  int row_axes_ = 1;
  bool small_first_ = false;
  i64 base_length_ = 0;
  Arena memory_;
};

}  // namespace tinypyr
