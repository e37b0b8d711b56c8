// A tile's voxels in contiguous memory, as 32-bit labels if the upper halves of its 64-bit labels are equal.
//
// Labels of segmentations rarely differ in their upper halves within a tile. The loops for 32-bit labels process twice
// as many voxels per instruction and half as many bytes, which saves more than the copy costs. The copy also makes rows
// contiguous where the caller's are not, and joins rows: where all footprints are whole, the copy has a single
// footprint of the last level along every axis but axis 0, to whose end the others are appended. A block of 64 x 64 x
// 64 voxels then has levels of few rows, each of hundreds of voxels.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "../core/arena.hpp"
#include "../core/index.hpp"
#include "../core/prefetch.hpp"
#include "../core/problem.hpp"
#include "mode_votes.hpp"

namespace tinypyr {

// Order of calls: start, once per problem; then copy, and write if the levels of the copy are computed.
class CompactTile {
 public:
  // Return true if labels of this problem may become narrower.
  static bool may_narrow(const Problem& p) {
    return p.codec.width == 8 && p.codec.is_identity_or_flip() && p.codec.kind != Kind::floating;
  }

  // size: voxels of the last level in a tile. Return false if memory runs out.
  bool start(const Problem& whole, const i64* size, bool has_direct_rows) {
    has_direct_rows_ = has_direct_rows;
    refusals_ = may_narrow(whole) ? 0 : max_refusals;
    return Problem::reserve(compact_, whole.levels) && votes_.allocate(whole, size);
  }

  // Copy the voxels of a tile. Set *copied to false if it is better computed where it is. Return false if memory runs
  // out.
  bool copy(const Problem& tile, bool* copied) {
    *copied = true;
    tile.report(tile.bytes());
    if (refusals_ < max_refusals) {
      if (!lay_out(tile, 4)) return false;
      if (narrow(tile)) return true;
      ++refusals_;
    }
    *copied = !has_direct_rows_;
    if (!*copied) return true;
    if (!lay_out(tile, tile.codec.width)) return false;
    return each_row(tile, tile.in, tile.extent, tile.stride, in_layout_, [&](const char* from, i64 to) {
      tile.rows().copy(in_ + to, tile.codec.width, from, tile.stride[0], tile.extent[0]);
      return true;
    });
  }

  // The copy as a problem of its own, whose levels are to be computed, and memory for its votes.
  const Problem& problem() const { return *compact_; }
  const ModeVotes& votes() const { return votes_; }

  // Write the computed levels to those of the tile.
  void write(const Problem& tile) const {
    for (int k = 0; k < tile.levels; ++k) {
      const Level& level = tile.level[k];
      const char* from = compact_->level[k].out;
      const i64 n = level.extent[0];
      each_row(tile, level.out, level.extent, level.stride, out_layout_[k], [&](char* to, i64 at) {
        if (compact_->codec.width == tile.codec.width)
          tile.rows().copy(to, level.stride[0], from + at, tile.codec.width, n);
        else
          tile.kernels->widen(from + at, n, upper_, to, level.stride[0]);
        return true;
      });
    }
  }

 private:
  static constexpr int max_refusals = 4;
  static constexpr i64 fetch_distance = 2048;  // bytes

  // The positions of an array's rows in the copy, in bytes. Along axes from 1 on, 1 << log2_inner rows form the axis of
  // the copy, and the groups of so many are appended to axis 0.
  struct Layout {
    int log2_inner[max_ndim];
    i64 inner_stride[max_ndim], outer_stride[max_ndim], bytes;

    i64 along(int axis, i64 i) const {
      const i64 outer = i >> log2_inner[axis];
      return outer * outer_stride[axis] + (i - (outer << log2_inner[axis])) * inner_stride[axis];
    }
  };

  // Call visit(row, offset) for each row of an array along axis 0, its address and its offset in the copy, until it
  // returns false. Return false in that case.
  template <class Char, class Visit>
  static bool each_row(const Problem& tile, Char* row, const i64* extent, const i64* stride, const Layout& layout,
                       Visit visit) {
    const IndexRange rows{AxisRange{1, tile.ndim}, extent};
    i64 at[max_ndim];
    rows.start(at);
    do {
      i64 offset = 0;
      for (int axis = 1; axis < tile.ndim; ++axis) offset += layout.along(axis, at[axis]);
      if (!visit(row, offset)) return false;
    } while (rows.next(at, [&](int axis, i64 n) { row += n * stride[axis]; }));
    return true;
  }

  // Plan the copy with voxels of this width. Return false if memory runs out.
  bool lay_out(const Problem& tile, int width) {
    Problem& p = *compact_;
    p = tile;
    p.codec.width = width;
    if (width != tile.codec.width) p.codec.kind = Kind::unsigned_integer;
    p.is_cached = true;
    p.progress = nullptr;
    i64 groups[max_ndim];  // along each axis, appended to axis 0
    const auto is_whole = [&](int axis) {
      const i64 total = tile.top().total[axis];
      return tile.voxel_offset[axis] % total == 0 && tile.extent[axis] % total == 0;
    };
    i64 appended = 1;
    for (int axis = 0; axis < tile.ndim; ++axis) {
      groups[axis] = axis > 0 && is_whole(0) && is_whole(axis) ? tile.extent[axis] / tile.top().total[axis] : 1;
      appended *= groups[axis];
      if (groups[axis] > 1) p.voxel_offset[axis] = 0;
    }
    i64 total = lay_out_array(tile, groups, width, tile.extent, in_layout_, p.extent, p.stride);
    p.extent[0] = tile.extent[0] * appended;
    for (int k = 0; k < tile.levels; ++k) {
      Level& level = p.level[k];
      total += lay_out_array(tile, groups, width, tile.level[k].extent, out_layout_[k], level.extent, level.stride);
      level.extent[0] *= appended;
      for (int axis = 0; axis < tile.ndim; ++axis)
        if (groups[axis] > 1) level.voxel_offset[axis] = 0;
    }
    if (!memory_.reserve(total)) return false;
    p.in = in_ = memory_.data();
    char* out = in_ + in_layout_.bytes;
    for (int k = 0; k < tile.levels; ++k) {
      p.level[k].out = out;
      out += out_layout_[k].bytes;
    }
    votes_.lay_out(p);
    return true;
  }

  // Plan an array of the copy, and set its extents (without groups) and strides. Return its size in bytes.
  static i64 lay_out_array(const Problem& tile, const i64* groups, i64 width, const i64* extent, Layout& layout,
                           i64* copy_extent, i64* copy_stride) {
    i64 bytes = width * extent[0];
    copy_stride[0] = width;
    for (int axis = 1; axis < tile.ndim; ++axis) {
      layout.outer_stride[axis] = bytes;
      bytes *= groups[axis];
    }
    bytes = round_up(bytes) + padding;
    for (int axis = 1; axis < tile.ndim; ++axis) {
      copy_extent[axis] = extent[axis] / groups[axis];
      layout.log2_inner[axis] = 0;
      while (i64{1} << layout.log2_inner[axis] < copy_extent[axis]) ++layout.log2_inner[axis];
      copy_stride[axis] = layout.inner_stride[axis] = bytes;
      bytes *= copy_extent[axis];
    }
    layout.bytes = bytes;
    return bytes;
  }

  // Copy the lower halves of the labels. Return false if the upper halves differ.
  bool narrow(const Problem& tile) {
    u64 first;
    std::memcpy(&first, tile.in, sizeof(first));
    upper_ = first >> 32 << 32;
    const i64 n = tile.extent[0], row_bytes = n * tile.stride[0];
    const bool fetches = !tile.is_cached && tile.ndim > 1 && tile.stride[0] == tile.codec.width;
    const i64 ahead = fetches ? tile.stride[1] * ceil_div(fetch_distance, row_bytes) : 0;
    return each_row(tile, tile.in, tile.extent, tile.stride, in_layout_, [&](const char* from, i64 to) {
      if (ahead != 0) prefetch(from + ahead, row_bytes);
      return tile.kernels->narrow(from, tile.stride[0], in_ + to, n, first) >> 32 == 0;
    });
  }

  // Keeps rows from sharing the same lines of the cache.
  static constexpr i64 padding = 64;

  bool has_direct_rows_ = false;
  int refusals_ = 0;  // tiles whose labels cannot be narrowed
  u64 upper_ = 0;     // the upper half of all labels
  std::unique_ptr<Problem> compact_;
  char* in_ = nullptr;
  Layout in_layout_, out_layout_[max_levels];
  ModeVotes votes_;
  Arena memory_;
};

}  // namespace tinypyr
