// The current tile of the multi-level mode and the data that its strategies share. A tile is a part of the call that is
// small enough to stay in the cache from one strategy to the next.
#pragma once

#include <algorithm>

#include "../core/arena.hpp"
#include "../core/index.hpp"
#include "../core/problem.hpp"

namespace tinypyr {

// For each voxel of a tile's first level, the number of base voxels in its footprint that have its label (as Votes,
// axis 0 fastest).
struct ModeVotes {
  char* data = nullptr;
  i64 stride[max_ndim];        // in votes
  i64 voxel_offset[max_ndim];  // global coordinate of the first of these voxels
};

// Iterates over the tiles of a problem: call start, then next until it returns false.
class ModeTile {
 public:
  // Move to the first tile. size: voxels of the last level in a tile. has_votes: allocate ModeVotes. Return false if
  // memory runs out.
  bool start(const Problem& whole, const i64* size, bool has_votes) {
    whole_ = &whole;
    std::copy(size, size + whole.ndim, size_);
    fetcher_.stop();
    if (!Problem::reserve(part_, whole.levels) || !Problem::reserve(following_, whole.levels)) return false;
    if (has_votes && !allocate_votes()) return false;
    tiles().start(first_);
    cut(first_, *part_);
    return true;
  }

  // Move to the next tile. Return false after the last one.
  bool next() {
    fetcher_.stop();
    if (!tiles().next(first_)) return false;
    cut(first_, *part_);
    return true;
  }

  // The tile as a problem of its own.
  const Problem& part() const { return *part_; }
  // The tile as a box of voxels of the whole problem's last level.
  const i64* first() const { return first_; }
  i64 end(int axis) const { return std::min(first_[axis] + size_[axis], whole_->top().extent[axis]); }

  // SmallFootprints writes these votes together with the first level.
  ModeVotes& votes() { return votes_; }
  void place_votes() {
    std::copy(part_->level[0].voxel_offset, part_->level[0].voxel_offset + whole_->ndim, votes_.voxel_offset);
  }

  // Start to prefetch the input of the next tile, some bytes at each call of fetch, because compute-bound strategies
  // leave memory bandwidth unused.
  void start_fetching() {
    i64 following[max_ndim];
    std::copy(first_, first_ + whole_->ndim, following);
    if (!tiles().next(following)) return;
    cut(following, *following_);
    fetcher_.start(*following_);
  }
  void fetch(i64 bytes) { fetcher_.some<2>(bytes); }

 private:
  IndexRange<AxisRange> tiles() const { return {AxisRange{0, whole_->ndim}, whole_->top().extent, nullptr, size_}; }

  void cut(const i64* first, Problem& part) const {
    part = *whole_;
    for (int axis = 0; axis < whole_->ndim; ++axis)
      part.restrict_to(axis, first[axis], std::min(size_[axis], whole_->top().extent[axis] - first[axis]));
  }

  bool allocate_votes() {
    const Level &level = whole_->level[0], &top = whole_->top();
    i64 count = 1;
    for (int axis = 0; axis < whole_->ndim; ++axis) {
      const i64 ratio = top.total[axis] / level.total[axis], extent = level.extent[axis];
      const bool all = ratio > extent / size_[axis];  // the product might overflow
      votes_.stride[axis] = count;
      count *= all ? extent : std::min(extent, size_[axis] * ratio);
    }
    if (!memory_.reserve(count * votes_width(whole_->codec.width))) return false;
    votes_.data = memory_.data();
    return true;
  }

  const Problem* whole_ = nullptr;
  i64 size_[max_ndim], first_[max_ndim];
  std::unique_ptr<Problem> part_, following_;
  ModeVotes votes_;
  Arena memory_;
  Fetcher fetcher_;
};

}  // namespace tinypyr
