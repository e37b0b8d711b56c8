// The current tile of the multi-level mode and the data that its strategies share. A tile is a part of the call that is
// small enough to stay in the cache from one strategy to the next.
#pragma once

#include <algorithm>
#include <memory>

#include "../core/fetcher.hpp"
#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "mode_votes.hpp"

namespace tinypyr {

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
    if (has_votes && !votes_.allocate(whole, size)) return false;
    tiles().start(first_);
    cut();
    return true;
  }

  // Move to the next tile. Return false after the last one.
  bool next() {
    fetcher_.stop();
    if (!tiles().next(first_)) return false;
    cut();
    return true;
  }

  const Problem& whole() const { return *whole_; }
  // The tile as a problem of its own.
  const Problem& part() const { return *part_; }
  // The tile as a box of voxels of the whole problem's last level.
  const i64* first() const { return first_; }
  const i64* end() const { return end_; }

  // The votes of the tile's first level.
  const ModeVotes& votes() const { return votes_; }

  // Start to prefetch the input of the next tile, some bytes at each call of fetch, because compute-bound strategies
  // leave memory bandwidth unused.
  void start_fetching() {
    i64 following[max_ndim];
    std::copy(first_, first_ + whole_->ndim, following);
    if (!tiles().next(following)) return;
    restrict_to(following, *following_);
    fetcher_.start(*following_);
  }
  void fetch(i64 bytes) { fetcher_.some<2>(bytes); }

 private:
  IndexRange<AxisRange> tiles() const { return {AxisRange{0, whole_->ndim}, whole_->top().extent, nullptr, size_}; }

  // Set the current tile to the one that begins at first_.
  void cut() {
    restrict_to(first_, *part_);
    for (int axis = 0; axis < whole_->ndim; ++axis) {
      end_[axis] = std::min(first_[axis] + size_[axis], whole_->top().extent[axis]);
      votes_.voxel_offset[axis] = part_->level[0].voxel_offset[axis];
    }
  }

  // Set part to the tile that begins at `first`.
  void restrict_to(const i64* first, Problem& part) const {
    part = *whole_;
    for (int axis = 0; axis < whole_->ndim; ++axis)
      part.restrict_to(axis, first[axis], std::min(size_[axis], whole_->top().extent[axis] - first[axis]));
  }

  const Problem* whole_ = nullptr;
  i64 size_[max_ndim], first_[max_ndim], end_[max_ndim];
  std::unique_ptr<Problem> part_, following_;
  ModeVotes votes_;
  Fetcher fetcher_;
};

}  // namespace tinypyr
