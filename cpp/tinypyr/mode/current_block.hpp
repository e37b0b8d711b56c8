// The block that is being computed: its addresses, and which of its voxels exist.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"
#include "block_layout.hpp"
#include "mode_votes.hpp"

namespace tinypyr {

// Order of calls: move_to, then everything else. Blocks at the edges of the array are cut: some of their voxels do not
// exist.
struct CurrentBlock {
  bool whole;    // all its voxels exist
  i64 position;  // of its first voxel, in raster order with the caller's axis 0 fastest
  // Its first voxel of the base, its first cell, and the votes of that cell.
  const char *voxels, *cells, *votes;
  i64 at[max_ndim];                   // coordinates on its last level
  i64 low[max_ndim], high[max_ndim];  // the range of its voxels that exist, relative to its first voxel

  // Move to the block whose first voxel on its last level is `first`.
  void move_to(const Problem& p, const BlockShape& shape, const ModeVotes& tile_votes, const i64* first) {
    const Level& top = p.level[shape.levels - 1];
    const bool pooled = shape.has_pooled_cells();
    whole = true;
    position = 0;
    const char *voxel = p.in, *cell = p.level[0].out;
    i64 vote = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 span = shape.span[axis];
      at[axis] = first[axis];
      const i64 start = (top.voxel_offset[axis] + at[axis]) * top.total[axis], from = start - p.voxel_offset[axis];
      low[axis] = std::max<i64>(0, -from);
      high[axis] = std::min(span, p.extent[axis] - from);
      whole &= from >= 0 && from + span <= p.extent[axis];
      position += from * p.weight[axis];
      voxel += from * p.stride[axis];
      if (!pooled) continue;
      const i64 index = (top.voxel_offset[axis] + at[axis]) * shape.cells_per_voxel[axis];
      cell += (index - p.level[0].voxel_offset[axis]) * p.level[0].stride[axis];
      vote += (index - tile_votes.voxel_offset[axis]) * tile_votes.stride[axis];
    }
    voxels = voxel;
    cells = pooled ? cell : voxel;
    votes = tile_votes.data + vote * votes_width(p.codec.width);
  }

  // Return true if the j-th voxel of a cell exists.
  bool has_voxel(int ndim, const BlockLayout& layout, i64 cell, i64 j) const {
    bool exists = true;
    for (int axis = 0; axis < ndim; ++axis) {
      const i64 index = layout.cell.coordinate[axis][cell] + layout.voxel.coordinate[axis][j];
      exists = exists && index >= low[axis] && index < high[axis];
    }
    return exists;
  }

  // Return true if any voxel of an output's footprint exists. level: of the output.
  bool has_output(int ndim, const BlockLayout& layout, const Level& level, i64 output) const {
    bool exists = true;
    for (int axis = 0; axis < ndim; ++axis) {
      const i64 first = layout.cell.coordinate[axis][layout.output.cell[output]];
      exists = exists && first + level.total[axis] > low[axis] && first < high[axis];
    }
    return exists;
  }
};

}  // namespace tinypyr
