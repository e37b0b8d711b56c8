// A call in its simplest equal form: axes sorted by stride (fastest first), axes of one voxel dropped, neighbours that
// are contiguous merged. Parts of a problem (slabs for threads, chunks that keep rows in cache) are problems too, cut
// at blocks of the last level so that no footprint is ever shared.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "../kernels/table.hpp"
#include "../tinypyr.hpp"
#include "arena.hpp"
#include "index.hpp"

namespace tinypyr {

struct Level {
  char* out;
  i64 factor[max_ndim];        // from the level before
  i64 total[max_ndim];         // from the base
  i64 voxel_offset[max_ndim];  // global coordinate of the first voxel
  i64 extent[max_ndim];
  i64 stride[max_ndim];
};

// A run of blocks along one axis with the same number of voxels present in each.
struct Segment {
  i64 first, count, present;
};

struct Problem {
  const char* in;
  int ndim, levels;
  i64 extent[max_ndim], stride[max_ndim], voxel_offset[max_ndim];
  int logical[max_ndim];  // the caller's number of each axis
  i64 weight[max_ndim];   // raster order with the caller's axis 0 fastest: position = sum of coordinate * weight
  Codec codec;
  const Kernels* kernels;
  i64 lane_stride;  // of sums, which then are the last level's "voxels"; 0: none are wanted
  Level level[max_levels];

  Problem() = default;
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem& other) {
    std::memcpy(static_cast<void*>(this), &other, offsetof(Problem, level));
    std::copy(other.level, other.level + other.levels, level);
    return *this;
  }

  // Too large for the stacks that some threads have (128 KiB with musl): problems live on the heap. Null: no memory.
  static std::unique_ptr<Problem> allocate() { return std::unique_ptr<Problem>(new (std::nothrow) Problem); }

  const Level& top() const { return level[levels - 1]; }
  const RowKernels& rows() const { return kernels->of_width(codec.width); }

  i64 base_index(int axis, i64 global) const { return std::max<i64>(global - voxel_offset[axis], 0); }

  // Voxels of the base below block j of a level, along one axis.
  i64 present(const Level& at, int axis, i64 j) const {
    const i64 first = (at.voxel_offset[axis] + j) * at.total[axis];
    return std::min(voxel_offset[axis] + extent[axis], first + at.total[axis]) - std::max(voxel_offset[axis], first);
  }

  // At most three: a first block that may be cut, whole blocks, a last block that may be cut.
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

  // The same of the blocks that have most.
  i64 most_present(const Level& at, int axis) const {
    return present(at, axis, std::min<i64>(1, at.extent[axis] - 1)) > present(at, axis, 0) ? present(at, axis, 1)
                                                                                           : present(at, axis, 0);
  }

  // Keep only `count` blocks of the last level along an axis, from the `first` on.
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

  i64 bytes() const {
    i64 product = codec.width;
    for (int axis = 0; axis < ndim; ++axis) product *= extent[axis];
    return product;
  }
};

// Checks everything that depends on more than one view, and fills the problem. Extents of 0 are the caller's to handle.
inline Status make_problem(const View& in, int levels, const i64 (*factors)[max_ndim], const View* outs,
                           const i64* given_offset, const View* sums, Problem& problem) {
  i64 voxel_offset[max_ndim] = {};
  for (int axis = 0; axis < in.ndim; ++axis) {
    if (given_offset != nullptr) voxel_offset[axis] = given_offset[axis];
    if (voxel_offset[axis] > max_extent || voxel_offset[axis] < -max_extent) return Status::bad_voxel_offset;
  }
  const int width = row(in.dtype).width;
  const int written = levels;
  if (sums != nullptr) ++levels;  // a level pooled by 1
  problem.lane_stride = sums == nullptr ? 0 : sums->strides[0];
  problem.in = in.data;
  problem.levels = levels;
  problem.codec.width = width;
  problem.codec.kind = row(in.dtype).kind;
  problem.codec.swapped = in.swapped;

  // fastest axis first; on equal strides the last axis counts as faster
  int order[max_ndim];
  for (int axis = 0; axis < in.ndim; ++axis) order[axis] = in.ndim - 1 - axis;
  auto reach = [&](int axis) { return std::abs(in.strides[axis]); };
  std::stable_sort(order, order + in.ndim, [&](int a, int b) { return reach(a) < reach(b); });

  i64 weights[max_ndim], voxels = 1;
  for (int axis = 0; axis < in.ndim; ++axis) {
    weights[axis] = voxels;
    voxels *= in.shape[axis];
  }

  int kept = 0;
  for (int i = 0; i < in.ndim; ++i) {
    const int axis = order[i];
    i64 total = 1, n = in.shape[axis], at = voxel_offset[axis];
    for (int k = 0; k < levels; ++k) {
      const bool is_sums = k == written;
      const i64 factor = is_sums ? 1 : factors[k][axis];
      if (factor < 1) return Status::bad_factor;
      Level& level = problem.level[k];
      if (multiply_overflows(total, factor, &total) || total > 2 * max_extent) total = 2 * max_extent;
      n = block_count(in.shape[axis], total, voxel_offset[axis]);
      at = floor_div(voxel_offset[axis], total);
      level.factor[kept] = std::min(factor, 2 * max_extent);
      level.total[kept] = total;
      level.voxel_offset[kept] = at;
      level.extent[kept] = n;
      level.stride[kept] = is_sums ? sums->strides[axis + 1] : outs[k].strides[axis];
      if ((is_sums ? sums->shape[axis + 1] : outs[k].shape[axis]) != n) return Status::bad_out;
    }
    if (in.shape[axis] == 1) continue;
    problem.extent[kept] = in.shape[axis];
    problem.stride[kept] = in.strides[axis];
    problem.voxel_offset[kept] = voxel_offset[axis];
    problem.logical[kept] = axis;
    problem.weight[kept] = weights[axis];
    // Merge with the faster neighbour where this axis is not pooled, the neighbour has whole blocks only, and the two
    // lie in memory as one axis, in the input and in every level.
    bool merge = kept > 0;
    for (int k = 0; k < levels && merge; ++k) {
      const Level& level = problem.level[k];
      const int fast = kept - 1;
      merge = level.total[kept] == 1 && problem.voxel_offset[fast] % level.total[fast] == 0 &&
              problem.extent[fast] % level.total[fast] == 0 &&
              problem.stride[kept] == problem.stride[fast] * problem.extent[fast] &&
              level.stride[kept] == level.stride[fast] * level.extent[fast];
    }
    if (!merge) {
      ++kept;
      continue;
    }
    problem.extent[kept - 1] *= problem.extent[kept];
    for (int k = 0; k < levels; ++k) problem.level[k].extent[kept - 1] *= problem.level[k].extent[kept];
  }
  if (kept == 0) {  // one voxel: an axis of one
    problem.extent[0] = 1;
    problem.stride[0] = width;
    problem.voxel_offset[0] = problem.logical[0] = 0;
    problem.weight[0] = 1;
    for (int k = 0; k < levels; ++k) {
      Level& level = problem.level[k];
      level.factor[0] = level.total[0] = level.extent[0] = 1;
      level.voxel_offset[0] = 0;
      level.stride[0] = width;
    }
    kept = 1;
  }
  problem.ndim = kept;
  i64 footprint = 1;
  for (int axis = 0; axis < kept; ++axis) {
    const i64 widest = std::min(problem.extent[axis], problem.top().total[axis]);
    if (multiply_overflows(footprint, widest, &footprint) || footprint > max_footprint) return Status::footprint;
  }
  for (int k = 0; k < levels; ++k) problem.level[k].out = k == written ? sums->data : outs[k].data;
  return Status::ok;
}

// --- rows: the fastest axes of a problem, or a chunk of them, treated as one run of voxels ---------------------------

inline bool is_aligned(const void* pointer, int width) {
  return reinterpret_cast<std::uintptr_t>(pointer) % static_cast<unsigned>(width) == 0;
}

// Whether voxels of these extents and strides lie one after the other.
inline bool is_contiguous(int axes, const i64* extent, const i64* stride, i64 width) {
  for (int axis = 0; axis < axes; ++axis) {
    if (extent[axis] > 1 && stride[axis] != width) return false;
    width *= extent[axis];
  }
  return true;
}

// Visit the runs along axis 0 of a box of voxels in strided memory, in order.
template <class Visit>
inline void each_run(char* box, int axes, const i64* extent, const i64* stride, Visit visit) {
  i64 index[max_ndim] = {};
  for (;;) {
    visit(box);
    int axis = 1;
    for (; axis < axes; ++axis) {
      box += stride[axis];
      if (++index[axis] < extent[axis]) break;
      box -= extent[axis] * stride[axis];
      index[axis] = 0;
    }
    if (axis >= axes) return;
  }
}

// visit(bytes), known to the compiler where copies of so few are worth it.
template <class Visit>
inline void with_known_size(i64 bytes, Visit visit) {
  switch (bytes) {
    case 1:
      return visit(std::integral_constant<i64, 1>{});
    case 2:
      return visit(std::integral_constant<i64, 2>{});
    case 4:
      return visit(std::integral_constant<i64, 4>{});
    case 8:
      return visit(std::integral_constant<i64, 8>{});
    case 16:
      return visit(std::integral_constant<i64, 16>{});
    case 32:
      return visit(std::integral_constant<i64, 32>{});
    case 64:
      return visit(std::integral_constant<i64, 64>{});
    case 128:
      return visit(std::integral_constant<i64, 128>{});
    default:
      return visit(bytes);
  }
}

// Asks for the rows of a box that will be read soon, a few lines at a time, in order of memory.
class Fetcher {
 public:
  // One row of so many bytes, or none; then, fastest first, how often it is repeated along each axis.
  void start(const char* from, i64 bytes) {
    from_ = from;
    bytes_ = bytes;
    done_ = 0;
    axes_ = 0;
  }
  void repeat(i64 times, i64 stride) {
    if (times <= 1) return;
    if (axes_ == 0 && stride == bytes_) {  // they are one longer row
      bytes_ *= times;
      return;
    }
    extent_[axes_] = times;
    stride_[axes_] = stride;
    at_[axes_++] = 0;
  }
  void start(const Problem& p) {
    start(p.in, p.extent[0] * p.stride[0]);
    for (int axis = 1; axis < p.ndim; ++axis) repeat(p.extent[axis], p.stride[axis]);
  }
  void stop() { bytes_ = 0; }

  // As many bytes more, into the first-level cache or (what is read a little later) the second.
  template <int cache>
  void some(i64 wanted) {
    while (wanted > 0 && bytes_ > 0) {
      const i64 now = std::min(wanted, bytes_ - done_);
      cache == 1 ? prefetch(from_ + done_, now) : prefetch_to_second(from_ + done_, now);
      done_ += now;
      wanted -= now;
      if (done_ < bytes_) return;
      done_ = 0;
      int axis = 0;
      for (; axis < axes_; ++axis) {
        from_ += stride_[axis];
        if (++at_[axis] < extent_[axis]) break;
        from_ -= extent_[axis] * stride_[axis];
        at_[axis] = 0;
      }
      if (axis >= axes_) stop();
    }
  }

 private:
  const char* from_ = nullptr;
  i64 bytes_ = 0, done_ = 0;
  int axes_ = 0;
  i64 extent_[max_ndim], stride_[max_ndim], at_[max_ndim];
};

// Copy a box of voxels to a contiguous row, axis 0 fastest in the row.
inline void box_to_row(const RowKernels& kernels, int width, char* row, const char* box, int axes, const i64* extent,
                       const i64* stride) {
  // each_run only hands the pointer through; the box is read
  each_run(const_cast<char*>(box), axes, extent, stride, [&](const char* run) {
    kernels.copy(row, width, run, stride[0], extent[0]);
    row += extent[0] * width;
  });
}

inline void row_to_box(const RowKernels& kernels, int width, const char* row, char* box, int axes, const i64* extent,
                       const i64* stride) {
  each_run(box, axes, extent, stride, [&](char* run) {
    kernels.copy(run, stride[0], row, width, extent[0]);
    row += extent[0] * width;
  });
}

}  // namespace tinypyr
