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
#include "../core/shuffle.hpp"
#include "period_plan.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

// Computes the first level of a problem. Order of calls: fits, then run if the result is true.
class ShortRows {
 public:
  explicit ShortRows(const SmallKernels& kernels) : kernels_(kernels) {}

  // Return true if there are loops for the first level of this problem, and rows along its fastest axis are short.
  bool fits(const Problem& p) { return plan_.plan(p, kernels_); }

  Status run(const Problem& p) {
    const Level& level = p.level[0];
    in_place_ = p.codec.is_identity_or_flip();
    writes_in_place_ =
        in_place_ && rows_are_direct(level.out, plan_.run_axis + 1, p.ndim, level.extent, level.stride, p.codec.width);
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
        // (PeriodPlan has limited the period, so that this succeeds.)
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
    const u64 flip = p.codec.flipped_bit();
    char* voxels = writes_in_place_ ? to : voxels_;
    if (kernels_.selects_first) {
      std::memcpy(voxels, planes[0], static_cast<std::size_t>(n * width));
    } else {
      const PoolFootprints loop = kernels_.shapes.of(plane_count, -1);
      loop({planes, n, 1, 0, 0, voxels, nullptr, 0, kernels_.ignore, flip, flip, kernels_.half_even,
            kernels_.half_even});
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
