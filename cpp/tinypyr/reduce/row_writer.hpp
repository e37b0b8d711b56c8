// Conversion of rows of accumulators to voxels of a level.
#pragma once

#include "../core/problem.hpp"
#include "../core/segments.hpp"
#include "reduction_plan.hpp"

namespace tinypyr {

// Order of calls: start for every plan; then voxels_of and write for each row. The caller sets the index of the row
// along the axes outside rows in place.
class RowWriter {
 public:
  explicit RowWriter(const ReductionRule& rule) : rule_(rule), reduction_(*rule.reduction) {}

  // out_row: memory for voxels that cannot be written to the output directly. All arguments must outlive the rows.
  void start(const Problem& problem, const ReductionPlan& plan, const i64* index, char* out_row) {
    problem_ = &problem;
    plan_ = &plan;
    index_ = index;
    out_row_ = out_row;
  }

  // The address at which the voxels of a level's row are computed.
  char* voxels_of(int k) const { return plan_->shapes[k].direct ? row_in(problem_->level[k]) : out_row_; }

  // Write the row of a level. Its voxels are computed from accumulators, unless they were computed together with them.
  void write(int k, char* accumulators, i64 length) const {
    const Problem& p = *problem_;
    const Level& level = p.level[k];
    const RowShape& shape = plan_->shapes[k];
    if (p.lane_stride != 0 && k == p.levels - 1) return write_sums(level, accumulators, length);
    char* voxels = voxels_of(k);
    if (!plan_->small_first() || k > 0) {
      i64 count = 1;
      for (int axis = plan_->row_axes(); axis < p.ndim; ++axis) count *= p.present(level, axis, index_[axis]);
      // (First finish all footprints along the row as if they were whole, then those that are cut: they are few, and
      // runs without them are short.)
      const Span row = {accumulators, length, voxels};
      finish(row, 0, length, count * shape.footprint);
      if (!shape.uniform) finish_cut(level, plan_->row_axes() - 1, row, 0, length, count, true);
    }
    if (shape.direct) return;
    p.rows().decode(voxels, length, p.codec);
    row_to_box(p.rows(), p.codec.width, voxels, row_in(level), plan_->row_axes(), level.extent, level.stride);
  }

 private:
  // A row of accumulators with lanes `plane` elements apart, and its voxels.
  struct Span {
    const char* accumulators;
    i64 plane;
    char* voxels;
  };

  // The address of the row in a level's output.
  char* row_in(const Level& level) const {
    char* out = level.out;
    for (int axis = plan_->row_axes(); axis < problem_->ndim; ++axis) out += index_[axis] * level.stride[axis];
    return out;
  }

  void write_sums(const Level& level, char* accumulators, i64 length) const {
    const int width = reduction_.lane_bytes;
    if (problem_->codec.kind == Kind::floating) make_nan_canonical(accumulators, reduction_.lanes * length);
    const RowKernels& kernels = problem_->kernels->of_width(width);
    for (int lane = 0; lane < reduction_.lanes; ++lane)
      row_to_box(kernels, width, accumulators + lane * length * width, row_in(level) + lane * problem_->lane_stride,
                 plan_->row_axes(), level.extent, level.stride);
  }

  // Compute `length` voxels of footprints of `count` voxels each, beginning at index `from` of the row.
  void finish(const Span& row, i64 from, i64 length, i64 count) const {
    reduction_.finish(row.accumulators + from * reduction_.lane_bytes, row.plane,
                      row.voxels + from * problem_->codec.width, length, {count, rule_.half_even, rule_.ignore});
  }

  // Finish runs of footprints with equal counts, along `axis` and the faster axes, because footprints at the edges have
  // fewer voxels. count: voxels along slower axes. is_whole: no footprint is cut along the slower axes, so that only
  // cut ones remain to be finished here.
  void finish_cut(const Level& level, int axis, const Span& row, i64 from, i64 length, i64 count, bool is_whole) const {
    Segment segments[3];
    const int segment_count = segments_of(*problem_, level, axis, segments);
    const i64 step = length / level.extent[axis], most = most_present(*problem_, level, axis);
    bool faster_uniform = true;
    i64 faster = 1;  // voxels along the faster axes
    for (int other = 0; other < axis; ++other) {
      Segment lower[3] = {};
      faster_uniform = faster_uniform && segments_of(*problem_, level, other, lower) == 1;
      faster *= lower[0].present;
    }
    for (int i = 0; i < segment_count; ++i) {
      const Segment& segment = segments[i];
      const bool is_done = is_whole && segment.present == most;
      if (faster_uniform) {
        if (!is_done) finish(row, from + segment.first * step, segment.count * step, count * segment.present * faster);
        continue;
      }
      if (axis == 1 && step * problem_->codec.width <= longest_column_row) {
        finish_columns(level, row, from + segment.first * step, segment.count, count * segment.present, is_done);
        continue;
      }
      for (i64 j = segment.first; j < segment.first + segment.count; ++j)
        finish_cut(level, axis - 1, row, from + j * step, step, count * segment.present, is_done);
    }
  }

  // Finish `rows` short runs along axis 0, of which some footprints are cut. count: voxels along the other axes.
  // is_whole: only these remain to be finished. They are finished together with their neighbours, as if all had their
  // count, and then copied column by column, because runs of one voxel are expensive.
  void finish_columns(const Level& level, const Span& row, i64 from, i64 rows, i64 count, bool is_whole) const {
    alignas(64) char voxels[longest_column_row * 32];
    const Problem& p = *problem_;
    Segment segments[3];
    const int segment_count = segments_of(p, level, 0, segments);
    const i64 width = p.codec.width, step = level.extent[0], most = most_present(p, level, 0);
    if (!is_whole) finish(row, from, rows * step, count * most);
    const i64 most_rows = static_cast<i64>(sizeof(voxels)) / (step * width);
    for (int i = 0; i < segment_count; ++i) {
      const Segment& segment = segments[i];
      if (segment.present == most) continue;
      for (i64 done = 0; done < rows; done += most_rows) {
        const i64 some = std::min(most_rows, rows - done), at = from + done * step;
        reduction_.finish(row.accumulators + at * reduction_.lane_bytes, row.plane, voxels, some * step,
                          {count * segment.present, rule_.half_even, rule_.ignore});
        for (i64 j = segment.first; j < segment.first + segment.count; ++j)
          p.rows().copy(row.voxels + (at + j) * width, step * width, voxels + j * width, step * width, some);
      }
    }
  }

  static constexpr i64 longest_column_row = 128;  // bytes: longer runs are finished one by one

  const ReductionRule rule_;
  const Reduction& reduction_;
  const Problem* problem_ = nullptr;
  const ReductionPlan* plan_ = nullptr;
  const i64* index_ = nullptr;
  char* out_row_ = nullptr;
};

}  // namespace tinypyr
