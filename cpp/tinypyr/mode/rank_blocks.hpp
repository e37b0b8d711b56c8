// Modes by counting, block by block, for several levels at once.
//
// Most cells of a block (mode/block_shape.hpp) hold one label; the others, mixed cells, are counted voxel by voxel. The
// steps for each block are: read its labels (EntryGatherer), rank them in the order in which they occur (BlockRanks),
// count the votes of each rank in each output (BlockVotes), and find the ranks with the most votes (BlockWinners).
//
// Assumes: footprints of the block's levels have at most good_block voxels (BlockShape). If the first level is pooled
// already, that level and its ModeVotes are written for the tile.
// Guarantees: exact modes of all levels of a block, for any dtype, strides, ties and ignored value. A block with more
// than max_ranks labels is not written, and Outcome::too_many_labels is returned.
// Ties: BlockWinners::break_tie.
#pragma once

#include <algorithm>
#include <cstring>

#include "block_entries.hpp"
#include "block_layout.hpp"
#include "block_ranks.hpp"
#include "block_votes.hpp"
#include "block_winners.hpp"
#include "current_block.hpp"
#include "entry_gatherer.hpp"
#include "label_list.hpp"
#include "outcome.hpp"

namespace tinypyr {

// Computes modes by ranks. Call start once per problem, then make for each block.
class RankBlocks {
 public:
  RankBlocks(const Options& options, u64 ignore)
      : gatherer_(layout_, block_, entries_),
        ranks_(options, ignore),
        votes_(layout_),
        winners_(options.ties, layout_, entries_, ranks_, votes_) {}

  // votes: votes of the current tile, which may change between blocks; used only if the first level is pooled. Return
  // false if memory runs out.
  bool start(const Problem& problem, const BlockShape& shape, const ModeVotes& votes) {
    problem_ = &problem;
    tile_votes_ = &votes;
    layout_.build(problem, shape, votes);
    gatherer_.start(problem);
    ranks_.start(problem);
    return entries_.allocate(layout_, problem.codec.width) && votes_.start(problem);
  }

  // Compute the block whose first voxel on its last level is `at`. If there are levels above, pass its labels to
  // sink(labels, count).
  template <class Sink>
  Outcome make(const i64* at, Sink sink) {
    const Problem& p = *problem_;
    const BlockShape& shape = layout_.shape;
    block_.move_to(p, shape, *tile_votes_, at);
    prefetch_ahead();
    with_unsigned(p.codec.width, [&](auto u) { gatherer_.gather<decltype(u)>(); });
    if (!ranks_.rank(shape, entries_)) return Outcome::too_many_labels;
    const bool one_label = block_.whole && ranks_.has_one_label(shape, entries_);
    if (ranks_.count() == 0 || one_label) {
      winners_.set_all();
    } else {
      votes_.count(entries_, ranks_.count());
      winners_.pick(*p.kernels);
    }
    with_unsigned(p.codec.width, [&](auto u) { write<decltype(u)>(); });
    if (shape.levels == p.levels) return Outcome::done;
    Label labels[max_ranks];
    if (one_label)
      labels[0] = {ranks_.key(0), shape.voxels, block_.position};
    else
      list_labels(labels);
    sink(labels, ranks_.count());
    return Outcome::done;
  }

 private:
  // Prefetch cells of the base, which have not been read before. (Inlining is forced: GCC treats a function that only
  // prefetches as one without effects, and removes calls to it.)
  TINYPYR_INLINE void prefetch_ahead() const {
    const Problem& p = *problem_;
    const BlockShape& shape = layout_.shape;
    const BlockLayout::Runs& run = layout_.run;
    if (shape.has_pooled_cells()) return;
    if (run.ahead == 2 * cache_line && (block_.cells - p.in) % cache_line >= shape.span[0] * p.codec.width) return;
    for (i64 i = 0; i < run.count; ++i) prefetch_to_second(block_.cells + run.offset[i] + run.ahead, 1);
  }

  // Write the labels of the block's only voxel on its last level.
  void list_labels(Label* labels) {
    const BlockShape& shape = layout_.shape;
    const i64 last = std::max<i64>(0, layout_.output.start[shape.levels] - 1);
    for (i64 m = 0; m < entries_.mixed_count; ++m)
      for (i64 j = 0; j < shape.cell_voxels; ++j)
        entries_.place[entries_.first_mixed + m * shape.cell_voxels + j] =
            static_cast<u16>(layout_.cell.place[entries_.mixed[m]] + layout_.voxel.place[j]);
    const i64 entries = entries_.count(shape);
    for (int r = 0; r < ranks_.count(); ++r) {
      const u8 code = static_cast<u8>(r + 1);
      const int place = problem_->kernels->first_place(entries_.code, entries_.place, entries, code);
      labels[r] = {ranks_.key(r), votes_.of(r, last), block_.position + layout_.position[place]};
    }
  }

  // Write the winners of all outputs that exist.
  template <class U>
  void write() const {
    const Problem& p = *problem_;
    const BlockLayout::Outputs& output = layout_.output;
    const u16* const winner = winners_.ranks();
    for (int k = layout_.shape.first; k < layout_.shape.levels; ++k) {
      char* out = output.data[k];
      for (int axis = 0; axis < p.ndim; ++axis) out += block_.at[axis] * output.step[k][axis];
      const i64 first = output.start[k], n = output.start[k + 1] - first;
      if (block_.whole)
        put<U>(out, output.offset + first, winner + first, ranks_.values(), n);
      else
        for (i64 i = first; i < first + n; ++i)
          if (block_.has_output(p.ndim, layout_, p.level[k], i))
            put<U>(out, output.offset + i, winner + i, ranks_.values(), 1);
    }
  }

  template <class U>
  static void put(char* out, const i64* offset, const u16* winner, const u64* value, i64 n) {
    for (i64 i = 0; i < n; ++i) {
      const U voxel = static_cast<U>(value[winner[i]]);
      std::memcpy(out + offset[i], &voxel, sizeof(U));
    }
  }

  const Problem* problem_ = nullptr;
  const ModeVotes* tile_votes_ = nullptr;
  BlockLayout layout_;
  CurrentBlock block_;
  BlockEntries entries_;
  EntryGatherer gatherer_;
  BlockRanks ranks_;
  BlockVotes votes_;
  BlockWinners winners_;
};

}  // namespace tinypyr
