// The plan of one call of the multi-level mode: the shapes of blocks and tiles, and the strategies that may be used.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "block_shape.hpp"
#include "compact_tile.hpp"
#include "vote_bounds.hpp"

namespace tinypyr {

// Order of calls: make, once per problem, which must outlive the plan; then everything else.
class ModePlan {
 public:
  // small_footprints: SmallFootprints can pool the first level.
  void make(const Problem& problem, const Options& options, bool small_footprints) {
    const Problem& p = problem;
    problem_ = &problem;
    shape_ = BlockShape(p, small_footprints);
    blocks_per_voxel_ = 1;
    for (int axis = 0; axis < p.ndim && shape_.levels > 0; ++axis) {
      const Level& level = p.level[shape_.levels - 1];
      blocks_per_voxel_ *= std::min(p.top().total[axis] / level.total[axis] + 1, level.extent[axis]);
    }
    if (blocks_per_voxel_ > max_blocks) shape_ = BlockShape();
    pools_first_level_ = small_footprints && shape_.levels > 0;
    fits_bounds_ = pools_first_level_ && VoteBounds::fits(p, options);
    has_direct_rows_ = VoteBounds::has_direct_rows(p);
    declined_tiles_ = 0;
  }

  const BlockShape& shape() const { return shape_; }
  bool pools_first_level() const { return pools_first_level_; }
  bool has_direct_rows() const { return has_direct_rows_; }
  // Tiles may be copied (CompactTile).
  bool may_copy() const { return fits_bounds_ && (!has_direct_rows_ || CompactTile::may_narrow(*problem_)); }

  // size: receives the extents of a tile, in voxels of the last level.
  void choose_tile(i64* size) const {
    const Problem& p = *problem_;
    const Level& top = p.top();
    if (!has_blocks() && has_one_level()) {  // selection chooses its own order of memory
      std::copy(top.extent, top.extent + p.ndim, size);
      return;
    }
    i64 voxels = has_blocks() ? blocks_per_voxel_ * shape_.voxels : 1, bytes = tile_bytes;
    if (fits_bounds_) {
      voxels = 1;
      i64 planes = 1;
      for (int axis = 0; axis < p.ndim; ++axis) {
        voxels *= top.total[axis] * group(axis);
        if (axis > 1) planes *= std::min(top.total[axis], p.extent[axis]);
      }
      // (Long runs of every plane are worth more than a tile that fits the second-level cache.)
      bytes = std::clamp(planes * plane_bytes, tile_bytes / 2, tile_bytes);
    }
    i64 groups = std::max<i64>(1, bytes / (voxels * p.codec.width));  // that still fit the tile
    for (int axis = 0; axis < p.ndim; ++axis) {
      size[axis] = std::min(groups * group(axis), top.extent[axis]);
      groups = std::max<i64>(1, groups / ceil_div(size[axis], group(axis)));
    }
  }

  // The conditions of ModeDriver's decision table.
  bool may_use_bounds() const { return fits_bounds_ && declined_tiles_ <= max_declined_tiles; }
  bool has_blocks_of_all_levels() const { return shape_.levels == problem_->levels; }
  bool has_one_level() const { return problem_->levels == 1; }
  bool has_blocks() const { return shape_.levels > 0; }
  bool always() const { return true; }

  // Record that bounds have declined a tile. After some of these they are not tried again.
  void count_declined_tile() { ++declined_tiles_; }

 private:
  static constexpr i64 max_blocks = 4096, tile_bytes = i64{1} << 19, plane_bytes = i64{1} << 15;
  static constexpr int max_declined_tiles = 16;

  // Voxels of the last level in a block, if blocks hold all levels; else 1.
  i64 group(int axis) const { return has_blocks_of_all_levels() ? shape_.group[axis] : 1; }

  const Problem* problem_ = nullptr;
  BlockShape shape_;
  i64 blocks_per_voxel_ = 1;  // of the last level
  bool pools_first_level_ = false, fits_bounds_ = false, has_direct_rows_ = false;
  int declined_tiles_ = 0;
};

}  // namespace tinypyr
