// Modes of the levels above the first, proven from bounds of the votes on the level below.
//
// For each voxel of a level, the label is known, and so are a lower and an upper bound of its votes: the number of base
// voxels in the footprint that have this label. Any other label has no more votes than this label has, and no more than
// it leaves. The bounds are summed over the children of a voxel, the voxels of the level below that it covers. In
// nearly all cases the lower bound of one label then exceeds the upper bound of every other label, so this label is the
// mode. Otherwise the candidates, two labels or all of them, are counted in the base (UndecidedVoxels).
//
// Assumes: the first level and its ModeVotes are written; VoteBounds::fits (factors of 1 and 2, footprints of at most
// FootprintCounter::max_voxels voxels, integers, no ignored value); contiguous rows of output (has_direct_rows).
// Guarantees: exact modes of all levels of a tile, including ties. Noise, and footprints that must be counted but have
// more than max_ranks labels, end a tile early (Outcome). Levels above the first are then only partly written, and
// another strategy computes the tile.
// Ties: a mode is proven only if no other label can have as many votes. All other voxels are counted by
// FootprintCounter, which breaks ties (or by UndecidedVoxels::settle_two, where there is none).
#pragma once

#include <algorithm>

#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "level_bounds.hpp"
#include "mode_votes.hpp"
#include "outcome.hpp"
#include "undecided_voxels.hpp"

namespace tinypyr {

// Calls of make are independent of each other.
class VoteBounds {
 public:
  explicit VoteBounds(const Options& options) : undecided_(options, bounds_) {}

  // Return true if this strategy can compute the levels above the first, and is likely to be the fastest.
  static bool fits(const Problem& p, const Options& options) {
    return p.levels > 1 && !options.has_ignore && p.codec.kind != Kind::floating && p.codec.kind != Kind::boolean &&
           has_small_whole_footprints(p) && has_levels_of_halves(p);
  }

  // Return true if the rows of every level are contiguous.
  static bool has_direct_rows(const Problem& p) {
    const i64 width = p.codec.width;
    for (int k = 0; k < p.levels; ++k) {
      const Level& level = p.level[k];
      if ((level.extent[0] > 1 && level.stride[0] != width) || !is_aligned(level.out, p.codec.width)) return false;
      for (int axis = 1; axis < p.ndim; ++axis)
        if (level.stride[axis] % width != 0) return false;
    }
    return true;
  }

  // Compute all levels above the first of a tile.
  Outcome make(const Problem& tile, const ModeVotes& votes) {
    tile_ = &tile;
    if (!bounds_.start(tile, votes) || !undecided_.start(tile)) return Outcome::out_of_memory;
    for (int k = 1; k < tile.levels; ++k) {
      const IndexRange rows{AxisRange{1, tile.ndim}, tile.level[k].extent};
      i64 at[max_ndim] = {};
      do {
        const Outcome outcome = with_unsigned(tile.codec.width, [&](auto u) { return make_row<decltype(u)>(k, at); });
        if (outcome != Outcome::done) return outcome;
      } while (rows.next(at));
    }
    return Outcome::done;
  }

 private:
  // Return true if footprints fit the counter, and most of them are whole (partial footprints are always counted).
  static bool has_small_whole_footprints(const Problem& p) {
    i64 voxels = 1;
    double whole = 1;  // share of the last level's voxels
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 total = p.top().total[axis];
      if (total > FootprintCounter::max_voxels) return false;
      voxels *= total;
      if (voxels > FootprintCounter::max_voxels) return false;
      const i64 footprints = p.top().extent[axis], first = p.present(p.top(), axis, 0) < total;
      const i64 last = footprints > 1 && p.present(p.top(), axis, footprints - 1) < total;
      whole *= static_cast<double>(footprints - first - last) / static_cast<double>(footprints);
    }
    return whole >= 0.5;
  }

  // Return true if each level halves one to three axes of the one below.
  static bool has_levels_of_halves(const Problem& p) {
    for (int k = 0; k < p.levels; ++k) {
      int pooled = 0;
      for (int axis = 0; axis < p.ndim; ++axis) {
        if (p.level[k].factor[axis] > 2) return false;
        pooled += p.level[k].factor[axis] == 2;
      }
      if (pooled < 1 || pooled > 3) return false;
    }
    return true;
  }

  // Compute the row of level k at these coordinates (at[0] is 0). Voxels with partial footprints, at the edges, are
  // counted.
  template <class U>
  Outcome make_row(int k, i64* at) {
    const Problem& p = *tile_;
    const Level& level = p.level[k];
    const auto is_whole = [&](int axis, i64 j) { return p.present(level, axis, j) == level.total[axis]; };
    bool whole = true;
    for (int axis = 1; axis < p.ndim; ++axis) whole = whole && is_whole(axis, at[axis]);
    const i64 n = level.extent[0];
    const i64 begin = !whole || !is_whole(0, 0), end = !whole || n == begin ? begin : n - !is_whole(0, n - 1);
    Outcome outcome = Outcome::done;
    for (at[0] = 0; at[0] < n && outcome == Outcome::done; ++at[0]) {
      if (at[0] == begin && begin < end) {
        outcome = prove_row<U>(k, at, end - begin);
        at[0] = end - 1;
      } else {
        start_row(k, at);
        outcome = undecided_.count_voxel<U>(row_);
      }
    }
    at[0] = 0;
    return outcome;
  }

  // Compute n voxels with whole footprints.
  template <class U>
  Outcome prove_row(int k, const i64* at, i64 n) {
    start_row(k, at);
    const int log2_rows = bounds_.start_row_below(k, at, row_.bounds);
    row_.bounds.n = n;
    const RowKernels& kernels = tile_->rows();
    const auto& prove = n < min_proven(sizeof(U)) ? kernels.prove_few : kernels.prove_modes;
    prove[tile_->level[k].factor[0] == 2][log2_rows](row_.bounds);
    if (k == 1 && is_noise<U>(row_.bounds)) return Outcome::noise;
    return undecided_.settle<U>(row_);
  }

  void start_row(int k, const i64* at) {
    row_.k = k;
    row_.at = at;
    bounds_.start_row(k, at, row_.bounds);
    locate_footprint(tile_->level[k], at);
  }

  // Set the footprint to that of the voxel at these coordinates.
  void locate_footprint(const Level& level, const i64* at) {
    const Problem& p = *tile_;
    BaseFootprint& footprint = row_.footprint;
    footprint.from = p.in;
    footprint.voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      footprint.from += p.base_index(axis, (level.voxel_offset[axis] + at[axis]) * level.total[axis]) * p.stride[axis];
      footprint.size[axis] = p.present(level, axis, at[axis]);
      footprint.voxels *= footprint.size[axis];
    }
    footprint.runs = BoxRuns(p.ndim, p.codec.width, footprint.size, p.stride);
  }

  // Return true if bounds are of little use, because most voxels would have to be counted.
  template <class U>
  static bool is_noise(const BoundsRow& row) {
    i64 proven = 0;
    for (i64 i = 0; i < row.n; ++i) proven += static_cast<const Votes<U>*>(row.undecided)[i] == mode_proven;
    return row.n >= 8 && 2 * proven < row.n;
  }

  const Problem* tile_ = nullptr;
  LevelBounds bounds_;
  ModeRow row_ = {};  // the current row
  UndecidedVoxels undecided_;
};

}  // namespace tinypyr
