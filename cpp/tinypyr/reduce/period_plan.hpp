// The arrangement of arrays with short rows in periods, for ShortRows (reduce/short_rows.hpp): the choice of the run axis,
// and the bytes that each plane selects in a period.
#pragma once

#include <algorithm>

#include "../core/fetcher.hpp"
#include "../core/problem.hpp"
#include "../core/segments.hpp"
#include "../core/shuffle.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

// Return true if rows of the first level consist of whole footprints and give whole vectors of 32 bytes.
inline bool fills_vectors(const Problem& p) {
  const Level& level = p.level[0];
  return level.extent[0] * p.codec.width % 32 == 0 && p.extent[0] == level.extent[0] * level.total[0];
}

// Return true if rows of the first level are better gathered than read one by one: the row is shorter than 128 bytes, and
// its result is shorter than 64 bytes and does not consist of whole footprints in whole vectors of 32 bytes. The mode and
// median of 8 voxels of up to two bytes take so long that rows of up to 8 shuffle vectors are gathered.
inline bool has_short_rows(const Problem& p, i64 shuffle_vector, bool compares_voxels) {
  constexpr i64 long_result = 64, longest_row = 128;  // bytes
  const Level& level = p.level[0];
  const i64 width = p.codec.width, row = p.extent[0] * width, result = level.extent[0] * width;
  i64 footprint = 1;
  for (int axis = 0; axis < p.ndim; ++axis)
    footprint = std::min<i64>(footprint * std::min<i64>(level.total[axis], 16), 16);
  const bool is_slow = compares_voxels && width <= 2 && level.total[0] > 1 && footprint == 8;
  const bool is_short = row < longest_row && result < long_result;
  return p.ndim > 1 && p.stride[0] == width && !fills_vectors(p) && (is_short || (is_slow && row < 8 * shuffle_vector));
}

// Consecutive footprints along the run axis that are computed in the same way.
struct PeriodRun {
  i64 first, count, present;  // as in Segment
  i64 start;                  // of the input, in voxels along the run axis
  bool is_cut;                // the last footprint lacks its second voxel
};

// The arrangement of a problem's first level in periods. A plane is numbered by bits: bit i is set if it has the second
// voxels along the i-th pooled axis, in raster order. Order of calls: plan or arrange; the rest if it returned true.
class PeriodPlan {
 public:
  // Return false if the fastest axis is not short, or if this arrangement does not suit the problem.
  bool plan(const Problem& p, const SmallKernels& kernels) {
    const i64 longest_period = ShuffleBuilder::longest_period(p.kernels->shuffle.vector);
    if (!has_short_rows(p, p.kernels->shuffle.vector, kernels.compares_voxels) || !arrange(p) ||
        period > longest_period)
      return false;
    if (kernels.selects_first) {
      pooled_count = row_bits = run_bit = 0;  // there is one plane
      return true;
    }
    return kernels.shapes.across[pooled_count] != nullptr && (kernels.may_repeat || !is_cut_);
  }

  // Arrange a problem, whatever the length of its fastest axis. Return false if there are no periods in which voxels are
  // pooled.
  bool arrange(const Problem& p) {
    problem_ = &p;
    const Level& level = p.level[0];
    if (!choose_run_axis()) return false;
    pooled_count = 0;
    result_voxels = 1;
    is_cut_ = false;
    for (int axis = 0; axis < p.ndim; ++axis) {
      if (axis < run_axis) result_voxels *= level.extent[axis];
      if (level.total[axis] == 1) continue;
      if (level.total[axis] > 2 || pooled_count == most_pooled) return false;
      pooled_[pooled_count++] = axis;
      is_cut_ = is_cut_ || (axis <= run_axis && std::min(p.present(level, axis, 0), last_present(axis)) == 1);
    }
    std::sort(pooled_, pooled_ + pooled_count, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    row_bits = run_bit = 0;
    for (int i = 0; i < pooled_count; ++i) {
      if (pooled_[i] > run_axis) row_bits |= 1 << i;
      if (pooled_[i] == run_axis) run_bit = 1 << i;
    }
    period = level.total[run_axis] * group;
    return row_bits != planes() - 1;
  }

  int planes() const { return 1 << pooled_count; }
  // Return the number of rows of the input that a row of footprints covers.
  int rows() const {
    int count = 1;
    for (int bits = row_bits; bits != 0; bits &= bits - 1) count *= 2;
    return count;
  }

  // Fill up to three runs and return their number. A last footprint that is cut belongs to the run before it.
  int runs(PeriodRun* run) const {
    Segment segments[3];
    const int count = segments_of(*problem_, problem_->level[0], run_axis, segments);
    int runs = 0;
    i64 start = 0;
    for (int i = 0; i < count; ++i) {
      const Segment& segment = segments[i];
      if (i > 0 && segment.present == 1 && segments[i - 1].present == 2) {
        run[runs - 1].count += 1;
        run[runs - 1].is_cut = true;
      } else {
        run[runs++] = {segment.first, segment.count, segment.present, start, false};
      }
      start += segment.count * segment.present;
    }
    return runs;
  }

  // Write the offsets, in a period, of the bytes of a plane, and return their number. present: voxels of a footprint along
  // the run axis.
  i64 offsets(int plane, i64 present, i64* bytes) const {
    const Problem& p = *problem_;
    i64 at[max_ndim], extent[max_ndim], count = 0;
    std::copy(p.level[0].extent, p.level[0].extent + run_axis, extent);
    extent[run_axis] = 1;
    const bool second = is_second(plane, 0);
    const IndexRange runs{AxisRange{1, run_axis + 1}, extent};
    runs.each(at, [&] {
      i64 start = std::min<i64>(is_second(plane, run_axis), present - 1) * group;
      for (int axis = 1; axis < run_axis; ++axis)
        start += voxel_of(is_second(plane, axis), axis, at[axis]) * p.stride[axis];
      for (i64 j = 0; j < extent[0]; ++j) {
        const i64 offset = start + voxel_of(second, 0, j) * p.codec.width;
        for (i64 byte = 0; byte < p.codec.width; ++byte) bytes[count++] = offset + byte;
      }
    });
    return count;
  }

  // Return the address of the first row of the input that a row of footprints covers.
  const char* first_row(const i64* at) const {
    return first_base_voxel(*problem_, problem_->level[0], at, run_axis + 1);
  }
  // Begin to prefetch the rows of the input after those that begin at `first_row`.
  void fetch_next(Fetcher& fetcher, const char* first_row, int missing) const {
    const Problem& p = *problem_;
    const int next = run_axis + 1;
    if (next >= p.ndim || p.is_cached) return;
    fetcher.start(first_row + p.level[0].total[next] * p.stride[next], p.extent[run_axis] * group);
    for (int i = 0; i < pooled_count; ++i)
      if ((row_bits & ~missing & 1 << i) != 0) fetcher.repeat(2, p.stride[pooled_[i]]);
  }
  // Return the distance of a plane's row from the first row.
  i64 row_offset(int plane) const {
    i64 offset = 0;
    for (int i = 0; i < pooled_count; ++i)
      if ((plane & row_bits & 1 << i) != 0) offset += problem_->stride[pooled_[i]];
    return offset;
  }

  // Return the end of the memory that may be read after a row: the end of the array if its rows are in order and close
  // to each other (so no page between them can be missing); null if only the row itself may be read.
  const char* readable_end() const {
    const Problem& p = *problem_;
    constexpr i64 page = 4096;
    i64 bytes = p.extent[run_axis] * group;
    for (int axis = run_axis + 1; axis < p.ndim; ++axis) {
      if (p.stride[axis] < bytes || p.stride[axis] >= bytes + page) return nullptr;
      bytes += (p.extent[axis] - 1) * p.stride[axis];
    }
    return p.in + bytes;
  }

  // Return the bits of the axes along which this row of footprints has one voxel instead of two.
  int missing(const i64* at) const {
    int bits = 0;
    for (int i = 0; i < pooled_count; ++i)
      if (pooled_[i] > run_axis && problem_->present(problem_->level[0], pooled_[i], at[pooled_[i]]) == 1)
        bits |= 1 << i;
    return bits;
  }

  int run_axis = 1;
  i64 group = 0;          // bytes of the input from voxel to voxel along the run axis
  i64 period = 0;         // bytes of the input from footprint to footprint
  i64 result_voxels = 0;  // voxels of the output
  int pooled_count = 0;
  int row_bits = 0, run_bit = 0;  // of axes slower than the run axis, and of the run axis

 private:
  static constexpr i64 shortest_run = 256;  // bytes
  static constexpr int most_pooled = 3;

  // Choose the first axis along which a run is long enough. All axes up to it must be contiguous.
  bool choose_run_axis() {
    const Problem& p = *problem_;
    group = p.codec.width;
    for (run_axis = 1; run_axis < p.ndim; ++run_axis) {
      group *= p.extent[run_axis - 1];
      if (p.stride[run_axis] != group) return false;
      if (group * p.extent[run_axis] >= shortest_run) return true;
    }
    return false;
  }

  i64 last_present(int axis) const {
    const Level& level = problem_->level[0];
    return problem_->present(level, axis, level.extent[axis] - 1);
  }
  bool is_second(int plane, int axis) const {
    for (int i = 0; i < pooled_count; ++i)
      if (pooled_[i] == axis) return (plane >> i & 1) != 0;
    return false;
  }
  // Return the first or second voxel of footprint j along an axis faster than the run axis, or the one that exists.
  i64 voxel_of(bool second, int axis, i64 j) const {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    const i64 first = (level.voxel_offset[axis] + j) * level.total[axis] - p.voxel_offset[axis];
    return std::clamp<i64>(first + second, 0, p.extent[axis] - 1);
  }

  const Problem* problem_ = nullptr;
  bool is_cut_ = false;      // a footprint along the run axis, or a faster one, lacks a voxel
  int pooled_[most_pooled];  // axes in raster order
};

}  // namespace tinypyr
