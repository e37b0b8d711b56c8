// The votes of a tile's first level, which SmallFootprints writes together with that level.
#pragma once

#include <algorithm>

#include "../core/arena.hpp"
#include "../core/problem.hpp"

namespace tinypyr {

// For each voxel of a tile's first level, the number of base voxels in its footprint that have its label (as Votes,
// axis 0 fastest). Order of calls: allocate, once per problem; then the data can be written and read. The tile sets
// voxel_offset.
struct ModeVotes {
  char* data = nullptr;
  i64 stride[max_ndim];        // in votes; 1 along axis 0
  i64 voxel_offset[max_ndim];  // global coordinate of the first of these voxels

  // Provide memory for any tile of up to `size` voxels of the last level. Return false if memory runs out.
  bool allocate(const Problem& whole, const i64* size) {
    const Level &level = whole.level[0], &top = whole.top();
    i64 count = 1;
    for (int axis = 0; axis < whole.ndim; ++axis) {
      const i64 ratio = top.total[axis] / level.total[axis], extent = level.extent[axis];
      const bool all = ratio > extent / size[axis];  // the product might overflow
      stride[axis] = count;
      count *= all ? extent : std::min(extent, size[axis] * ratio);
    }
    if (!memory_.reserve(count * votes_width(whole.codec.width))) return false;
    data = memory_.data();
    return true;
  }

  // Set the axes to those of a tile for which there is memory.
  void lay_out(const Problem& tile) {
    i64 count = 1;
    for (int axis = 0; axis < tile.ndim; ++axis) {
      stride[axis] = count;
      count *= tile.level[0].extent[axis];
      voxel_offset[axis] = tile.level[0].voxel_offset[axis];
    }
  }

 private:
  Arena memory_;
};

}  // namespace tinypyr
