// Bounds of the votes of a tile's labels, level by level (see mode/vote_bounds.hpp), and the rows in which kernels read
// and write them.
#pragma once

#include <algorithm>

#include "../core/arena.hpp"
#include "../core/problem.hpp"
#include "mode_votes.hpp"

namespace tinypyr {

// Order of calls: start, once per tile; then the other functions, for rows of the levels from 1 on.
class LevelBounds {
 public:
  // The bounds of a level, as Votes: the fewest and the most votes that the label of each voxel may have, and the most
  // votes of any other label. On level 0 votes are exact, and the three arrays are one: other labels have at most as
  // many votes as the mode.
  struct Arrays {
    char *least, *most, *others;
    i64 stride[max_ndim];  // in votes
  };

  // votes: the votes of the tile's first level. Return false if memory runs out.
  bool start(const Problem& tile, const ModeVotes& votes) {
    tile_ = &tile;
    votes_width_ = votes_width(tile.codec.width);
    level_[0].least = level_[0].most = level_[0].others = votes.data;
    std::copy(votes.stride, votes.stride + tile.ndim, level_[0].stride);
    return memory_.allocate([&](auto& take) {
      for (int k = 1; k < tile.levels; ++k) {
        i64 count = 1;
        for (int axis = 0; axis < tile.ndim; ++axis) {
          level_[k].stride[axis] = count;
          count *= tile.level[k].extent[axis];
        }
        level_[k].least = take.template array<char>(count * votes_width_);
        level_[k].most = take.template array<char>(count * votes_width_);
        level_[k].others = take.template array<char>(count * votes_width_);
      }
      const i64 row = tile.level[1].extent[0] * votes_width_;
      undecided_ = take.template array<char>(row);
      runner_ups_ = take.template array<char>(row);
    });
  }

  const Arrays& first_level() const { return level_[0]; }

  // Set the addresses of the results of a row of level k, from the voxel at these coordinates on.
  void start_row(int k, const i64* at, BoundsRow& row) const {
    const Level& level = tile_->level[k];
    const Arrays& to = level_[k];
    i64 out = 0, votes = 0;
    for (int axis = 0; axis < tile_->ndim; ++axis) {
      out += at[axis] * level.stride[axis];
      votes += at[axis] * to.stride[axis];
    }
    row.label = level.out + out;
    row.label_least = to.least + votes * votes_width_;
    row.label_most = to.most + votes * votes_width_;
    row.others_most = to.others + votes * votes_width_;
    row.runner_up = runner_ups_;
    row.undecided = undecided_;
  }

  // Set the rows of the level below, for a row whose first voxel is whole. Return log2 of their number.
  int start_row_below(int k, const i64* at, BoundsRow& row) const {
    const Problem& p = *tile_;
    const Level &level = p.level[k], &below = p.level[k - 1];
    const Arrays& from = level_[k - 1];
    row.labels[0] = below.out;
    row.least[0] = from.least;
    row.most[0] = from.most;
    row.others[0] = from.others;
    const auto move = [&](int to, int source, int axis, i64 steps) {
      const i64 votes = steps * from.stride[axis] * votes_width_;
      row.labels[to] = static_cast<const char*>(row.labels[source]) + steps * below.stride[axis];
      row.least[to] = static_cast<const char*>(row.least[source]) + votes;
      row.most[to] = static_cast<const char*>(row.most[source]) + votes;
      row.others[to] = static_cast<const char*>(row.others[source]) + votes;
    };
    row.voxels = 1;
    int log2_rows = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      move(0, 0, axis, (level.voxel_offset[axis] + at[axis]) * level.factor[axis] - below.voxel_offset[axis]);
      row.voxels *= below.total[axis];
    }
    for (int axis = 1; axis < p.ndim; ++axis) {
      if (level.factor[axis] == 1) continue;
      const int rows = 1 << log2_rows++;
      for (int r = 0; r < rows; ++r) move(rows + r, r, axis, 1);
    }
    return log2_rows;
  }

 private:
  const Problem* tile_ = nullptr;
  int votes_width_ = 0;
  Arrays level_[max_levels];
  // Data of the current row: by voxel, Undecided (as Votes) and runner-ups.
  char *undecided_ = nullptr, *runner_ups_ = nullptr;
  Arena memory_;
};

}  // namespace tinypyr
