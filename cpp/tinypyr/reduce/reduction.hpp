// mean, min and max: levels computed from accumulators.
//
// Recursion from the last stage of a plan (reduce/reduction_plan.hpp) reads the base once, in long runs, and stores one
// row per stage, for pyramids of any depth.
#pragma once

#include "../core/problem.hpp"
#include "base_reader.hpp"
#include "period_means.hpp"
#include "reduction_plan.hpp"
#include "row_writer.hpp"
#include "short_rows.hpp"
#include "short_spans.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

// Computes reductions. Calls of run and fits are independent of each other and of earlier calls.
class ReductionDriver {
 public:
  explicit ReductionDriver(const ReductionRule& rule)
      : rule_(rule),
        small_footprints_(rule.small_kernels()),
        short_rows_(rule.small_kernels()),
        period_means_(rule.small_kernels()),
        plan_(rule),
        writer_(rule) {}

  // Compute all levels. If even the shortest rows take too much memory, set *fits to false and compute nothing
  // (reduce/streaming_reduction.hpp computes such levels).
  Status run(const Problem& whole, bool* fits) {
    *fits = true;
    if (whole.levels == 1 && period_means_.fits(whole)) return period_means_.run(whole);
    if (whole.levels == 1 && short_rows_.fits(whole)) return short_rows_.run(whole);
    if (whole.levels == 1 && small_footprints_.fits(whole)) return small_footprints_.run(whole);
    if (!choose_rows(whole, fits)) return Status::out_of_memory;
    if (!*fits) return Status::ok;
    base_.start_pass(whole);
    is_ready_ = false;
    for (i64 first = 0; first < cut_.blocks; first += cut_.chunk) {
      if (cut_.is_cut() && !plan_part(whole, first)) return Status::out_of_memory;  // otherwise it is already planned
      if (!is_ready_ && !allocate_rows()) return Status::out_of_memory;
      is_ready_ = true;
      const IndexRange rows{AxisRange{cut_.axes, part_->ndim}, part_->top().extent};
      rows.each(index_, [&] { complete(plan_.count - 1); });
    }
    return Status::ok;
  }

  // Set *fits as run would. Return false if memory runs out.
  bool fits(const Problem& whole, bool* fits) { return choose_rows(whole, fits); }

 private:
  static constexpr i64 longest_accumulators = i64{1} << 20;  // bytes of one stage
  static constexpr i64 most_row_bytes = i64{6} << 20;        // of a row and all its stages

  // Choose the length of rows so that the first stage's accumulators fit the second-level cache. Rows are as long as
  // this allows, because reading stalls where a row ends and the next one is not contiguous. Many stages make rows
  // shorter.
  bool choose_rows(const Problem& whole, bool* fits) {
    small_first_ = small_footprints_.fits(whole);
    int first_axis = 0;
    i64 shrinks = 1;
    for (int axis = 0; axis < whole.ndim; ++axis) {
      const i64 factor = whole.level[0].factor[axis];
      if (small_first_) shrinks *= factor;
      if (small_first_ || !rule_.any_order || factor == 1) continue;
      first_axis = axis;
      shrinks = std::min<i64>(8, factor_of_stage(factor, axis));
    }
    if (!Problem::reserve(part_, whole.levels)) return false;
    for (i64 longest = longest_accumulators / (rule_.reduction->lanes * rule_.reduction->lane_bytes);; longest /= 2) {
      cut_ = cut_rows(whole, longest, first_axis, shrinks);
      is_whole_ = false;
      i64 bytes = 0;
      for (i64 first = 0; first <= std::min<i64>(1, cut_.blocks - cut_.chunk); ++first) {  // the first block may be cut
        if (!plan_part(whole, first)) return false;
        bytes = std::max(bytes, plan_.bytes());
      }
      *fits = bytes <= most_row_bytes;
      if (*fits || longest <= 512) return true;
    }
  }

  // Plan the rows of one chunk. Chunks of whole footprints have the same plan.
  bool plan_part(const Problem& whole, i64 first) {
    *part_ = whole;
    if (!cut_.is_cut()) return plan_.build(*part_, cut_.axes, small_first_);
    const int axis = cut_.axes - 1;
    part_->restrict_to(axis, first, std::min(cut_.chunk, cut_.blocks - first));
    const bool was_whole = std::exchange(is_whole_, part_->extent[axis] == cut_.chunk * part_->top().total[axis]);
    if (was_whole && is_whole_) return true;
    is_ready_ = false;
    return plan_.build(*part_, cut_.axes, small_first_);
  }

  // Allocate memory for the rows of the plan.
  bool allocate_rows() {
    char *base_row = nullptr, *out_row = nullptr;
    const bool has_memory = memory_.allocate([&](auto& take) {
      base_row = take.template array<char>(plan_.base_row_bytes());
      out_row = take.template array<char>(plan_.out_row_bytes());
      for (int s = 0; s < plan_.count; ++s)
        plan_.stages[s].accumulators = take.template array<char>(plan_.accumulator_bytes(plan_.stages[s]));
    });
    base_.start(*part_, plan_, index_, base_row);
    writer_.start(*part_, plan_, index_, out_row);
    return has_memory && (!pools_short_spans() || short_spans_.start(part_->kernels->shuffle));
  }

  // Return true if a stage pools short spans.
  bool pools_short_spans() const {
    for (int s = small_first_; s < plan_.count; ++s)
      if (plan_.stages[s].along_row && ShortSpans::suits(part_->kernels->shuffle, loop_of(s), plan_.stages[s].run))
        return true;
    return false;
  }

  // Compute the row of stage s, at index_ along the other axes, in the stage's own memory, and write its level.
  const char* complete(int s) {
    const Stage& stage = plan_.stages[s];
    make(s, stage.accumulators, stage.length, false);
    if (stage.level >= 0) writer_.write(stage.level, stage.accumulators, stage.length);
    return stage.accumulators;
  }

  // Compute the row of stage s in `to`, whose lanes are `plane` elements apart, or combine it with the contents of `to`
  // (onto).
  void make(int s, char* to, i64 plane, bool onto) {
    const Stage& stage = plan_.stages[s];
    if (small_first_ && s == 0) return make_small_footprints(to, plane);
    if (stage.along_row) return pool(s, to, plane, stage.run, onto);
    const Run whole_row = {1, stage.length, 1, 1, 0, 0};
    if (onto && !rule_.any_order) {  // the order of a sum of doubles is fixed: this stage's rows first
      make(s, stage.accumulators, stage.length, false);
      PoolLoop loop = loop_of(s);
      loop.run = rule_.reduction->part;
      loop.from_width = loop.to_width;
      loop.onto = true;
      pool_lanes(loop, stage.accumulators, stage.length, to, plane, whole_row);
      return;
    }
    const i64 block = index_[stage.axis];
    const i64 first = std::max<i64>(0, block * stage.run.factor - stage.run.phase);
    const i64 end = std::min(stage.run.n, (block + 1) * stage.run.factor - stage.run.phase);
    for (i64 child = first; child < end; ++child) {
      index_[stage.axis] = child;
      const bool child_onto = onto || child > first;
      if (s == 0 || plan_.stages[s - 1].level >= 0)
        pool(s, to, plane, whole_row, child_onto);
      else
        make(s - 1, to, plane, child_onto);
    }
    index_[stage.axis] = block;
  }

  // Pool the row below stage s.
  void pool(int s, char* to, i64 plane, const Run& run, bool onto) {
    PoolLoop loop = loop_of(s);
    loop.onto = onto;
    if (s == 0) {
      Run base_run = run;
      const char* from = base_.read(base_run);
      loop.plane = plane;
      return pool_one(loop, from, to, base_run);
    }
    const char* from = complete(s - 1);
    pool_lanes(loop, from, plan_.stages[s - 1].length, to, plane, run);
  }

  // Return the loop of stage s: over voxels of the base, or over one lane of accumulators.
  PoolLoop loop_of(int s) const {
    const Reduction& reduction = *rule_.reduction;
    if (s == 0) return {reduction.first, part_->codec.width, reduction.lane_bytes, 0, false, rule_.ignore};
    // (Accumulators of small footprints may be narrower.)
    const bool widens = s == 1 && small_first_ && rule_.widening != nullptr;
    PoolLoop loop = {reduction.part, reduction.lane_bytes, reduction.lane_bytes, 0, false, 0};
    if (widens) {
      loop.run = rule_.widening->first;
      loop.from_width = rule_.small->lane_bytes;
    }
    loop.fills = true;
    loop.repeats = rule_.is_extreme;
    if (part_->codec.kind == Kind::floating) loop.neutral = u64{1} << 63;  // -0.0
    return loop;
  }

  // Compute the first level's row, accumulators and voxels, from the base, once for every row of memory in it.
  void make_small_footprints(char* to, i64 plane) {
    const Problem& p = *part_;
    const Level& level = p.level[0];
    i64 at[max_ndim], count;
    std::copy(index_, index_ + p.ndim, at);
    const IndexRange rows{AxisRange{1, cut_.axes}, level.extent};
    rows.start(at);
    const i64 ahead = plan_.footprints.current().ahead_along(1);
    RowTarget target = {writer_.voxels_of(0), level.extent[0], to, plane, nullptr, 0};
    do {
      count = cut_.axes > 1 ? plan_.footprints.current().alike(at) : 1;
      plan_.footprints.make(at, count, ahead, target);
      target.accumulators += count * level.extent[0] * rule_.small->lane_bytes;
      target.voxels += count * level.extent[0] * p.codec.width;
    } while (rows.next(at, [](int, i64) {}, count));
  }

  // Pool a row of accumulators.
  void pool_lanes(const PoolLoop& loop, const char* from, i64 from_plane, char* to, i64 to_plane, const Run& run) {
    for (int lane = 0; lane < rule_.reduction->lanes; ++lane)
      pool_one(loop, from + lane * from_plane * loop.from_width, to + lane * to_plane * loop.to_width, run);
  }

  // Pool one lane, or a row of the base.
  void pool_one(const PoolLoop& loop, const char* from, char* to, const Run& run) {
    if (ShortSpans::suits(part_->kernels->shuffle, loop, run))
      short_spans_.pool(loop, from, to, run);
    else
      loop.run(from, to, loop.plane, run, loop.onto, loop.ignore);
  }

  const ReductionRule rule_;
  SmallFootprints small_footprints_;  // for single levels
  ShortRows short_rows_;              // the same
  PeriodMeans period_means_;          // the same
  std::unique_ptr<Problem> part_;     // the current chunk
  RowCut cut_ = {1, 0, 0};
  bool small_first_ = false;
  bool is_whole_ = false, is_ready_ = false;  // the planned chunk has whole footprints; its rows have memory
  ShortSpans short_spans_;
  ReductionPlan plan_;
  BaseReader base_;
  RowWriter writer_;
  i64 index_[max_ndim] = {};  // of the current row, at the current stage
  Arena memory_;
};

}  // namespace tinypyr
