// The extents of the blocks in which RankBlocks computes modes.
//
// A block is a box of several hundred base voxels, together with all voxels of the lower levels that it covers. It
// consists of cells: voxels of the first level if that level has been pooled already (reduce/small_footprints.hpp),
// otherwise voxels of the base. An output is a voxel that the block writes. (In mode/, a block is always such a box; a
// tile consists of blocks.)
#pragma once

#include <algorithm>
#include <type_traits>

#include "../core/problem.hpp"

namespace tinypyr {

constexpr i64 max_block = 1024, good_block = 512;  // voxels
constexpr i64 max_cell = max_small_footprint;      // voxels
constexpr i64 cache_line = 64, min_run_bytes = 32;

// The extents of blocks and cells.
struct BlockShape {
  int first = 0;                  // first level that blocks write: 1 if the first level is pooled before, else 0
  int levels = 0;                 // number of levels in a block; 0: the footprints of the first are too large
  i64 group[max_ndim];            // of a block, in voxels of the last of these levels
  i64 span[max_ndim];             // of a block, in voxels of the base
  i64 cell[max_ndim];             // of a cell, in voxels of the base
  i64 cells_per_voxel[max_ndim];  // cells of a voxel of the last of these levels
  i64 voxels = 1, cells = 1, cell_voxels = 1;

  BlockShape() = default;
  BlockShape(const Problem& p, bool first_level_is_pooled) : first(first_level_is_pooled ? 1 : 0) {
    count_levels(p);
    if (levels == 0) return;
    std::fill(group, group + p.ndim, i64{1});
    if (levels == p.levels) grow(p);
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 total = p.level[levels - 1].total[axis];
      span[axis] = total * group[axis];
      cell[axis] = has_pooled_cells() ? p.level[0].total[axis] : 1;
      cells_per_voxel[axis] = total / cell[axis];
      cell_voxels *= cell[axis];
    }
    cells = voxels / cell_voxels;
  }

  // True if cells are voxels of the first level.
  bool has_pooled_cells() const { return first == 1; }

  // Call visit with the number of voxels in a cell as a compile-time constant, because its loops have few steps.
  template <class Visit>
  void with_cell_voxels(Visit visit) const {
    cell_voxels == 2   ? visit(std::integral_constant<i64, 2>{})
    : cell_voxels == 4 ? visit(std::integral_constant<i64, 4>{})
    : cell_voxels == 8 ? visit(std::integral_constant<i64, 8>{})
                       : visit(std::integral_constant<i64, 1>{});
  }

 private:
  // Add levels as long as a footprint fits into a block.
  void count_levels(const Problem& p) {
    for (; levels < p.levels; ++levels) {
      i64 next = voxels;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 factor = p.level[levels].factor[axis];
        next = factor > good_block ? good_block + 1 : next * factor;
        if (next > good_block) return;
      }
      if (levels > 0 && next == voxels) return;  // a factor of 1: the tables hold only levels that shrink
      voxels = next;
    }
  }

  // Enlarge blocks that no level above needs, so that they hold several footprints of the last level.
  void grow(const Problem& p) {
    const Level& top = p.top();
    if (top.total[0] == 1)  // neighbours in memory, so that more than one voxel of a run is read
      while (2 * voxels <= max_block && group[0] < top.extent[0] && group[0] * p.codec.width < min_run_bytes) {
        group[0] *= 2;
        voxels *= 2;
      }
    for (bool grows = true; grows;) {
      grows = false;
      for (int axis = 0; axis < p.ndim; ++axis) {
        if (top.total[axis] == 1 || 2 * voxels > good_block || group[axis] >= top.extent[axis]) continue;
        group[axis] *= 2;
        voxels *= 2;
        grows = true;
      }
    }
  }
};

}  // namespace tinypyr
