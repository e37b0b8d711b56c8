// The labels that may be the mode of a footprint, by the bounds of the first level alone. In large footprints with many
// labels these are few, so that fewer labels have to be counted in the base.
#pragma once

#include <algorithm>

#include "../core/arena.hpp"
#include "../core/problem.hpp"
#include "footprint_counter.hpp"
#include "level_bounds.hpp"

namespace tinypyr {

// Order of calls: start, once per tile; then find.
class CandidateLabels {
 public:
  // counter: its gathered voxels are replaced by labels of the first level.
  CandidateLabels(const LevelBounds& bounds, FootprintCounter& counter) : bounds_(bounds), counter_(counter) {}

  // Return false if memory runs out.
  bool start(const Problem& tile) {
    tile_ = &tile;
    votes_width_ = votes_width(tile.codec.width);
    return cell_votes_.reserve(FootprintCounter::capacity * votes_width_);
  }

  // Find the candidates for the voxel of level k at these coordinates, plus i along axis 0. Return their number, 0 if
  // any label may be the mode, or a number above max_ranks if there are too many labels.
  template <class U>
  int find(int k, const i64* at, i64 i, u64* keys) {
    const Problem& p = *tile_;
    const Level &level = p.level[k], &first = p.level[0];
    const LevelBounds::Arrays& bounds = bounds_.first_level();
    const char *labels = first.out, *votes = bounds.least;
    i64 size[max_ndim], stride[max_ndim], cells = 1, cell_voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      size[axis] = level.total[axis] / first.total[axis];
      const i64 start =
          (level.voxel_offset[axis] + at[axis] + (axis == 0 ? i : 0)) * size[axis] - first.voxel_offset[axis];
      labels += start * first.stride[axis];
      votes += start * bounds.stride[axis] * votes_width_;
      stride[axis] = bounds.stride[axis] * votes_width_;
      cells *= size[axis];
      cell_voxels *= first.total[axis];
    }
    counter_.gather(labels, BoxRuns(p.ndim, p.codec.width, size, first.stride));
    gather_box(cell_votes_.data(), votes, BoxRuns(p.ndim, votes_width_, size, stride));
    const int ranks = counter_.rank_labels(cells, keys);
    return ranks > max_ranks ? ranks : select<U>(cells, cell_voxels, ranks, keys);
  }

 private:
  // Keep the keys of the labels that may have the most votes in these cells. Return their number.
  template <class U>
  int select(i64 cells, i64 cell_voxels, int ranks, u64* keys) const {
    i64 least[max_ranks] = {}, more[max_ranks] = {}, others = 0;
    for (i64 cell = 0; cell < cells; ++cell) {
      const i64 own = reinterpret_cast<const Votes<U>*>(cell_votes_.data())[cell];
      const i64 other = std::min(own, cell_voxels - own);
      least[counter_.rank_of(cell)] += own;
      more[counter_.rank_of(cell)] += own - other;
      others += other;
    }
    const i64 best = *std::max_element(least, least + ranks);
    if (others >= best) return 0;
    int candidates = 0;
    for (int r = 0; r < ranks; ++r)
      if (more[r] + others >= best) keys[candidates++] = keys[r];
    return candidates;
  }

  const LevelBounds& bounds_;
  FootprintCounter& counter_;
  const Problem* tile_ = nullptr;
  int votes_width_ = 0;
  Arena cell_votes_;
};

}  // namespace tinypyr
