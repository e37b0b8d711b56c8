// The memory layout of the cells, voxels and outputs of a block: tables that RankBlocks computes once per problem.
//
// A block is a box of several hundred base voxels, together with all voxels of the lower levels that it covers. It
// consists of cells: voxels of the first level if that level has been pooled already (reduce/small_footprints.hpp),
// otherwise voxels of the base. A place is the number of a voxel of the block in raster order, with the caller's axis 0
// fastest. An output is a voxel that the block writes.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "mode_tile.hpp"

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

struct BlockLayout {
  // Tables by cell, in order of memory. Offsets are in bytes, relative to the first cell or voxel of the block.
  struct Cells {
    u16 coordinate[max_ndim][max_block];  // of its first voxel
    u16 place[max_block];                 // of its first voxel
    u16 output[max_block];                // the cell's output on the first written level
    i64 offset[max_block];                // of the cell
    i64 base_offset[max_block];           // of its first voxel in the base
    u16 order[max_block];                 // the order in which votes are added
  } cell;

  // Tables by voxel of a cell, in raster order, relative to the first one.
  struct Voxels {
    i64 offset[max_cell];
    u16 place[max_cell];
    u8 coordinate[max_ndim][max_cell];
  } voxel;

  // Runs of contiguous cells, with their mode votes.
  struct Runs {
    i64 offset[max_block], votes[max_block];
    i64 count = 0, length = 1;
    i64 ahead = 0;  // distance in bytes at which each run is prefetched
  } run;

  // Tables of outputs, level after level.
  struct Outputs {
    i64 start[max_levels + 1];  // by level: the first output
    i64 parts[max_levels];      // by level: outputs of the level below (or cells) per output
    u16 cell[2 * max_block];    // by output: its first cell
    i64 offset[2 * max_block];  // by output: bytes from the first output of its level
    char* data[max_levels];     // by level: the outputs of the block at 0
    i64 step[max_levels][max_ndim];
    // By level: the voxels of an output's footprint in raster order, as max_cell * cell + voxel, relative to the first
    // cell.
    const u16* raster_of[max_levels];
    u16 raster[2 * max_block];
  } output;

  i64 position[max_block];  // by place: position relative to the block's first voxel

  BlockLayout() = default;
  BlockLayout(const BlockLayout&) = delete;  // because of the pointers in raster_of
  BlockLayout& operator=(const BlockLayout&) = delete;

  void lay_out(const Problem& p, const BlockShape& shape, const ModeVotes* votes) {
    i64 cells[max_ndim], weight[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) cells[axis] = shape.span[axis] / shape.cell[axis];
    weigh(p, cells, false, weight);
    lay_out_cells(p, shape, cells);
    lay_out_outputs(p, shape, weight);
    lay_out_rasters(p, shape, weight);
    lay_out_runs(p, shape, votes);
  }

  // Outputs of the first written level; 1 if there is none, for the votes of the whole block.
  i64 first_outputs(const BlockShape& shape) const {
    return shape.levels > shape.first ? output.start[shape.first + 1] : 1;
  }

 private:
  // Set the weights of a box's axes in the number of a cell: in order of memory, or in raster order of the caller's
  // axes.
  static void weigh(const Problem& p, const i64* extent, bool raster, i64* weight) {
    for (int axis = 0; axis < p.ndim; ++axis) {
      weight[axis] = 1;
      for (int other = 0; other < p.ndim; ++other)
        if (raster ? p.logical[other] < p.logical[axis] : other < axis) weight[axis] *= extent[other];
    }
  }

  // Call visit(index, number) for the cells of a box in order of memory.
  template <class Visit>
  static void each(int ndim, const i64* extent, Visit visit) {
    i64 at[max_ndim], number = 0;
    IndexRange{AxisRange{0, ndim}, extent}.each(at, [&] { visit(at, number++); });
  }

  static i64 dot(int ndim, const i64* at, const i64* weight) {
    i64 sum = 0;
    for (int axis = 0; axis < ndim; ++axis) sum += at[axis] * weight[axis];
    return sum;
  }

  void lay_out_cells(const Problem& p, const BlockShape& shape, const i64* cells) {
    const int n = p.ndim;
    i64 place[max_ndim], in_cell[max_ndim];
    weigh(p, shape.span, true, place);
    weigh(p, shape.cell, true, in_cell);
    each(n, shape.span, [&](const i64* at, i64) { position[dot(n, at, place)] = dot(n, at, p.weight); });
    each(n, cells, [&](const i64* at, i64 i) {
      i64 first[max_ndim];
      for (int axis = 0; axis < n; ++axis) {
        first[axis] = at[axis] * shape.cell[axis];
        cell.coordinate[axis][i] = static_cast<u16>(first[axis]);
      }
      cell.base_offset[i] = dot(n, first, p.stride);
      cell.offset[i] = dot(n, at, shape.has_pooled_cells() ? p.level[0].stride : p.stride);
      cell.place[i] = static_cast<u16>(dot(n, first, place));
    });
    each(n, shape.cell, [&](const i64* at, i64) {
      const i64 j = dot(n, at, in_cell);
      for (int axis = 0; axis < n; ++axis) voxel.coordinate[axis][j] = static_cast<u8>(at[axis]);
      voxel.offset[j] = dot(n, at, p.stride);
      voxel.place[j] = static_cast<u16>(dot(n, at, place));
    });
  }

  // Set the order of cells from the last level down: the first cells of its voxels, then those of the voxels of the
  // level below. In this order the votes of a level are the sum of `parts` rows of the level below, for all dimensions
  // and factors.
  void lay_out_outputs(const Problem& p, const BlockShape& shape, const i64* weight) {
    i64 filled = 1;
    cell.order[0] = 0;
    const auto expand = [&](const i64* factor, const i64* size) {
      const i64 row = filled;
      each(p.ndim, factor, [&](const i64* at, i64 i) {
        i64 step = 0;
        for (int axis = 0; axis < p.ndim; ++axis)
          step += at[axis] * (size == nullptr ? 1 : size[axis]) / shape.cell[axis] * weight[axis];
        for (i64 k = 0; k < row && i > 0; ++k) cell.order[filled++] = static_cast<u16>(cell.order[k] + step);
      });
    };
    expand(shape.group, p.level[shape.levels - 1].total);
    i64 end = 0;
    for (int k = shape.first; k < shape.levels; ++k) {
      output.start[k] = end;
      end += shape.voxels / footprint(p, k);
    }
    output.start[shape.levels] = end;
    for (int k = shape.levels - 1; k >= shape.first; --k) {
      lay_out_level(p, shape, k, filled);
      const i64 row = filled;
      expand(p.level[k].factor, k > 0 ? p.level[k - 1].total : nullptr);
      output.parts[k] = filled / row;
    }
    const i64 outputs = first_outputs(shape);
    for (i64 i = 0; i < shape.cells; ++i) cell.output[cell.order[i]] = static_cast<u16>(i % outputs);
  }

  // Lay out one level. The first cells of its `count` outputs are the first entries of cell.order.
  void lay_out_level(const Problem& p, const BlockShape& shape, int k, i64 count) {
    const Level &level = p.level[k], &top = p.level[shape.levels - 1];
    for (i64 i = 0; i < count; ++i) {
      const i64 out = output.start[k] + i;
      output.cell[out] = cell.order[i];
      output.offset[out] = 0;
      for (int axis = 0; axis < p.ndim; ++axis)
        output.offset[out] += cell.coordinate[axis][cell.order[i]] / level.total[axis] * level.stride[axis];
    }
    output.data[k] = level.out;
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 ratio = top.total[axis] / level.total[axis];
      output.step[k][axis] = ratio * level.stride[axis];
      output.data[k] += (top.voxel_offset[axis] * ratio - level.voxel_offset[axis]) * level.stride[axis];
    }
  }

  void lay_out_rasters(const Problem& p, const BlockShape& shape, const i64* weight) {
    i64 in_cell[max_ndim];
    weigh(p, shape.cell, true, in_cell);
    u16* next = output.raster;
    for (int k = shape.first; k < shape.levels; next += footprint(p, k++)) {
      output.raster_of[k] = next;
      i64 turn[max_ndim];
      weigh(p, p.level[k].total, true, turn);
      each(p.ndim, p.level[k].total, [&](const i64* at, i64) {
        i64 number = 0, j = 0;
        for (int axis = 0; axis < p.ndim; ++axis) {
          number += at[axis] / shape.cell[axis] * weight[axis];
          j += at[axis] % shape.cell[axis] * in_cell[axis];
        }
        next[dot(p.ndim, at, turn)] = static_cast<u16>(number * max_cell + j);
      });
    }
  }

  void lay_out_runs(const Problem& p, const BlockShape& shape, const ModeVotes* votes) {
    const bool pooled = shape.has_pooled_cells();
    run.length = (pooled ? p.level[0].stride : p.stride)[0] == p.codec.width ? shape.span[0] / shape.cell[0] : 1;
    run.count = 0;
    for (i64 i = 0; i < shape.cells; i += run.length, ++run.count) {
      run.offset[run.count] = cell.offset[i];
      run.votes[run.count] = 0;
      for (int axis = 0; axis < p.ndim && pooled; ++axis)
        run.votes[run.count] += cell.coordinate[axis][i] / shape.cell[axis] * votes->stride[axis];
    }
    // Prefetch the next row of blocks, or the continuation of these runs if memory continues beyond the block.
    const bool is_short = std::abs(shape.span[0] * p.stride[0]) < cache_line;
    run.ahead = is_short ? 2 * cache_line : p.ndim > 1 ? shape.span[1] * p.stride[1] : 0;
  }

  static i64 footprint(const Problem& p, int k) {
    i64 voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) voxels *= p.level[k].total[axis];
    return voxels;
  }
};

}  // namespace tinypyr
