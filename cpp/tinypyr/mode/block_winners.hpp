// The rank with the most votes in each output of a block, and the resolution of ties among ranks.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "block_entries.hpp"
#include "block_ranks.hpp"
#include "block_votes.hpp"

namespace tinypyr {

// Order of calls: pick or set_all for each block, then ranks.
class BlockWinners {
 public:
  BlockWinners(Ties ties, const BlockLayout& layout, const BlockEntries& entries, const BlockRanks& ranks,
               const BlockVotes& votes)
      : ties_(ties), layout_(layout), entries_(entries), ranks_(ranks), votes_(votes) {}

  // Let rank 0 win in all outputs: the only label, or the ignored value if no voxel counts.
  void set_all() { std::fill(winner_, winner_ + layout_.output.start[layout_.shape.levels], u16{0}); }

  // Find the winners from the votes. BlockRanks::count() stands for outputs in which no voxel counts.
  void pick(const Kernels& kernels) {
    const BlockShape& shape = layout_.shape;
    const i64 *const start = layout_.output.start, words = votes_.row_length();
    if (start[shape.levels] == 0 || !kernels.most_votes(votes_.words(), words, ranks_.count(), words, most_, winner_))
      return;
    for (int k = shape.first; k < shape.levels; ++k)
      for (i64 i = start[k]; i < start[k + 1]; ++i)
        if (winner_[i] & tie_bit) winner_[i] = break_tie(k, i);
  }

  // The winners by output.
  const u16* ranks() const { return winner_; }

 private:
  // Choose among the labels with the most votes: the lowest, or the one whose first voxel comes first in raster order.
  u16 break_tie(int k, i64 output) const {
    if (most_[output] == 0) return static_cast<u16>(ranks_.count());  // no voxel counts
    int best = winner_[output] & ~tie_bit;
    u64 tied = 0;
    for (int r = best; r < ranks_.count(); ++r) {
      if (votes_.of(r, output) != most_[output]) continue;
      tied |= u64{1} << r;
      if (ranks_.key(r) < ranks_.key(best)) best = r;
    }
    if (ties_ == Ties::lowest) return static_cast<u16>(best);
    for (const u16* voxel = layout_.output.raster_of[k];; ++voxel) {
      const i64 cell = layout_.output.cell[output] + *voxel / max_cell;
      const u8 code = entries_.code_of(layout_.shape, cell, *voxel % max_cell);
      if (code != code_none && (tied >> (code - 1) & 1) != 0) return static_cast<u16>(code - 1);
    }
  }

  const Ties ties_;
  const BlockLayout& layout_;
  const BlockEntries& entries_;
  const BlockRanks& ranks_;
  const BlockVotes& votes_;
  u16 most_[2 * max_block], winner_[2 * max_block];  // by output: the most votes; the rank that has them
};

}  // namespace tinypyr
