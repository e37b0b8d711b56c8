// Access to the rows of the base for reductions: in place or encoded, with prefetches of the next row.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "../core/problem.hpp"
#include "reduction_plan.hpp"

namespace tinypyr {

// Order of calls: start_pass for every problem; start for every plan of a part of it; then read for each row. The
// caller sets the index of the row along the axes outside rows in place.
class BaseReader {
 public:
  void start_pass(const Problem& whole) { last_row_ = whole.in; }

  // row: memory for encoded voxels. All arguments must outlive the rows.
  void start(const Problem& problem, const ReductionPlan& plan, const i64* index, char* row) {
    problem_ = &problem;
    plan_ = &plan;
    index_ = index;
    row_ = row;
  }

  // Return the row, and set run.ahead, the distance at which the pooling loop prefetches memory.
  const char* read(Run& run) {
    const Problem& p = *problem_;
    p.report(plan_->base_length() * p.codec.width);
    const char* from = p.in;
    for (int axis = plan_->row_axes(); axis < p.ndim; ++axis) from += index_[axis] * p.stride[axis];
    if (plan_->base_direct) {
      run.ahead = ahead_of(from, run);
      last_row_ = from;
      return from;
    }
    if (!is_contiguous(plan_->row_axes(), p.extent, p.stride, p.codec.width)) {
      box_to_row(p.rows(), p.codec.width, row_, from, plan_->row_axes(), p.extent, p.stride);
      from = row_;
    }
    p.rows().encode(from, row_, plan_->base_length(), p.codec);
    return row_;
  }

 private:
  // Return the prefetch distance; 0 if the array may be in a cache. Most rows are read at a constant distance, so the
  // next row can be prefetched during this one. For a long row, later memory of the same row is prefetched instead,
  // unless it is read voxel by voxel, which hardware prefetchers follow.
  i64 ahead_of(const char* from, const Run& run) const {
    if (problem_->is_cached) return 0;
    const i64 distance = from - last_row_;
    if (std::abs(distance) <= FootprintPlan::longest_fetched_row) return distance;
    const i64 block = std::min(run.factor, run.n) * run.span * problem_->codec.width;
    const bool is_sequential = run.factor == 1 || block > FootprintPlan::longest_fetched_row;
    return is_sequential ? 0 : std::max(block, FootprintPlan::fetch_distance);
  }

  const Problem* problem_ = nullptr;
  const ReductionPlan* plan_ = nullptr;
  const i64* index_ = nullptr;
  char* row_ = nullptr;
  const char* last_row_ = nullptr;  // the row that was read before
};

}  // namespace tinypyr
