// Small footprints of arrays whose fastest axis is short (the channels of an image, a few slices) or leaves a remainder in
// vectors.
//
// Here a row covers the fastest axes and one longer axis, the run axis. It consists of periods: the voxels of one footprint
// along the run axis, with all voxels along the faster axes. In every period, each position in the footprint selects the
// same bytes, so a shuffle (core/shuffle.hpp) gathers all voxels at this position into a plane. The loops for footprints
// of one voxel per row then pool the planes.
//
// Footprints that are cut at the border take the voxels they lack from those they have, every voxel twice. This does
// not change a result: twice the voxels have the same mean, mode, extremes, and lower median.
#pragma once

#include <cstdlib>

#include "../core/fetcher.hpp"
#include "../core/problem.hpp"
#include "../core/segments.hpp"
#include "../core/shuffle.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

// Return true if rows of the first level are better gathered than read one by one: the row is shorter than 128 bytes, and
// its result is shorter than 64 bytes and does not consist of whole footprints in whole vectors of 32 bytes. The mode and
// median of 8 voxels of up to two bytes take so long that rows of up to 8 shuffle vectors are gathered.
inline bool has_short_rows(const Problem& p, i64 shuffle_vector, bool compares_voxels) {
  constexpr i64 vector = 32, long_result = 64, longest_row = 128;  // bytes
  const Level& level = p.level[0];
  const i64 width = p.codec.width, row = p.extent[0] * width, result = level.extent[0] * width;
  const bool fills_vectors = result % vector == 0 && p.extent[0] == level.extent[0] * level.total[0];
  i64 footprint = 1;
  for (int axis = 0; axis < p.ndim; ++axis)
    footprint = std::min<i64>(footprint * std::min<i64>(level.total[axis], 16), 16);
  const bool is_slow = compares_voxels && width <= 2 && level.total[0] > 1 && footprint == 8;
  const bool is_short = row < longest_row && result < long_result;
  return p.ndim > 1 && p.stride[0] == width && !fills_vectors && (is_short || (is_slow && row < 8 * shuffle_vector));
}

// Consecutive footprints along the run axis that are computed in the same way.
struct PeriodRun {
  i64 first, count, present;  // as in Segment
  i64 start;                  // of the input, in voxels along the run axis
  bool is_cut;                // the last footprint lacks its second voxel
};

// The arrangement of a problem's first level in periods. A plane is numbered by bits: bit i is set if it has the second
// voxels along the i-th pooled axis, in raster order. Order of calls: plan; the rest if it returned true.
class PeriodPlan {
 public:
  // Return false if the fastest axis is not short, or if this arrangement does not suit the problem.
  bool plan(const Problem& p, const SmallKernels& kernels) {
    problem_ = &p;
    const Level& level = p.level[0];
    if (!has_short_rows(p, p.kernels->shuffle.vector, kernels.compares_voxels) || !choose_run_axis()) return false;
    pooled_count = 0;
    result_voxels = 1;
    bool is_cut = false;
    for (int axis = 0; axis < p.ndim; ++axis) {
      if (axis < run_axis) result_voxels *= level.extent[axis];
      if (level.total[axis] == 1) continue;
      if (level.total[axis] > 2 || pooled_count == most_pooled) return false;
      pooled_[pooled_count++] = axis;
      is_cut = is_cut || (axis <= run_axis && std::min(p.present(level, axis, 0), last_present(axis)) == 1);
    }
    std::sort(pooled_, pooled_ + pooled_count, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    row_bits = run_bit = 0;
    for (int i = 0; i < pooled_count; ++i) {
      if (pooled_[i] > run_axis) row_bits |= 1 << i;
      if (pooled_[i] == run_axis) run_bit = 1 << i;
    }
    period = level.total[run_axis] * group;
    const i64 longest_period = ShuffleBuilder::longest_period(p.kernels->shuffle.vector);
    const bool pools_period = row_bits != planes() - 1;
    if (kernels.selects_first) {
      pooled_count = row_bits = run_bit = 0;  // there is one plane
      return pools_period && period <= longest_period;
    }
    return pools_period && kernels.shapes.across[pooled_count] != nullptr && period <= longest_period &&
           (kernels.may_repeat || !is_cut);
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
    const IndexRange voxels{AxisRange{0, run_axis + 1}, extent};
    voxels.each(at, [&] {
      i64 offset = std::min<i64>(is_second(plane, run_axis), present - 1) * group;
      for (int axis = 0; axis < run_axis; ++axis) offset += voxel_of(plane, axis, at[axis]) * p.stride[axis];
      for (i64 byte = 0; byte < p.codec.width; ++byte) bytes[count++] = offset + byte;
    });
    return count;
  }

  // Return the address of the first row of the input that a row of footprints covers.
  const char* first_row(const i64* at) const {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    const char* start = p.in;
    for (int axis = run_axis + 1; axis < p.ndim; ++axis)
      start += p.base_index(axis, (level.voxel_offset[axis] + at[axis]) * level.total[axis]) * p.stride[axis];
    return start;
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
  // Return the voxel that a plane selects for footprint j of an axis faster than the run axis.
  i64 voxel_of(int plane, int axis, i64 j) const {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    const i64 first = (level.voxel_offset[axis] + j) * level.total[axis] - p.voxel_offset[axis];
    return std::clamp<i64>(first + is_second(plane, axis), 0, p.extent[axis] - 1);
  }

  const Problem* problem_ = nullptr;
  int pooled_[most_pooled];  // axes in raster order
};

// Computes the first level of a problem. Order of calls: fits, then run if the result is true.
class ShortRows {
 public:
  explicit ShortRows(const SmallKernels& kernels) : kernels_(kernels) {}

  // Return true if there are loops for the first level of this problem, and rows along its fastest axis are short.
  bool fits(const Problem& p) { return plan_.plan(p, kernels_); }

  Status run(const Problem& p) {
    const Level& level = p.level[0];
    in_place_ = p.codec.is_identity() || p.codec.only_flips();
    writes_in_place_ = in_place_ && is_aligned(level.out, p.codec.width) &&
                       is_contiguous(plan_.run_axis + 1, level.extent, level.stride, p.codec.width);
    for (int axis = plan_.run_axis + 1; axis < p.ndim; ++axis)
      writes_in_place_ = writes_in_place_ && level.stride[axis] % p.codec.width == 0;
    chunk_ = std::min(level.extent[plan_.run_axis], std::max<i64>(1, chunk_bytes / (plan_.period * plan_.rows())));
    if (!allocate(p)) return Status::out_of_memory;
    build_shuffles(p);
    run_count_ = plan_.runs(runs_);
    end_ = in_place_ ? plan_.readable_end() : nullptr;
    i64 at[max_ndim] = {};
    char* out = level.out;
    const IndexRange rows{AxisRange{plan_.run_axis + 1, p.ndim}, level.extent};
    do make_row(p, at, out);
    while (rows.next(at, [&](int axis, i64 n) { out += n * level.stride[axis]; }));
    return Status::ok;
  }

 private:
  static constexpr i64 chunk_bytes = 8192;  // of the input: it and its planes fit the first-level cache
  static constexpr int most_planes = 8;

  bool allocate(const Problem& p) {
    const i64 voxel_bytes = chunk_ * plan_.result_voxels * p.codec.width;
    plane_bytes_ = round_up(voxel_bytes + Shuffle::period_bound + Shuffle::longest_vector);
    return memory_.allocate([&](auto& take) {
      planes_ = take.template array<char>(plane_bytes_ * plan_.planes());
      voxels_ = take.template array<char>(writes_in_place_ ? 0 : voxel_bytes);
      encoded_ = take.template array<char>(in_place_ ? 0 : chunk_ * plan_.period);
      shuffles_ = take.template array<Shuffle>(2 * most_planes);
    });
  }

  // The shuffle of a plane, for footprints of one or two voxels along the run axis.
  Shuffle& shuffle_of(int plane, i64 present) {
    return shuffles_[(plane & ~plan_.row_bits) + (present - 1) * most_planes];
  }

  void build_shuffles(const Problem& p) {
    i64 bytes[Shuffle::period_bound];
    for (int plane = 0; plane < plan_.planes(); ++plane) {
      if ((plane & plan_.row_bits) != 0) continue;
      for (i64 present = 1; present <= p.level[0].total[plan_.run_axis]; ++present) {
        const i64 count = plan_.offsets(plane, present, bytes);
        ShuffleBuilder(bytes, count, present * plan_.group, p.kernels->shuffle.vector)
            .build(shuffle_of(plane, present));
      }
    }
  }

  // Compute the row of footprints at `at`, whose first voxel is stored at `out`.
  void make_row(const Problem& p, const i64* at, char* out) {
    const Level& level = p.level[0];
    const char* first_row = plan_.first_row(at);
    const int missing_rows = plan_.missing(at);
    Fetcher fetcher;
    plan_.fetch_next(fetcher, first_row, missing_rows);
    for (int i = 0; i < run_count_; ++i) {
      const PeriodRun& run = runs_[i];
      const int missing = missing_rows | (run.present == 1 ? plan_.run_bit : 0);
      for (i64 done = 0; done < run.count; done += chunk_) {
        const i64 count = std::min(chunk_, run.count - done);
        const bool is_last_cut = run.is_cut && done + count == run.count;
        const Chunk chunk = {run.start + done * run.present, count, run.present, is_last_cut ? plan_.group : 0};
        p.report(count * plan_.period * plan_.rows());
        fetcher.some<1>(count * plan_.period * plan_.rows());
        const void* planes[most_planes];
        int plane_count = 0;
        for (int plane = 0; plane < plan_.planes(); ++plane) {
          if ((plane & missing) != 0) continue;
          planes[plane_count++] = planes_ + plane * plane_bytes_;
          if ((plane & ~plan_.row_bits) == 0) gather(p, first_row + plan_.row_offset(plane), plane, chunk);
        }
        pool(p, planes, plane_count, count, out + (run.first + done) * level.stride[plan_.run_axis]);
      }
    }
  }

  // Part of a run that is computed at once.
  struct Chunk {
    i64 start;  // in voxels along the run axis of the input
    i64 count;  // in periods
    i64 present, repeated;
  };

  // Gather the planes of one row of the input: those whose bits for slower axes are the bits of `row`.
  void gather(const Problem& p, const char* from, int row, const Chunk& chunk) {
    const char* row_end = from + p.extent[plan_.run_axis] * plan_.group;
    from += chunk.start * plan_.group;
    i64 bytes = (end_ != nullptr && chunk.repeated == 0 ? end_ : row_end) - from;
    if (!in_place_) {
      bytes = std::min(bytes, chunk.count * chunk.present * plan_.group);
      p.rows().encode(from, encoded_, bytes / p.codec.width, p.codec);
      from = encoded_;
    }
    const int missing = chunk.present == 1 ? plan_.run_bit : 0;
    for (int plane = row; plane < plan_.planes(); ++plane)
      if ((plane & plan_.row_bits) == row && (plane & missing) == 0)
        shuffle_run(p.kernels->shuffle, shuffle_of(plane, chunk.present), from, bytes, chunk.count, chunk.repeated,
                    planes_ + plane * plane_bytes_);
  }

  void pool(const Problem& p, const void** planes, int plane_count, i64 count, char* to) {
    const Level& level = p.level[0];
    const i64 n = count * plan_.result_voxels, width = p.codec.width;
    const u64 flip = p.codec.only_flips() ? p.codec.top_bit() : 0;
    char* voxels = writes_in_place_ ? to : voxels_;
    if (kernels_.selects_first) {
      std::memcpy(voxels, planes[0], static_cast<std::size_t>(n * width));
    } else {
      const PoolFootprints loop = kernels_.shapes.of(plane_count, -1);
      loop({planes, n, 1, 0, 0, voxels, nullptr, 0, kernels_.ignore, flip, flip, kernels_.half_even});
    }
    if (writes_in_place_) return;
    if (!in_place_) p.rows().decode(voxels, n, p.codec);
    i64 index[max_ndim];
    const IndexRange group{AxisRange{0, plan_.run_axis}, level.extent};
    group.start(index);
    do {
      p.rows().copy(to, level.stride[plan_.run_axis], voxels, plan_.result_voxels * width, count);
      voxels += width;
    } while (group.next(index, [&](int axis, i64 step) { to += step * level.stride[axis]; }));
  }

  const SmallKernels kernels_;
  PeriodPlan plan_;
  bool in_place_ = false, writes_in_place_ = false;  // voxels are not copied
  i64 chunk_ = 0, plane_bytes_ = 0;                  // chunk: in periods
  PeriodRun runs_[3];
  int run_count_ = 0;
  const char* end_ = nullptr;  // of the memory that may be read after a row
  Arena memory_;
  char *planes_ = nullptr, *voxels_ = nullptr, *encoded_ = nullptr;
  Shuffle* shuffles_ = nullptr;
};

}  // namespace tinypyr
