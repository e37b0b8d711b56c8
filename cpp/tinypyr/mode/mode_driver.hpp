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
    const SelectKernels& kernels = problem.rows().mode[options_.ties == Ties::lowest][options_.has_ignore];
    first_level_.emplace(selection_kernels(kernels.small, ignore_, false));
    plan_.make(problem, options_, first_level_->fits(problem));
    lists_.start(problem, unproven);
    i64 size[max_ndim];
    plan_.choose_tile(size);
    if (!tile_.start(problem, size, plan_.pools_first_level())) return Status::out_of_memory;
    if (plan_.has_blocks() && !blocks_.start(problem, plan_.shape(), tile_.votes())) return Status::out_of_memory;
    do {
      if (make_tile() == Outcome::out_of_memory) return Status::out_of_memory;
    } while (tile_.next());
    return Status::ok;
  }

 private:
  // Compute a tile by the first strategy that applies and succeeds. If the footprints of the first level are small,
  // that level is pooled first: this fast path also writes the ModeVotes that the strategies for higher levels use,
  // while the tile stays in the cache.
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
    Outcome outcome = pool_first_level();
    if (outcome == Outcome::out_of_memory) return outcome;
    for (const Strategy& strategy : strategies) {
      if (!(plan_.*strategy.applies)()) continue;
      outcome = (this->*strategy.make)();
      if (outcome == Outcome::done || outcome == Outcome::out_of_memory) break;
    }
    return outcome;
  }

  Outcome pool_first_level() {
    if (!plan_.pools_first_level()) return Outcome::done;
    return outcome_of(first_level_->run(tile_.part(), tile_.votes().data, tile_.votes().stride));
  }

  Outcome use_bounds() {
    const Outcome outcome = bounds_.make(tile_.part(), tile_.votes());
    if (outcome != Outcome::done) plan_.count_declined_tile();
    return outcome;
  }

  Outcome use_blocks() { return blocks_.make(tile_); }
  Outcome use_blocks_below_lists() { return blocks_.make_below_lists(tile_); }
  Outcome use_lists() { return lists_.make(tile_.first(), tile_.end()) ? Outcome::done : Outcome::out_of_memory; }
  Outcome use_selection() { return outcome_of(selection_.run(tile_.part(), ignore_)); }

  static Outcome outcome_of(Status status) { return status == Status::ok ? Outcome::done : Outcome::out_of_memory; }

  const Options& options_;
  const u64 ignore_;
  ModePlan plan_;
  ModeTile tile_;  // the current tile
  // The strategies.
  std::optional<SmallFootprints> first_level_;  // made anew for each problem, with its kernels
  VoteBounds bounds_;
  LabelLists lists_;
  BlockTiles blocks_;
  SelectionDriver selection_;
};

}  // namespace tinypyr
