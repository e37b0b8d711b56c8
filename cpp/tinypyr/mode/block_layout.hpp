// The memory layout of the cells, voxels and outputs of a block: tables that are filled once per problem and are the same
// for all blocks.
//
// A place is the number of a voxel of the block in raster order, with the caller's axis 0 fastest.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "block_shape.hpp"
#include "mode_votes.hpp"

namespace tinypyr {

// Order of calls: build, once per problem; then the tables can be read.
struct BlockLayout {
  BlockShape shape;

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

  // votes: the votes of the tile, used if the first level is pooled.
  void build(const Problem& p, const BlockShape& block_shape, const ModeVotes& votes) {
    shape = block_shape;
    i64 cells[max_ndim], weight[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) cells[axis] = shape.span[axis] / shape.cell[axis];
    weigh(p, cells, false, weight);
    fill_cells(p, cells);
    fill_outputs(p, weight);
    fill_rasters(p, weight);
    fill_runs(p, votes);
  }

  // Outputs of the first written level; 1 if there is none, for the votes of the whole block.
  i64 first_outputs() const { return shape.levels > shape.first ? output.start[shape.first + 1] : 1; }

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

  void fill_cells(const Problem& p, const i64* cells) {
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
  void fill_outputs(const Problem& p, const i64* weight) {
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
      fill_level(p, k, filled);
      const i64 row = filled;
      expand(p.level[k].factor, k > 0 ? p.level[k - 1].total : nullptr);
      output.parts[k] = filled / row;
    }
    const i64 outputs = first_outputs();
    for (i64 i = 0; i < shape.cells; ++i) cell.output[cell.order[i]] = static_cast<u16>(i % outputs);
  }

  // Fill the tables of one level. The first cells of its `count` outputs are the first entries of cell.order.
  void fill_level(const Problem& p, int k, i64 count) {
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

  void fill_rasters(const Problem& p, const i64* weight) {
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

  void fill_runs(const Problem& p, const ModeVotes& votes) {
    const bool pooled = shape.has_pooled_cells();
    run.length = (pooled ? p.level[0].stride : p.stride)[0] == p.codec.width ? shape.span[0] / shape.cell[0] : 1;
    run.count = 0;
    for (i64 i = 0; i < shape.cells; i += run.length, ++run.count) {
      run.offset[run.count] = cell.offset[i];
      run.votes[run.count] = 0;
      for (int axis = 0; axis < p.ndim && pooled; ++axis)
        run.votes[run.count] += cell.coordinate[axis][i] / shape.cell[axis] * votes.stride[axis];
    }
    // Prefetch the next row of blocks, or the continuation of these runs if memory continues beyond the block.
    const bool is_short = std::abs(shape.span[0] * p.stride[0]) < cache_line;
    run.ahead = is_short ? 2 * cache_line : p.ndim > 1 ? shape.span[1] * p.stride[1] : 0;
  }

  // Return the number of voxels in a footprint of a level.
  static i64 footprint(const Problem& p, int k) {
    i64 voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) voxels *= p.level[k].total[axis];
    return voxels;
  }
};

}  // namespace tinypyr
