// Means of small footprints of arrays whose fastest axes are short: images with interleaved channels, volumes of few
// slices, rows of blocks that fit one vector.
//
// As in ShortRows (short_rows.hpp), a row consists of periods, in each of which a position in the footprint selects the
// same bytes. If two vectors hold a period, one kernel selects and averages the voxels in registers.
#pragma once

#include "../core/fetcher.hpp"
#include "../core/problem.hpp"
#include "../core/shuffle.hpp"
#include "period_plan.hpp"
#include "small_footprints.hpp"

namespace tinypyr {

// Return true if the periods of a problem with the factors of one mean are short enough for these kernels.
//
// Rows of whole vectors that are read one after the other, from memory, are left to SmallFootprints, which prefetches them
// a shorter distance ahead (0.7 of the time).
inline bool has_short_periods(const Problem& p, const ShuffleKernel& kernel) {
  if (p.codec.kind != Kind::unsigned_integer || p.codec.width > 2 || p.codec.swapped) return false;
  PeriodPlan plan;
  if (p.ndim == 1 || p.extent[0] * p.codec.width > 2 * kernel.vector || p.stride[0] != p.codec.width) return false;
  if (!plan.arrange(p) || plan.period > 2 * kernel.vector) return false;
  return p.is_cached || plan.rows() > 1 || !fills_vectors(p);
}

// Computes the first level of a problem. Order of calls: fits, then run if the result is true.
class PeriodMeans {
 public:
  explicit PeriodMeans(const SmallKernels& kernels) : averages_(kernels.averages) {}

  bool fits(const Problem& p) {
    const ShuffleKernel& kernel = p.kernels->shuffle;
    if (!averages_ || !has_short_periods(p, kernel) || !plan_.arrange(p)) return false;
    row_count_ = plan_.rows();
    voxel_count_ = plan_.planes() / row_count_;
    if (voxel_count_ > 4) return false;
    average_ = kernel.average[width_index(p.codec.width)][voxel_count_ / 4][row_count_ / 2];
    const Level& level = p.level[0];
    result_ = plan_.result_voxels * p.codec.width;
    return average_ != nullptr && result_ <= written(p) &&
           rows_are_direct(level.out, plan_.run_axis + 1, p.ndim, level.extent, level.stride, p.codec.width);
  }

  Status run(const Problem& p) {
    const Level& level = p.level[0];
    problem_ = &p;
    const i64 chunk_bytes = p.is_cached ? most_bytes : most_fetched_bytes;
    chunk_ = std::max<i64>(1, chunk_bytes / (plan_.period * row_count_));
    run_count_ = plan_.runs(runs_);
    bool is_needed[2] = {};  // a footprint has one, two voxels along the run axis
    for (int i = 0; i < run_count_; ++i) {
      is_needed[runs_[i].present - 1] = true;
      is_needed[0] = is_needed[0] || runs_[i].is_cut;
    }
    for (i64 present = 1; present <= 2; ++present)
      if (is_needed[present - 1]) select(present);
    i64 at[max_ndim] = {};
    char* out = level.out;
    const IndexRange rows{AxisRange{plan_.run_axis + 1, p.ndim}, level.extent};
    do make_row(at, out);
    while (rows.next(at, [&](int axis, i64 n) { out += n * level.stride[axis]; }));
    return Status::ok;
  }

 private:
  static constexpr i64 most_bytes = i64{1} << 20, most_fetched_bytes = 8192;  // of the input, at once

  // Return the most bytes that a turn of the kernel writes.
  i64 written(const Problem& p) const {
    const int vector = p.kernels->shuffle.vector;
    return sums_pairs(voxel_count_, row_count_) ? vector / 2 : vector;
  }

  // Fill in the selections for footprints of one or two voxels along the run axis.
  void select(i64 present) {
    const int vector = problem_->kernels->shuffle.vector;
    const bool pairs = sums_pairs(voxel_count_, row_count_);
    const i64 width = problem_->codec.width, period = present * plan_.group, result = result_;
    const i64 periods = std::min(2 * vector / period, written(*problem_) / result);
    PeriodSelections& to = selections_[present - 1];
    to = {};
    const i64 end = to.from_step = periods * period;
    to.to_step = periods * result;
    i64 bytes[2 * Shuffle::longest_vector];
    int voxel = 0;
    for (int plane = 0; plane < plan_.planes(); ++plane) {
      if ((plane & plan_.row_bits) != 0) continue;
      plan_.offsets(plane, present, bytes);
      u8* index = pairs ? to.index[voxel / 2] + voxel % 2 * width : to.index[voxel];
      ++voxel;
      for (i64 start = 0; start < end; start += period)
        for (i64 i = 0; i < result; i += width, index += pairs ? 2 * width : width)
          for (i64 byte = 0; byte < width; ++byte) index[byte] = static_cast<u8>(start + bytes[i + byte]);
    }
  }

  // Compute the row of footprints at `at`, whose first voxel is stored at `out`. Where footprints are cut, the voxels
  // that they have are averaged twice.
  void make_row(const i64* at, char* out) {
    const char* const first_row = plan_.first_row(at);
    const int missing = plan_.missing(at);
    PeriodRows rows;
    i64 offset[PeriodRows::most];
    int count = 0;
    for (int plane = 0; plane < plan_.planes(); ++plane)
      if ((plane & ~plan_.row_bits) == 0) offset[count++] = plan_.row_offset(plane & ~missing);
    Fetcher fetcher;
    plan_.fetch_next(fetcher, first_row, missing);
    for (int i = 0; i < run_count_; ++i) {
      const PeriodRun& run = runs_[i];
      const i64 whole = run.count - run.is_cut;
      for (i64 done = 0; done < run.count;) {
        const i64 present = done < whole ? run.present : 1;
        const i64 n = done < whole ? std::min(chunk_, whole - done) : 1;
        const i64 start = (run.start + done * run.present) * plan_.group;
        const i64 read = n * plan_.period * row_count_;
        problem_->report(read);
        fetcher.some<1>(read);
        for (int r = 0; r < row_count_; ++r) rows.row[r] = first_row + offset[r] + start;
        rows.bytes = problem_->extent[plan_.run_axis] * plan_.group - start;
        rows.to = out + (run.first + done) * result_;
        rows.to_bytes = n * result_;
        average_(selections_[present - 1], rows);
        done += n;
      }
    }
  }

  const bool averages_;
  PeriodPlan plan_;
  const Problem* problem_ = nullptr;
  int row_count_ = 1, voxel_count_ = 2;  // voxels of each row in a footprint
  AveragePeriods average_ = nullptr;
  i64 result_ = 0, chunk_ = 1;  // of the output per period, in bytes; in periods
  PeriodRun runs_[3];
  int run_count_ = 0;
  PeriodSelections selections_[2];
};

}  // namespace tinypyr
