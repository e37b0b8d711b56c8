// A call in normal form (core/normalize.hpp): axes are sorted by stride, fastest first; axes of one voxel are dropped;
// contiguous neighbours are merged. Parts of a problem (slabs for threads, chunks whose rows fit the cache) are
// problems too. They are cut between footprints of the last level, so that no two parts share one.
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

struct Problem {
  const char* in;
  int ndim, levels;
  i64 extent[max_ndim], stride[max_ndim], voxel_offset[max_ndim];
  int logical[max_ndim];  // the caller's number of each axis
  i64 weight[max_ndim];   // of a coordinate in raster order, the caller's axis 0 fastest
  Codec codec;
  const Kernels* kernels;
  i64 lane_stride;     // between lanes of the sums, the "voxels" of the last level; 0: no sums are requested
  bool is_cached;      // the whole array may be in a cache: small footprints and short rows are not prefetched
  Progress* progress;  // of the thread that runs the problem; null if the call is short
  int room = 0;        // number of levels that `level` can hold
  Level* level = nullptr;

  Problem() = default;
  Problem(const Problem&) = delete;
  ~Problem() { delete[] level; }
  Problem& operator=(const Problem& other) {  // there must be room for the levels of the other problem
    std::memcpy(static_cast<void*>(this), &other, offsetof(Problem, room));
    std::copy(other.level, other.level + other.levels, level);
    return *this;
  }

  // Provide a problem with room for this many levels. Its contents are lost. Return false if memory runs out.
  //
  // Problems are on the heap, because 64 levels (82 KB) are too large for the stacks of some threads (128 KiB with
  // musl). There is no room for more levels than needed, because large blocks cost system calls and page faults: the
  // allocator returns them to the system when they are freed.
  static bool reserve(std::unique_ptr<Problem>& problem, int levels) {
    if (problem && problem->room >= levels) return true;
    problem.reset(new (std::nothrow) Problem);
    if (!problem) return false;
    problem->level = new (std::nothrow) Level[static_cast<std::size_t>(levels)];
    problem->room = problem->level == nullptr ? 0 : levels;
    return problem->room > 0;
  }

  // Report bytes of the input that are processed next (core/progress.hpp).
  TINYPYR_INLINE void report(i64 bytes) const {
    if (progress != nullptr) progress->add(bytes);
  }

  const Level& top() const { return level[levels - 1]; }
  const RowKernels& rows() const { return kernels->of_width(codec.width); }

  // Return the base index of a global coordinate; 0 for coordinates before the base.
  i64 base_index(int axis, i64 global) const { return std::max<i64>(global - voxel_offset[axis], 0); }

  // Return the number of base voxels in the footprint of voxel j of a level, along one axis.
  i64 present(const Level& at, int axis, i64 j) const {
    const i64 first = (at.voxel_offset[axis] + j) * at.total[axis];
    return std::min(voxel_offset[axis] + extent[axis], first + at.total[axis]) - std::max(voxel_offset[axis], first);
  }

  // Restrict an axis to `count` voxels of the last level, from voxel `first` on.
  void restrict_to(int axis, i64 first, i64 count) {
    const i64 total = top().total[axis], start = top().voxel_offset[axis] + first;
    const i64 begin = std::max(voxel_offset[axis], start * total);
    const i64 end = std::min(voxel_offset[axis] + extent[axis], (start + count) * total);
    in += (begin - voxel_offset[axis]) * stride[axis];
    voxel_offset[axis] = begin;
    extent[axis] = end - begin;
    for (int k = 0; k < levels; ++k) {
      Level& at = level[k];
      const i64 offset = floor_div(begin, at.total[axis]);
      at.out += (offset - at.voxel_offset[axis]) * at.stride[axis];
      at.voxel_offset[axis] = offset;
      at.extent[axis] = ceil_div(end, at.total[axis]) - offset;
    }
  }

  // Return the size of the input in bytes.
  i64 bytes() const {
    i64 product = codec.width;
    for (int axis = 0; axis < ndim; ++axis) product *= extent[axis];
    return product;
  }
};

// Return the address of the first base voxel in the footprint of a level's voxel, along the axes from first_axis on.
inline const char* first_base_voxel(const Problem& p, const Level& level, const i64* at, int first_axis) {
  const char* voxel = p.in;
  for (int axis = first_axis; axis < p.ndim; ++axis)
    voxel += p.base_index(axis, (level.voxel_offset[axis] + at[axis]) * level.total[axis]) * p.stride[axis];
  return voxel;
}

}  // namespace tinypyr
