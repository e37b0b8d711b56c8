// Two strategies that compute a tile block by block: RankBlocks for all levels, or for the lower levels with LabelLists
// above them.
//
// Assumes: a BlockShape with at least one level. If its cells are voxels of the first level, that level and its
// ModeVotes are written for the tile.
// Guarantees: exact modes, except for what LabelLists counts as not proven. Blocks with too many labels are computed by
// LabelLists, from their voxels.
// Ties: BlockWinners::break_tie, and LabelLists::write for voxels that lists compute.
#pragma once

#include <algorithm>

#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "block_labels.hpp"
#include "label_lists.hpp"
#include "mode_tile.hpp"
#include "outcome.hpp"
#include "rank_blocks.hpp"

namespace tinypyr {

// Order of calls: start, once per problem; then any strategy for each tile.
class BlockTiles {
 public:
  // lists: started for the same problems.
  BlockTiles(const Options& options, u64 ignore, LabelLists& lists) : blocks_(options, ignore), lists_(lists) {}

  // votes: of the current tile. Return false if memory runs out.
  bool start(const Problem& problem, const BlockShape& shape, const ModeVotes& votes) {
    problem_ = &problem;
    shape_ = shape;
    return blocks_.start(problem, shape, votes);
  }

  // Compute a tile whose blocks hold all levels. If there is only one level, a block with too many labels declines the
  // tile, because selection is faster than lists.
  Outcome make(ModeTile& tile) {
    const Problem& p = *problem_;
    const IndexRange blocks{AxisRange{0, p.ndim}, tile.end(), tile.first(), shape_.group};
    const auto ignore_labels = [](const Label*, int) {};
    i64 at[max_ndim];
    start_fetching(tile);
    blocks.start(at);
    do {
      fetch(tile);
      if (blocks_.make(at, ignore_labels) == Outcome::done) continue;
      if (p.levels == 1) return Outcome::too_many_labels;
      i64 end[max_ndim];
      for (int axis = 0; axis < p.ndim; ++axis) end[axis] = std::min(tile.end()[axis], at[axis] + shape_.group[axis]);
      if (!lists_.make(at, end)) return Outcome::out_of_memory;
    } while (blocks.next(at));
    return Outcome::done;
  }

  // Compute a tile whose blocks hold the lower levels.
  Outcome make_below_lists(ModeTile& tile) {
    const Problem& p = *problem_;
    const Level &top = p.top(), &level = p.level[shape_.levels - 1];
    i64 first[max_ndim], end[max_ndim], at[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 ratio = top.total[axis] / level.total[axis], begin = tile.first()[axis];
      const i64 start = (top.voxel_offset[axis] + begin) * ratio - level.voxel_offset[axis];
      first[axis] = std::max<i64>(0, start);
      end[axis] = std::min(level.extent[axis], start + (tile.end()[axis] - begin) * ratio);
    }
    if (!labels_.start(shape_.levels - 1, p.ndim, first, end)) return Outcome::out_of_memory;
    start_fetching(tile);
    bool has_memory = true;
    const auto add_labels = [&](const Label* labels, int count) { has_memory = labels_.add(labels, count); };
    IndexRange{AxisRange{0, p.ndim}, end, first}.each(at, [&] {
      fetch(tile);
      if (blocks_.make(at, add_labels) != Outcome::done) labels_.add_too_many();
      return has_memory;
    });
    return has_memory && lists_.make(tile.first(), tile.end(), &labels_) ? Outcome::done : Outcome::out_of_memory;
  }

 private:
  // Prefetch the next tile meanwhile, unless RankBlocks prefetches the base itself.
  void start_fetching(ModeTile& tile) const {
    if (shape_.has_pooled_cells()) tile.start_fetching();
  }
  void fetch(ModeTile& tile) const {
    problem_->report(shape_.voxels * problem_->codec.width);
    tile.fetch(shape_.voxels * problem_->codec.width);
  }

  const Problem* problem_ = nullptr;
  BlockShape shape_;
  RankBlocks blocks_;
  BlockLabels labels_;
  LabelLists& lists_;
};

}  // namespace tinypyr
