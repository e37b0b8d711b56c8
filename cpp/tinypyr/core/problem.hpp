// A call in normal form (core/normalize.hpp): axes are sorted by stride, fastest first; axes of one voxel are dropped;
// contiguous neighbours are merged. Parts of a problem (slabs for threads, chunks whose rows fit the cache) are
// problems too. They are cut at blocks of the last level, so that no two parts share a footprint.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

#include "../kernels/table.hpp"
#include "../tinypyr.hpp"
#include "arena.hpp"
#include "index.hpp"
#include "progress.hpp"
#include "rows.hpp"

namespace tinypyr {

struct Level {
  char* out;
  i64 factor[max_ndim];        // relative to the level before
  i64 total[max_ndim];         // relative to the base
  i64 voxel_offset[max_ndim];  // global coordinate of the first voxel
  i64 extent[max_ndim];
  i64 stride[max_ndim];  // bytes
};

// Consecutive blocks along one axis that have the same number of base voxels.
struct Segment {
  i64 first, count, present;
};

struct Problem {
  const char* in;
  int ndim, levels;
  i64 extent[max_ndim], stride[max_ndim], voxel_offset[max_ndim];
  int logical[max_ndim];  // the caller's number of each axis
  i64 weight[max_ndim];   // of a coordinate in raster order, the caller's axis 0 fastest
  Codec codec;
  const Kernels* kernels;
  i64 lane_stride;     // between lanes of the sums, the "voxels" of the last level; 0: no sums are requested
  Progress* progress;  // of the thread that runs the problem; null if the call is short
  Level level[max_levels];

  Problem() = default;
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem& other) {  // copies only the levels in use
    std::memcpy(static_cast<void*>(this), &other, offsetof(Problem, level));
    std::copy(other.level, other.level + other.levels, level);
    return *this;
  }

  // Allocate a problem on the heap, because it is too large for the stacks of some threads (128 KiB with musl). Return
  // null if memory runs out.
  static std::unique_ptr<Problem> allocate() { return std::unique_ptr<Problem>(new (std::nothrow) Problem); }

  // Report bytes of the input that are processed next (core/progress.hpp).
  TINYPYR_INLINE void report(i64 bytes) const {
    if (progress != nullptr) progress->add(bytes);
  }

  const Level& top() const { return level[levels - 1]; }
  const RowKernels& rows() const { return kernels->of_width(codec.width); }

  // Return the base index of a global coordinate; 0 for coordinates before the base.
  i64 base_index(int axis, i64 global) const { return std::max<i64>(global - voxel_offset[axis], 0); }

  // Return the number of base voxels in block j of a level, along one axis.
  i64 present(const Level& at, int axis, i64 j) const {
    const i64 first = (at.voxel_offset[axis] + j) * at.total[axis];
    return std::min(voxel_offset[axis] + extent[axis], first + at.total[axis]) - std::max(voxel_offset[axis], first);
  }

  // Return the number of base voxels in the largest blocks of a level, along one axis.
  i64 most_present(const Level& at, int axis) const {
    const i64 first = present(at, axis, 0), second = present(at, axis, std::min<i64>(1, at.extent[axis] - 1));
    return std::max(first, second);
  }

  // Fill up to three segments: a first block that may be cut, whole blocks, and a last block that may be cut. Return
  // the number of segments.
  int segments(const Level& at, int axis, Segment* segment) const {
    const i64 blocks = at.extent[axis];
    int count = 0;
    const i64 cuts[] = {0, 1, std::max<i64>(1, blocks - 1), blocks};
    for (int i = 0; i < 3; ++i) {
      if (cuts[i + 1] <= cuts[i]) continue;
      const i64 voxels = present(at, axis, cuts[i]);
      if (count > 0 && segment[count - 1].present == voxels)
        segment[count - 1].count += cuts[i + 1] - cuts[i];
      else
        segment[count++] = {cuts[i], cuts[i + 1] - cuts[i], voxels};
    }
    return count;
  }

  // Restrict an axis to `count` blocks of the last level, beginning at block `first`.
  void restrict_to(int axis, i64 first, i64 count) {
    const i64 total = top().total[axis], block = top().voxel_offset[axis] + first;
    const i64 begin = std::max(voxel_offset[axis], block * total);
    const i64 end = std::min(voxel_offset[axis] + extent[axis], (block + count) * total);
    in += (begin - voxel_offset[axis]) * stride[axis];
    voxel_offset[axis] = begin;
    extent[axis] = end - begin;
    for (int k = 0; k < levels; ++k) {
      Level& at = level[k];
      const i64 start = floor_div(begin, at.total[axis]);
      at.out += (start - at.voxel_offset[axis]) * at.stride[axis];
      at.voxel_offset[axis] = start;
      at.extent[axis] = ceil_div(end, at.total[axis]) - start;
    }
  }

  // Return the size of the input in bytes.
  i64 bytes() const {
    i64 product = codec.width;
    for (int axis = 0; axis < ndim; ++axis) product *= extent[axis];
    return product;
  }
};

}  // namespace tinypyr
