// Labels of the blocks of one tile: the output of RankBlocks and the input of LabelLists.
#pragma once

#include "../core/arena.hpp"
#include "label_list.hpp"

namespace tinypyr {

// The blocks form a box of voxels of one level. Order of calls: start, then add or add_too_many once per block, axis 0
// fastest, then the functions that read.
class BlockLabels {
 public:
  // Begin a box of blocks. Return false if memory runs out.
  bool start(int level, int ndim, const i64* first, const i64* end) {
    level_ = level;
    ndim_ = ndim;
    blocks_ = labels_ = 0;
    i64 blocks = 1;
    for (int axis = 0; axis < ndim; ++axis) {
      first_[axis] = first[axis];
      count_[axis] = end[axis] - first[axis];
      blocks *= count_[axis];
    }
    return slot_memory_.reserve(blocks * static_cast<i64>(sizeof(Slot)));
  }

  // Add a block with its labels. Return false if memory runs out.
  bool add(const Label* labels, int count) {
    const i64 bytes = (labels_ + count) * static_cast<i64>(sizeof(Label));
    if (bytes > memory_.size()) {
      Arena larger;
      if (!larger.reserve(2 * bytes)) return false;
      std::copy(all(), all() + labels_, reinterpret_cast<Label*>(larger.data()));
      memory_.swap(larger);
    }
    std::copy(labels, labels + count, all() + labels_);
    slots()[blocks_++] = {labels_, count};
    labels_ += count;
    return true;
  }
  // Add a block with too many labels, which RankBlocks has not written.
  void add_too_many() { slots()[blocks_++] = {0, -1}; }

  int level() const { return level_; }
  // Return the number of the block of this voxel of the level.
  i64 block(const i64* at) const {
    i64 block = 0;
    for (int axis = ndim_ - 1; axis >= 0; --axis) block = block * count_[axis] + at[axis] - first_[axis];
    return block;
  }
  bool has_too_many(i64 block) const { return slots()[block].count < 0; }
  const Label* begin(i64 block) const { return all() + slots()[block].first; }
  const Label* end(i64 block) const { return begin(block) + slots()[block].count; }

 private:
  struct Slot {
    i64 first;
    int count;
  };
  Slot* slots() const { return reinterpret_cast<Slot*>(slot_memory_.data()); }
  Label* all() const { return reinterpret_cast<Label*>(memory_.data()); }

  int level_ = 0, ndim_ = 0;
  i64 first_[max_ndim], count_[max_ndim];
  Arena slot_memory_, memory_;
  i64 blocks_ = 0, labels_ = 0;
};

}  // namespace tinypyr
