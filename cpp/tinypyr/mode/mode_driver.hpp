// The mode of several levels, or of footprints of more than max_small_footprint voxels, tile by tile: the choice of the
// strategy for each tile.
//
// How ties are broken. With ties="lowest", labels are compared as keys in the order of their values; with ties="first",
// by the first voxel of the footprint that has one of the tied labels, in raster order with the caller's axis 0
// fastest. (If ties="lowest", choose_encoding in pyramid.cpp makes keys follow the order of values.)
//
//   strategy         where ties are broken         "lowest"                       "first"
//   SmallFootprints, Mode in selections.inl        minimum among the voxels with  rows are listed in raster order, and
//    ShortRows (one                                the most votes, in registers   the first voxel with the most votes
//    level)                                                                       wins
//   VoteBounds       FootprintCounter::count       minimum of the tied keys       gathered voxels, visited in raster
//                    (proven modes have no ties)                                  order
//   RankBlocks       BlockWinners::break_tie       minimum of the tied keys       codes, by the table Outputs::raster
//                                                                                 of BlockLayout
//   LabelLists       LabelLists::write             lists are sorted by key, and   smallest position of a first voxel,
//                                                  the first of the tied labels   which merging preserves
//                                                  wins
//   SelectionDriver  up to 32 voxels: Mode in      as SmallFootprints, with one row per voxel of the footprint
//                    selections.inl
//                    larger: WholeFootprint::mode  the first of the sorted keys   copied keys, visited in raster order
//                    very large: RadixSelect       labels are tried from low to   position of the first voxel in
//                                                  high                           raster order
#pragma once

#include <optional>

#include "../core/problem.hpp"
#include "../reduce/small_footprints.hpp"
#include "../select/selection.hpp"
#include "block_tiles.hpp"
#include "compact_tile.hpp"
#include "label_lists.hpp"
#include "mode_plan.hpp"
#include "mode_tile.hpp"
#include "outcome.hpp"
#include "vote_bounds.hpp"

namespace tinypyr {

// Calls of run are independent of each other.
class ModeDriver {
 public:
  ModeDriver(const Options& options, u64 ignore)
      : options_(options),
        ignore_(ignore),
        bounds_(options),
        lists_(options, ignore),
        blocks_(options, ignore, lists_),
        selection_(options) {}

  // Compute all levels. The numbers of voxels whose modes are not proven are added to unproven, by level.
  Status run(const Problem& problem, i64* unproven) {
    choose_kernels(problem);
    plan_.make(problem, options_, first_level_->fits(problem));
    lists_.start(problem, unproven);
    i64 size[max_ndim];
    plan_.choose_tile(size);
    if (!tile_.start(problem, size, plan_.pools_first_level())) return Status::out_of_memory;
    if (plan_.may_copy() && !copy_.start(problem, size, plan_.has_direct_rows())) return Status::out_of_memory;
    has_started_blocks_ = false;
    do {
      if (make_tile() == Outcome::out_of_memory) return Status::out_of_memory;
    } while (tile_.next());
    return Status::ok;
  }

 private:
  // Compute a tile by the first strategy that applies and succeeds. If the footprints of the first level are small,
  // strategies for higher levels use the ModeVotes that are written while that level is pooled.
  Outcome make_tile() {
    struct Strategy {
      bool (ModePlan::*applies)() const;
      Outcome (ModeDriver::*make)();
    };
    static constexpr Strategy strategies[] = {
        // Declines noise and tiles with too many labels.
        {&ModePlan::may_use_bounds, &ModeDriver::use_bounds},
        // Declines a tile if a block has too many labels and there is one level. With several levels, lists compute the
        // block.
        {&ModePlan::has_blocks_of_all_levels, &ModeDriver::use_blocks},
        // These never decline.
        {&ModePlan::has_one_level, &ModeDriver::use_selection},
        {&ModePlan::has_blocks, &ModeDriver::use_blocks_below_lists},
        {&ModePlan::always, &ModeDriver::use_lists},
    };
    has_first_level_ = false;
    Outcome outcome = Outcome::done;
    for (const Strategy& strategy : strategies) {
      if (!(plan_.*strategy.applies)()) continue;
      outcome = (this->*strategy.make)();
      if (outcome == Outcome::done || outcome == Outcome::out_of_memory) break;
    }
    return outcome;
  }

  // Set the loops of the first level to those for voxels of the problem's width.
  void choose_kernels(const Problem& problem) {
    first_level_.emplace(
        selection_kernels(problem.rows().mode[options_.ties == Ties::lowest][options_.has_ignore], ignore_, false));
  }

  // Pool the tile's first level, unless a strategy before has done so. Return false if memory runs out.
  bool pool_first_level() {
    if (has_first_level_ || !plan_.pools_first_level()) return true;
    has_first_level_ = true;
    return pool_first_level(tile_.part(), tile_.votes());
  }

  bool pool_first_level(const Problem& tile, const ModeVotes& votes) {
    choose_kernels(tile);
    return first_level_->run(tile, votes.data, votes.stride) == Status::ok;
  }

  Outcome use_bounds() {
    bool is_copied = false;
    if (plan_.may_copy() && !copy_.copy(tile_.part(), &is_copied)) return Outcome::out_of_memory;
    const Problem& tile = is_copied ? copy_.problem() : tile_.part();
    const ModeVotes& votes = is_copied ? copy_.votes() : tile_.votes();
    has_first_level_ = !is_copied;
    if (!pool_first_level(tile, votes)) return Outcome::out_of_memory;
    const Outcome outcome = bounds_.make(tile, votes);
    if (outcome != Outcome::done) plan_.count_declined_tile();
    if (outcome == Outcome::done && is_copied) copy_.write(tile_.part());
    return outcome;
  }

  Outcome use_blocks() { return start_blocks() ? blocks_.make(tile_) : Outcome::out_of_memory; }
  Outcome use_blocks_below_lists() { return start_blocks() ? blocks_.make_below_lists(tile_) : Outcome::out_of_memory; }

  // Prepare the strategies that use blocks. Return false if memory runs out.
  bool start_blocks() {
    if (!pool_first_level()) return false;
    has_started_blocks_ = has_started_blocks_ || blocks_.start(tile_.whole(), plan_.shape(), tile_.votes());
    return has_started_blocks_;
  }

  Outcome use_lists() { return lists_.make(tile_.first(), tile_.end()) ? Outcome::done : Outcome::out_of_memory; }
  Outcome use_selection() {
    return selection_.run(tile_.part(), ignore_) == Status::ok ? Outcome::done : Outcome::out_of_memory;
  }

  const Options& options_;
  const u64 ignore_;
  ModePlan plan_;
  ModeTile tile_;                 // the current tile
  CompactTile copy_;              // its copy
  bool has_first_level_ = false;  // the tile's first level and its votes are written
  bool has_started_blocks_ = false;
  // The strategies.
  std::optional<SmallFootprints> first_level_;  // made anew for each tile, with the kernels of its width
  VoteBounds bounds_;
  LabelLists lists_;
  BlockTiles blocks_;
  SelectionDriver selection_;
};

}  // namespace tinypyr
