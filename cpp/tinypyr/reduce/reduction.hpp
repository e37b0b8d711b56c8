// mean, min and max: levels from accumulators.
//
// A pyramid is a chain of stages, each of which pools one axis by one factor; where a level's last stage ends, the
// level is written. A stage owns one row of accumulators. To make its row, a stage along a row axis pools the row of the
// stage before; a stage along any other axis adds up `factor` such rows. Recursion from the last stage therefore reads
// the base once, in long runs, and holds one row per stage, whatever the depth of the pyramid.
#pragma once

#include <cstdlib>

#include "../core/problem.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

constexpr i64 short_run = 256;  // bytes
constexpr i64 longest_accumulator = i64{1} << 20,
              most_row_bytes = i64{6} << 20;  // of one stage; of a row and all its stages

// A method, as a driver applies it.
struct ReductionRule {
  const Reduction* reduction;
  const Reduction* small;     // whose accumulators hold small footprints
  const Reduction* widening;  // from its lanes to those of `reduction`; null if they are the same
  bool any_order;             // sums do not depend on the order of voxels
  bool half_even;
  u64 ignore;
};

class ReductionDriver {
 public:
  explicit ReductionDriver(const ReductionRule& rule)
      : reduction_(*rule.reduction),
        small_(*rule.small),
        widen_(rule.widening),
        any_order_(rule.any_order),
        half_even_(rule.half_even),
        ignore_(rule.ignore),
        halves_(rule.small->small, !rule.any_order, rule.ignore, rule.half_even, rule.small->lane_bytes) {}

  // fits: false where nothing is made, because even the shortest rows take too much memory (reduce/streaming_reduction.hpp).
  Status run(const Problem& whole, bool* fits) {
    *fits = true;
    halved_ = halves_.fits(whole);
    if (halved_ && whole.levels == 1) return halves_.run(whole);
    if (!shape_rows(whole, fits)) return Status::out_of_memory;
    if (!*fits) return Status::ok;
    last_row_ = whole.in;
    for (i64 first = 0; first < blocks_; first += chunk_) {
      if (chunk_ < blocks_ && !plan_part(whole, first)) return Status::out_of_memory;  // (else it is planned)
      if (!lay_out()) return Status::out_of_memory;
      walk();
    }
    return Status::ok;
  }

  // Whether it would. False: no memory to find out.
  bool fits(const Problem& whole, bool* fits) {
    halved_ = halves_.fits(whole);
    return shape_rows(whole, fits);
  }

 private:
  struct Stage {
    int axis;
    bool along_row;
    Run run;     // along the row; elsewhere only n (extent before), factor and phase
    i64 length;  // voxels of the row after it
    int level;   // that is written from its row, or -1
    char* accumulator;
  };

  // The part of a factor that is pooled in one stage, where the order does not matter: pairs of neighbours, and up to four
  // runs (large factors in one go: their accumulators would be as long as the row).
  static i64 step_of(i64 factor, int axis) {
    if (factor % 2 != 0 || factor > 64) return factor;
    return axis > 0 && factor % 4 == 0 ? 4 : 2;
  }

  // What does not change from row to row of a level.
  struct RowShape {
    bool direct;   // the row lies in the output as it is made
    bool uniform;  // every footprint of the row has the same number of voxels along the row axes
    i64 count;     // that number, or of the footprints that have most
  };

  // Rows as long as keep the first stage's accumulators in the second-level cache: where a row ends and the next does not follow
  // it in memory, the flow from memory stops. Shorter where there are many stages of them.
  bool shape_rows(const Problem& whole, bool* fits) {
    int first_axis = 0;  // of the first stage, if there is one along the row
    i64 shrinks = 1;     // how much shorter it leaves the row
    for (int axis = 0; axis < whole.ndim; ++axis) {
      const i64 factor = whole.level[0].factor[axis];
      if (halved_) shrinks *= factor;
      if (halved_ || !any_order_ || factor == 1) continue;
      first_axis = axis;
      shrinks = std::min<i64>(8, step_of(factor, axis));
    }
    if (!part_) part_ = Problem::allocate();
    if (!part_) return false;
    problem_ = part_.get();
    for (i64 accumulators = longest_accumulator / (reduction_.lanes * reduction_.lane_bytes);; accumulators /= 2) {
      cut_rows(whole, accumulators, first_axis, shrinks);
      i64 bytes = 0;
      for (i64 first = 0; first <= std::min<i64>(1, blocks_ - chunk_); ++first) {  // (the very first block may be cut)
        if (!plan_part(whole, first)) return false;
        bytes = std::max(bytes, row_bytes_);
      }
      *fits = bytes <= most_row_bytes;
      if (*fits || accumulators <= 512) return true;
    }
  }

  // How many axes a row has, how many blocks of the last level there are along the last of them, and how many of these it
  // takes at a time.
  void cut_rows(const Problem& whole, i64 accumulators, int first_axis, i64 shrinks) {
    int axes = 0;
    i64 length = 1, chunk = 0;
    for (; axes < whole.ndim && chunk == 0; ++axes) {
      const i64 longest = axes < first_axis ? accumulators : accumulators * shrinks;
      const i64 block = std::min(whole.top().total[axes], whole.extent[axes]);
      if (axes > 0 && length * block > longest) break;
      const i64 blocks = std::max<i64>(1, longest / (length * block));
      if (blocks < whole.top().extent[axes]) chunk = blocks;
      length *= whole.extent[axes];
    }
    row_axes_ = axes;
    blocks_ = whole.top().extent[axes - 1];
    chunk_ = chunk == 0 ? blocks_ : chunk;
  }

  // The plan of a row's blocks from the first one on.
  bool plan_part(const Problem& whole, i64 first) {
    *part_ = whole;
    if (chunk_ < blocks_) part_->restrict_to(row_axes_ - 1, first, std::min(chunk_, blocks_ - first));
    return plan();
  }

  // Stages, and how many bytes their rows take.
  bool plan() {
    const Problem& p = *problem_;
    const i64 most = i64{p.levels} * (p.ndim + 1) + 62 * p.ndim + 1;
    if (!stage_memory_.reserve(most * static_cast<i64>(sizeof(Stage)))) return false;
    stages_ = reinterpret_cast<Stage*>(stage_memory_.data());
    count_ = 0;

    i64 extent[max_ndim], voxel_offset[max_ndim], row_length = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      extent[axis] = p.extent[axis];
      voxel_offset[axis] = p.voxel_offset[axis];
      if (axis < row_axes_) row_length *= extent[axis];
    }
    const i64 base_length = row_length;
    auto add_stage = [&](int axis, i64 factor) {
      Stage& stage = stages_[count_++];
      const i64 phase = voxel_offset[axis] - floor_div(voxel_offset[axis], factor) * factor;
      stage = {axis, axis < row_axes_, {1, extent[axis], 1, factor, phase, 0}, 0, -1, nullptr};
      for (int other = 0; other < row_axes_; ++other) {
        if (other < axis) stage.run.span *= extent[other];
        if (other > axis) stage.run.outer *= extent[other];
      }
      if (stage.along_row) row_length /= extent[axis];
      extent[axis] = block_count(extent[axis], factor, voxel_offset[axis]);
      voxel_offset[axis] = floor_div(voxel_offset[axis], factor);
      if (stage.along_row) row_length *= extent[axis];
      stage.length = row_length;
    };
    // Sums of integers, and extremes, are the same in any order: slowest axis first, so that all long runs are added to
    // each other and only what is left is pooled within the run; large factors a little at a time. Above a halved level,
    // fastest axis first: pairs are as good, and leave less to the others (unless runs get too short for a vector). Sums of
    // doubles are not: the caller's axis 0 first, then axis 1, ..., whatever the memory order.
    int order[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) order[axis] = axis;
    if (!halved_ || extent[0] * p.codec.width < short_run) std::reverse(order, order + (halved_ ? row_axes_ : p.ndim));
    if (!any_order_) std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    if (halved_) {
      if (!halves_.plan(p)) return false;
      row_length = 1;
      for (int axis = 0; axis < p.ndim; ++axis) {
        extent[axis] = p.level[0].extent[axis];
        voxel_offset[axis] = p.level[0].voxel_offset[axis];
        if (axis < row_axes_) row_length *= extent[axis];
      }
      stages_[count_++] = {0, true, {}, row_length, 0, nullptr};
    }
    for (int k = halved_; k < p.levels; ++k) {
      const int before = count_;
      for (int i = 0; i < p.ndim; ++i) {
        const int axis = order[i];
        i64 factor = p.level[k].factor[axis];
        if (factor == 1 || extent[axis] == 1) {
          voxel_offset[axis] = floor_div(voxel_offset[axis], factor);
          continue;
        }
        for (i64 step; any_order_ && extent[axis] > 2 && (step = step_of(factor, axis)) < factor; factor /= step)
          add_stage(axis, step);
        add_stage(axis, factor);
      }
      if (count_ == before) add_stage(0, 1);
      stages_[count_ - 1].level = k;
    }

    base_direct_ = p.codec.is_identity() && is_contiguous(row_axes_, p.extent, p.stride, p.codec.width) &&
                   is_aligned(p.in, p.codec.width);
    for (int axis = row_axes_; axis < p.ndim; ++axis)
      base_direct_ = base_direct_ && p.stride[axis] % p.codec.width == 0;
    for (int k = 0; k < p.levels; ++k) {
      const Level& level = p.level[k];
      RowShape& shape = shapes_[k];
      shape = {p.codec.is_identity() && is_contiguous(row_axes_, level.extent, level.stride, p.codec.width) &&
                   is_aligned(level.out, p.codec.width),
               true, 1};
      for (int axis = row_axes_; axis < p.ndim; ++axis)
        shape.direct = shape.direct && level.stride[axis] % p.codec.width == 0;
      Segment segment[3] = {};
      for (int axis = 0; axis < row_axes_; ++axis) {
        shape.uniform = shape.uniform && p.segments(level, axis, segment) == 1;
        shape.count *= p.most_present(level, axis);
      }
    }

    bool all_direct = true;
    for (int k = 0; k < p.levels; ++k) all_direct = all_direct && shapes_[k].direct;
    base_bytes_ = halved_ || base_direct_ ? 0 : round_up(base_length * p.codec.width);
    out_bytes_ = all_direct ? 0 : round_up(base_length * p.codec.width);
    row_bytes_ = base_bytes_ + out_bytes_ + (halved_ ? halves_.bytes() : 0);
    for (int s = 0; s < count_; ++s) row_bytes_ += accumulator_bytes(stages_[s]);
    return true;
  }

  // Memory for the rows of a plan.
  bool lay_out() {
    if (!row_memory_.reserve(row_bytes_)) return false;
    char* at = row_memory_.data();
    auto take = [&](i64 bytes) {
      char* start = at;
      at += bytes;
      return start;
    };
    base_row_ = take(base_bytes_);
    out_row_ = take(out_bytes_);
    for (int s = 0; s < count_; ++s) stages_[s].accumulator = take(accumulator_bytes(stages_[s]));
    return true;
  }
  i64 accumulator_bytes(const Stage& stage) const {
    return round_up(stage.length * reduction_.lanes * reduction_.lane_bytes);
  }

  void walk() {
    const Problem& p = *problem_;
    std::fill(at_, at_ + p.ndim, 0);
    for (;;) {
      complete(count_ - 1);
      int axis = row_axes_;
      for (; axis < p.ndim; ++axis) {
        if (++at_[axis] < p.top().extent[axis]) break;
        at_[axis] = 0;
      }
      if (axis >= p.ndim) return;
    }
  }

  // The row of stage s at the coordinates at_ of the other axes, in the stage's own memory; its level is written.
  const char* complete(int s) {
    const Stage& stage = stages_[s];
    make(s, stage.accumulator, stage.length, false);
    if (stage.level >= 0) write(stage.level, stage.accumulator, stage.length);
    return stage.accumulator;
  }

  // The row of stage s into (or, with add, onto) `to`, whose lanes lie `plane` elements apart.
  void make(int s, char* to, i64 plane, bool add) {
    const Stage& stage = stages_[s];
    if (halved_ && s == 0) return make_halves(to, plane);
    if (stage.along_row) {
      if (s == 0)
        pool_base(to, plane, stage.run, add);
      else
        pool_lanes(complete(s - 1), stages_[s - 1].length, to, plane, stage.run, add, s == 1);
      return;
    }
    if (add && !any_order_) {  // the order of a sum of doubles is fixed: this stage's rows first
      make(s, stage.accumulator, stage.length, false);
      pool_lanes(stage.accumulator, stage.length, to, plane, {1, stage.length, 1, 1, 0, 0}, true);
      return;
    }
    const Run whole_row = {1, stage.length, 1, 1, 0, 0};
    const i64 block = at_[stage.axis];
    const i64 first = std::max<i64>(0, block * stage.run.factor - stage.run.phase);
    const i64 end = std::min(stage.run.n, (block + 1) * stage.run.factor - stage.run.phase);
    for (i64 child = first; child < end; ++child) {
      at_[stage.axis] = child;
      const bool onto = add || child > first;
      if (s == 0)
        pool_base(to, plane, whole_row, onto);
      else if (stages_[s - 1].level >= 0)
        pool_lanes(complete(s - 1), stages_[s - 1].length, to, plane, whole_row, onto, s == 1);
      else
        make(s - 1, to, plane, onto);
    }
    at_[stage.axis] = block;
  }

  // The first level's row and its voxels, straight from the base: once for every row of memory that belongs to it.
  void make_halves(char* to, i64 plane) {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    i64 at[max_ndim];
    std::copy(at_, at_ + p.ndim, at);
    std::fill(at, at + row_axes_, 0);
    const i64 ahead = halves_.ahead_along(1);
    char* out = voxels_of(0);
    for (;;) {
      const i64 count = row_axes_ > 1 ? halves_.alike(at) : 1;
      halves_.make(at, count, ahead, out, level.extent[0], to, plane);
      to += count * level.extent[0] * small_.lane_bytes;
      out += count * level.extent[0] * p.codec.width;
      i64 move = count;
      int axis = 1;
      for (; axis < row_axes_; ++axis, move = 1) {
        if ((at[axis] += move) < level.extent[axis]) break;
        at[axis] = 0;
      }
      if (axis >= row_axes_) return;
    }
  }

  // Rows of the base are read at a constant distance most of the time, so the next one can be fetched during this one. What
  // follows in a long row is fetched instead, unless it is read voxel after voxel, which the hardware follows by itself.
  void pool_base(char* to, i64 plane, Run run, bool add) {
    const char* from = base_row();
    if (base_direct_) {
      run.ahead = from - last_row_;
      if (std::abs(run.ahead) > SmallFootprints::longest_fetched_row) {
        const i64 block = std::min(run.factor, run.n) * run.span * problem_->codec.width;
        run.ahead = run.factor == 1 || block > SmallFootprints::longest_fetched_row
                        ? 0
                        : std::max(block, SmallFootprints::fetch_distance);
      }
      last_row_ = from;
    }
    reduction_.first(from, to, plane, run, add, ignore_);
  }

  void pool_lanes(const char* from, i64 from_plane, char* to, i64 to_plane, const Run& run, bool add,
                  bool from_first = false) {
    const bool widens = from_first && halved_ && widen_ != nullptr;
    const i64 from_bytes = widens ? small_.lane_bytes : reduction_.lane_bytes;
    for (int lane = 0; lane < reduction_.lanes; ++lane)
      (widens ? widen_->first : reduction_.part)(from + lane * from_plane * from_bytes,
                                                 to + lane * to_plane * reduction_.lane_bytes, 0, run, add, 0);
  }

  const char* base_row() {
    const Problem& p = *problem_;
    const char* from = p.in;
    for (int axis = row_axes_; axis < p.ndim; ++axis) from += at_[axis] * p.stride[axis];
    if (base_direct_) return from;
    i64 length = 1;
    for (int axis = 0; axis < row_axes_; ++axis) length *= p.extent[axis];
    if (!is_contiguous(row_axes_, p.extent, p.stride, p.codec.width)) {
      box_to_row(p.rows(), p.codec.width, base_row_, from, row_axes_, p.extent, p.stride);
      from = base_row_;
    }
    p.rows().encode(from, base_row_, length, p.codec);
    return base_row_;
  }

  // Where the voxels of a level's row are made.
  char* voxels_of(int k) { return shapes_[k].direct ? row_of(problem_->level[k]) : out_row_; }
  // Where in a level's output the row at hand lies.
  char* row_of(const Level& level) const {
    char* out = level.out;
    for (int axis = row_axes_; axis < problem_->ndim; ++axis) out += at_[axis] * level.stride[axis];
    return out;
  }

  void write(int k, const char* accumulator, i64 length) {
    const Problem& p = *problem_;
    const Level& level = p.level[k];
    const RowShape& shape = shapes_[k];
    if (p.lane_stride != 0 && k == p.levels - 1) {
      for (int lane = 0; lane < reduction_.lanes; ++lane)
        row_to_box(p.kernels->of_width(reduction_.lane_bytes), reduction_.lane_bytes,
                   accumulator + lane * length * reduction_.lane_bytes, row_of(level) + lane * p.lane_stride, row_axes_,
                   level.extent, level.stride);
      return;
    }
    char* made = voxels_of(k);
    if (!halved_ || k > 0) {  // (or they have been made with the accumulator)
      i64 count = 1;
      for (int axis = row_axes_; axis < p.ndim; ++axis) count *= p.present(level, axis, at_[axis]);
      // (as if no footprint along the row were cut, then those that are: few, and runs without them are short)
      finish(accumulator, length, made, 0, length, count * shape.count);
      if (!shape.uniform) finish_axis(level, row_axes_ - 1, accumulator, length, made, 0, length, count, true);
    }
    if (shape.direct) return;
    p.rows().decode(made, length, p.codec);
    row_to_box(p.rows(), p.codec.width, made, row_of(level), row_axes_, level.extent, level.stride);
  }

  void finish(const char* accumulator, i64 plane, char* out, i64 from, i64 length, i64 count) {
    reduction_.finish(accumulator + from * reduction_.lane_bytes, plane, out + from * problem_->codec.width, length,
                      {count, half_even_, ignore_});
  }

  // Footprints at the edges hold fewer voxels: finish runs of equal counts. whole: those that are not cut are finished.
  void finish_axis(const Level& level, int axis, const char* accumulator, i64 plane, char* out, i64 from, i64 length,
                   i64 count, bool whole) {
    Segment segments[3];
    const int found = problem_->segments(level, axis, segments);
    const i64 step = length / level.extent[axis], most = problem_->most_present(level, axis);
    bool below_uniform = true;
    i64 below = 1;
    for (int other = 0; other < axis; ++other) {
      Segment lower[3] = {};
      below_uniform = below_uniform && problem_->segments(level, other, lower) == 1;
      below *= lower[0].present;
    }
    for (int i = 0; i < found; ++i) {
      const Segment& segment = segments[i];
      const bool finished = whole && segment.present == most;
      if (below_uniform) {
        if (!finished)
          finish(accumulator, plane, out, from + segment.first * step, segment.count * step,
                 count * segment.present * below);
        continue;
      }
      for (i64 j = segment.first; j < segment.first + segment.count; ++j)
        finish_axis(level, axis - 1, accumulator, plane, out, from + j * step, step, count * segment.present, finished);
    }
  }

  const Reduction &reduction_, &small_;
  const Reduction* widen_;
  const bool any_order_, half_even_;
  const u64 ignore_;

  std::unique_ptr<Problem> part_;
  const Problem* problem_ = nullptr;
  i64 blocks_ = 0, chunk_ = 0;
  int row_axes_ = 1, count_ = 0;
  Stage* stages_ = nullptr;
  RowShape shapes_[max_levels];
  bool base_direct_ = false, halved_ = false;
  SmallFootprints halves_;
  char *base_row_ = nullptr, *out_row_ = nullptr;
  i64 base_bytes_ = 0, out_bytes_ = 0, row_bytes_ = 0;
  const char* last_row_ = nullptr;
  i64 at_[max_ndim];
  Arena stage_memory_, row_memory_;
};

}  // namespace tinypyr
