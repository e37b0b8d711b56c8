// mode, median and stride: levels computed from all voxels of a footprint at once.
//
// Every level is computed from the base. An axis is divided into at most three segments (a partial first block, whole
// blocks, a partial last block). In a box of segments all footprints have the same shape. Small footprints are laid out
// as planes, one row per position in the footprint, so that kernels process contiguous rows. Large footprints are
// gathered voxel by voxel.
//
// Assumes: nothing about dtypes, factors, strides or labels.
// Guarantees: exact values of every level. Each level reads the whole base, so several levels of a mode are faster by
// other strategies (mode/mode_driver.hpp).
// Ties of modes: Mode in kernels/selections.inl for footprints of up to max_planes voxels, WholeFootprint::mode and
// RadixSelect::try_winners for larger ones.
#pragma once

#include <algorithm>

#include "../core/prefetch.hpp"
#include "../core/problem.hpp"
#include "../core/segments.hpp"
#include "../reduce/short_rows.hpp"
#include "../reduce/small_footprints.hpp"
#include "../tinypyr.hpp"
#include "radix_select.hpp"
#include "whole_footprints.hpp"

namespace tinypyr {

constexpr int max_planes = 32;

// Return the kernels of a method for the voxels of a problem.
inline const SelectKernels& kernels_of(const Problem& problem, const Options& options) {
  const RowKernels& kernels = problem.rows();
  if (options.method == Method::mode) return kernels.mode[options.ties == Ties::lowest][options.has_ignore];
  if (options.method == Method::median) return kernels.median;
  return kernels.first[problem.codec.kind == Kind::floating];
}

// Return the parameters of a method's kernels. ignore: the ignored value in the encoding in which kernels compare.
inline SelectParams params_of(const Options& options, const Codec& codec, u64 ignore) {
  SelectParams params = {options.has_ignore, false, ignore, 0, nullptr};
  if (options.method == Method::median && codec.kind == Kind::floating) {
    // The encoded NaN, after the key of the ignored value has been remapped to the top.
    params.has_nan = !(options.has_ignore && codec.remapped == codec.nan_key());
    params.nan = codec.nan_key() - (codec.remap == IgnoreRemap::to_top ? 1 : 0);
  }
  return params;
}

// Calls of run are independent of each other.
class SelectionDriver {
 public:
  explicit SelectionDriver(const Options& options) : options_(options) {}

  // Compute all levels. ignore: the ignored value in the encoding in which kernels compare.
  Status run(const Problem& problem, u64 ignore) {
    problem_ = &problem;
    params_ = params_of(options_, problem.codec, ignore);
    const bool has_small_kernels = options_.method == Method::mode ||
                                   (options_.method == Method::median && !params_.has_ignore && !params_.has_nan);
    small_ = has_small_kernels ? &kernels_of(problem, options_).small : nullptr;
    const bool selects_first = options_.method == Method::stride && !options_.has_ignore;
    const SmallKernels kernels = selection_kernels(kernels_of(problem, options_), ignore, selects_first);
    ShortRows short_rows(kernels);
    SmallFootprints small_footprints(kernels);
    for (int k = 0; k < problem.levels; ++k) {
      level_ = &problem.level[k];
      const bool is_small = k == 0 && has_small_kernels, is_first = k == 0 && selects_first;
      const Status status = (is_small || is_first) && short_rows.fits(problem) ? short_rows.run(problem)
                            : is_small && small_footprints.fits(problem)
                                ? small_footprints.run(problem)
                                : make_boxes(problem.ndim - 1, problem.in, level_->out);
      if (status != Status::ok) return status;
    }
    return Status::ok;
  }

 private:
  // Compute the boxes of segments along this axis and the faster ones.
  Status make_boxes(int axis, const char* in, char* out) {
    const Problem& p = *problem_;
    if (axis < 0) return make_box(in, out);
    Segment segments[3];
    const int count = segments_of(p, *level_, axis, segments);
    for (int i = 0; i < count; ++i) {
      const Segment& segment = segments[i];
      const i64 start = (level_->voxel_offset[axis] + segment.first) * level_->total[axis];
      blocks_[axis] = segment.count;
      size_[axis] = segment.present;
      const Status status = make_boxes(axis - 1, in + p.base_index(axis, start) * p.stride[axis],
                                       out + segment.first * level_->stride[axis]);
      if (status != Status::ok) return status;
    }
    return Status::ok;
  }

  // Compute blocks_ footprints of size_ voxels along each axis.
  Status make_box(const char* in, char* out) {
    const Problem& p = *problem_;
    i64 count = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      count *= size_[axis];
      step_[axis] = size_[axis] * p.stride[axis];
    }
    if (options_.method == Method::stride && !options_.has_ignore) {
      copy_first(in, out);
      return Status::ok;
    }
    if (count <= max_planes) return make_rows(in, out, static_cast<int>(count));
    return with_unsigned(p.codec.width, [&](auto u) { return make_one_by_one<decltype(u)>(in, out, count); });
  }

  // Call visit(in, out, index) at all positions along the axes from `first` on, in steps of `chunk` along axis `first`.
  template <class Visit>
  TINYPYR_INLINE void each_row(int first, i64 chunk, const char* in, char* out, Visit visit) {
    i64 index[max_ndim] = {};
    const IndexRange rows{AxisRange{first, problem_->ndim}, blocks_};
    do visit(in, out, index);
    while (rows.next(
        index,
        [&](int axis, i64 n) {
          in += n * step_[axis];
          out += n * level_->stride[axis];
        },
        chunk));
  }

  void copy_first(const char* in, char* out) {
    constexpr i64 fetch_distance = 4096, longest_fetched_row = 4096;  // bytes
    const Problem& p = *problem_;
    // Prefetch the rows some steps ahead, including the rows between them that are skipped. Skipped rows hide the
    // access pattern from hardware prefetchers, and memory is read faster in sequence (by a third here) than in every
    // other row.
    const i64 step = p.ndim > 1 ? step_[1] : 0, bytes = p.stride[0] == p.codec.width ? blocks_[0] * step_[0] : 0;
    const i64 bytes_of_row = blocks_[0] * p.codec.width;  // that are copied
    const i64 ahead = step == 0 ? 0 : step * ceil_div(fetch_distance, std::abs(step));
    const i64 fetched = step > bytes && step <= 2 * bytes ? step : bytes;
    each_row(1, 1, in, out, [=, &p](const char* from, char* to, const i64*) {
      p.report(bytes_of_row);
      if (bytes <= longest_fetched_row) prefetch(from + ahead, fetched);
      p.rows().copy(to, level_->stride[0], from, step_[0], blocks_[0]);
    });
  }

  // --- rows of footprints of up to max_planes voxels ---

  // A row of footprints along the first `axes` axes of a box, the last of which is divided into chunks.
  struct Row {
    int axes, count;  // count: voxels of a footprint
    i64 length, chunk;
    i64 extent[max_ndim], n;  // of the current row, which may be shorter
  };

  Row row_of(int count) const {
    const i64 longest = std::max<i64>(64, 32768 / (i64{count} * problem_->codec.width));
    Row row = {0, count, 1, 1, {}, 0};
    while (row.axes < problem_->ndim) {
      row.chunk = std::min(blocks_[row.axes], std::max<i64>(1, longest / row.length));
      row.length *= row.chunk;
      ++row.axes;
      if (row.chunk < blocks_[row.axes - 1]) break;
    }
    return row;
  }

  Status make_rows(const char* in, char* out, int count) {
    const i64 width = problem_->codec.width;
    Row row = row_of(count);
    char *planes = nullptr, *voxel_row = nullptr;
    const bool has_memory = memory_.allocate([&](auto& take) {
      const i64 bytes = round_up(row.length * width);
      planes = take.template array<char>(count * bytes);
      voxel_row = take.template array<char>(bytes);
      params_.scratch = take.template array<char>((count + 2) * bytes);
    });
    if (!has_memory) return Status::out_of_memory;
    each_row(row.axes - 1, row.chunk, in, out, [&](const char* from, char* to, const i64* index) {
      row.n = 1;
      for (int axis = 0; axis < row.axes; ++axis) {
        const bool is_last = axis == row.axes - 1;
        row.extent[axis] = is_last ? std::min(row.chunk, blocks_[axis] - index[axis]) : blocks_[axis];
        row.n *= row.extent[axis];
      }
      problem_->report(count * row.n * width);
      make_row(row, from, to, planes, voxel_row);
    });
    return Status::ok;
  }

  void make_row(const Row& row, const char* from, char* to, char* plane_rows, char* voxel_row) {
    const Problem& p = *problem_;
    const void* planes[max_planes];
    gather_planes(row, from, plane_rows, planes);
    const bool in_place = p.codec.is_identity() && is_contiguous(row.axes, row.extent, level_->stride, p.codec.width) &&
                          is_aligned(to, p.codec.width);
    char* voxels = in_place ? to : voxel_row;
    const PoolFootprints pool = small_ == nullptr ? nullptr : small_->of(row.count, -1);
    if (pool != nullptr)
      pool({planes, row.n, 1, 0, 0, voxels, nullptr, 0, params_.ignore, 0, 0, false});
    else
      kernels_of(p, options_).planes(planes, row.count, row.n, voxels, params_);
    if (in_place) return;
    p.rows().decode(voxels, row.n, p.codec);
    row_to_box(p.rows(), p.codec.width, voxels, to, row.axes, row.extent, level_->stride);
  }

  // Set planes[v] to the encoded v-th voxels of all footprints of a row, in place or copied to plane_rows.
  void gather_planes(const Row& row, const char* from, char* plane_rows, const void** planes) const {
    const Problem& p = *problem_;
    const bool direct = p.codec.is_identity() && is_contiguous(row.axes, row.extent, step_, p.codec.width);
    int plane = 0;
    each_voxel(p, from, size_, [&](const char* voxel) {
      char* copy = plane_rows + plane * row.n * p.codec.width;
      planes[plane++] = direct && is_aligned(voxel, p.codec.width) ? voxel : copy;
      if (planes[plane - 1] != voxel) box_to_row(p.rows(), p.codec.width, copy, voxel, row.axes, row.extent, step_);
    });
    if (!p.codec.is_identity()) p.rows().encode(plane_rows, plane_rows, row.count * row.n, p.codec);
  }

  // --- larger footprints ---

  template <class U>
  Status make_one_by_one(const char* in, char* out, i64 count) {
    WholeFootprint<U> footprint(*problem_, options_, params_, size_, count);
    if (!footprint.allocate(memory_)) return Status::out_of_memory;
    each_row(0, 1, in, out, [&](const char* from, char* to, const i64*) {
      const U voxel = footprint.select(from);
      std::memcpy(to, &voxel, sizeof(U));
    });
    return Status::ok;
  }

  const Options& options_;
  const Problem* problem_ = nullptr;
  const Level* level_ = nullptr;
  SelectParams params_ = {};
  const Shapes* small_ = nullptr;  // loops for few voxels; null if they do not give the result for these voxels
  i64 blocks_[max_ndim], size_[max_ndim], step_[max_ndim];
  Arena memory_;
};

}  // namespace tinypyr
