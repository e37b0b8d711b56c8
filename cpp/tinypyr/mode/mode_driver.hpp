// The multi-level mode, tile by tile: the choice of the strategy for each tile.
#pragma once

#include <algorithm>
#include <optional>

#include "../core/fetcher.hpp"
#include "../core/problem.hpp"
#include "../reduce/small_footprints.hpp"
#include "../select/selection.hpp"
#include "block_labels.hpp"
#include "label_lists.hpp"
#include "mode_tile.hpp"
#include "outcome.hpp"
#include "rank_blocks.hpp"
#include "vote_bounds.hpp"

namespace tinypyr {

class ModeDriver {
 public:
  ModeDriver(const Options& options, u64 ignore_key)
      : options_(options),
        ignore_(ignore_key),
        bounds_(options),
        blocks_(options, ignore_key),
        lists_(options, ignore_key),
        selection_(options) {}

  // Compute all levels. The numbers of voxels whose modes are not proven are added to unproven, by level.
  Status run(const Problem& problem, i64* unproven) {
    problem_ = &problem;
    plan();
    lists_.start(problem, unproven);
    i64 size[max_ndim];
    choose_tile(size);
    if (!tile_.start(problem, size, first_level_.has_value())) return Status::out_of_memory;
    if (shape_.levels > 0 && !blocks_.start(problem, shape_, tile_.votes())) return Status::out_of_memory;
    do {
      if (make_tile() == Outcome::out_of_memory) return Status::out_of_memory;
    } while (tile_.next());
    return Status::ok;
  }

 private:
  // Compute a tile by the first strategy that applies and succeeds. If the footprints of the first level are small,
  // that level is pooled first: this fast path also writes the ModeVotes that the strategies above use, while the tile
  // stays in the cache.
  Outcome make_tile() {
    struct Strategy {
      bool (ModeDriver::*applies)() const;
      Outcome (ModeDriver::*make)();
    };
    static constexpr Strategy strategies[] = {
        // Declines noise and tiles with too many labels.
        {&ModeDriver::may_use_bounds, &ModeDriver::use_bounds},
        // Declines blocks with too many labels if there is one level; otherwise computes them by lists.
        {&ModeDriver::blocks_hold_all_levels, &ModeDriver::use_blocks},
        // These two never decline.
        {&ModeDriver::has_one_level, &ModeDriver::use_selection},
        {&ModeDriver::blocks_hold_some_levels, &ModeDriver::use_blocks_below_lists},
        {&ModeDriver::always, &ModeDriver::use_lists},
    };
    Outcome outcome = pool_first_level();
    if (outcome == Outcome::out_of_memory) return outcome;
    for (const Strategy& strategy : strategies) {
      if (!(this->*strategy.applies)()) continue;
      outcome = (this->*strategy.make)();
      if (outcome == Outcome::done || outcome == Outcome::out_of_memory) break;
    }
    return outcome;
  }

  bool may_use_bounds() const { return may_use_bounds_; }
  bool blocks_hold_all_levels() const { return shape_.levels == problem_->levels; }
  bool has_one_level() const { return problem_->levels == 1; }
  bool blocks_hold_some_levels() const { return shape_.levels > 0; }
  bool always() const { return true; }

  // --- the plan of a call -------------------------------------------------------------------------------------------

  void plan() {
    const Problem& p = *problem_;
    const SelectKernels& kernels = p.rows().mode[options_.ties == Ties::lowest][options_.has_ignore];
    first_level_.emplace(kernels.small, true, ignore_);
    const bool fits = first_level_->fits(p);
    shape_ = BlockShape(p, fits);
    blocks_per_voxel_ = 1;
    for (int axis = 0; axis < p.ndim && shape_.levels > 0; ++axis) {
      const Level& level = p.level[shape_.levels - 1];
      blocks_per_voxel_ *= std::min(p.top().total[axis] / level.total[axis] + 1, level.extent[axis]);
    }
    if (blocks_per_voxel_ > max_blocks) shape_ = BlockShape();
    if (!fits || shape_.levels == 0) first_level_.reset();
    may_use_bounds_ = first_level_.has_value() && VoteBounds::fits(p, options_);
    declined_tiles_ = 0;
  }

  // size: receives the extents of a tile, in voxels of the last level.
  void choose_tile(i64* size) const {
    const Problem& p = *problem_;
    const Level& top = p.top();
    if (shape_.levels == 0 && p.levels == 1) {  // selection chooses its own order of memory
      std::copy(top.extent, top.extent + p.ndim, size);
      return;
    }
    i64 voxels = shape_.levels == 0 ? 1 : blocks_per_voxel_ * shape_.voxels, bytes = tile_bytes;
    if (may_use_bounds_) {
      voxels = 1;
      i64 planes = 1;
      for (int axis = 0; axis < p.ndim; ++axis) {
        voxels *= top.total[axis] * group(axis);
        if (axis > 1) planes *= std::min(top.total[axis], p.extent[axis]);
      }
      // (Long runs of every plane are worth more than a tile that fits the second-level cache.)
      bytes = std::min(std::max(planes * plane_bytes, tile_bytes / 2), 2 * tile_bytes);
    }
    i64 room = std::max<i64>(1, bytes / (voxels * p.codec.width));
    for (int axis = 0; axis < p.ndim; ++axis) {
      size[axis] = std::min(room * group(axis), top.extent[axis]);
      room = std::max<i64>(1, room / ceil_div(size[axis], group(axis)));
    }
  }

  // Voxels of the last level in a block, if blocks hold all levels; else 1.
  i64 group(int axis) const { return blocks_hold_all_levels() ? shape_.group[axis] : 1; }

  // --- strategies ---------------------------------------------------------------------------------------------------

  Outcome pool_first_level() {
    if (!first_level_) return Outcome::done;
    tile_.place_votes();
    const Status status = first_level_->run(tile_.part(), tile_.votes().data, tile_.votes().stride);
    return status == Status::ok ? Outcome::done : Outcome::out_of_memory;
  }

  Outcome use_bounds() {
    const Outcome outcome = bounds_.make(tile_.part(), tile_.votes());
    if (outcome != Outcome::done) may_use_bounds_ = ++declined_tiles_ <= max_declined_tiles;
    return outcome;
  }

  // Compute a tile by blocks. Blocks with many labels are computed by lists, from their voxels. If there is only one
  // level, selection is faster than lists, and computes the whole tile.
  Outcome use_blocks() {
    const Problem& p = *problem_;
    const IndexRange blocks{AxisRange{0, p.ndim}, top_end(), tile_.first(), shape_.group};
    const auto ignore_labels = [](const Label*, int) {};
    i64 at[max_ndim];
    if (first_level_) tile_.start_fetching();
    blocks.start(at);
    do {
      fetch_block();
      if (blocks_.make(at, ignore_labels) == Outcome::done) continue;
      if (p.levels == 1) return Outcome::too_many_labels;
      i64 end[max_ndim];
      for (int axis = 0; axis < p.ndim; ++axis) end[axis] = std::min(top_end_[axis], at[axis] + shape_.group[axis]);
      if (!lists_.make(at, end)) return Outcome::out_of_memory;
    } while (blocks.next(at));
    return Outcome::done;
  }

  Outcome use_blocks_below_lists() {
    const Problem& p = *problem_;
    const Level &top = p.top(), &level = p.level[shape_.levels - 1];
    i64 first[max_ndim], end[max_ndim], at[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 ratio = top.total[axis] / level.total[axis], begin = tile_.first()[axis];
      const i64 start = (top.voxel_offset[axis] + begin) * ratio - level.voxel_offset[axis];
      first[axis] = std::max<i64>(0, start);
      end[axis] = std::min(level.extent[axis], start + (tile_.end(axis) - begin) * ratio);
    }
    if (!labels_.start(shape_.levels - 1, p.ndim, first, end)) return Outcome::out_of_memory;
    if (first_level_) tile_.start_fetching();
    bool has_room = true;
    const auto add_labels = [&](const Label* labels, int count) { has_room = labels_.add(labels, count); };
    IndexRange{AxisRange{0, p.ndim}, end, first}.each(at, [&] {
      fetch_block();
      if (blocks_.make(at, add_labels) != Outcome::done) labels_.add_too_many();
      return has_room;
    });
    return has_room && lists_.make(tile_.first(), top_end(), &labels_) ? Outcome::done : Outcome::out_of_memory;
  }

  Outcome use_lists() { return lists_.make(tile_.first(), top_end()) ? Outcome::done : Outcome::out_of_memory; }

  Outcome use_selection() {
    return selection_.run(tile_.part(), ignore_) == Status::ok ? Outcome::done : Outcome::out_of_memory;
  }

  void fetch_block() {
    problem_->report(shape_.voxels * problem_->codec.width);
    tile_.fetch(shape_.voxels * problem_->codec.width);
  }

  const i64* top_end() {
    for (int axis = 0; axis < problem_->ndim; ++axis) top_end_[axis] = tile_.end(axis);
    return top_end_;
  }

  static constexpr i64 max_blocks = 4096, tile_bytes = i64{1} << 19, plane_bytes = i64{1} << 16;
  static constexpr int max_declined_tiles = 16;  // after this many, bounds are not tried again

  const Options& options_;
  const u64 ignore_;
  const Problem* problem_ = nullptr;
  // The plan.
  std::optional<SmallFootprints> first_level_;  // empty if its footprints are not small
  BlockShape shape_;
  i64 blocks_per_voxel_ = 1;  // of the last level
  bool may_use_bounds_ = false;
  int declined_tiles_ = 0;
  // The current tile.
  ModeTile tile_;
  i64 top_end_[max_ndim];
  BlockLabels labels_;
  // The strategies.
  VoteBounds bounds_;
  RankBlocks blocks_;
  LabelLists lists_;
  SelectionDriver selection_;
};

}  // namespace tinypyr
