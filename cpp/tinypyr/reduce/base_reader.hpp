// Rows of the base as reductions read them: in place, or encoded; and when to prefetch the next one.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "../core/problem.hpp"
#include "reduction_plan.hpp"

namespace tinypyr {

// Order of calls: start_pass for every problem, start for every plan of a part of it, then read for the row at an index
// of the axes that are not in rows, which the caller changes in place.
class BaseReader {
 public:
  void start_pass(const Problem& whole) { last_row_ = whole.in; }

  // row: for encoded voxels. All arguments must outlive the rows.
  void start(const Problem& problem, const ReductionPlan& plan, const i64* index, char* row) {
    problem_ = &problem;
    plan_ = &plan;
    index_ = index;
    row_ = row;
  }

  // Return the row, and set run.ahead, the distance at which memory is prefetched while the row is pooled.
  const char* read(Run& run) {
    const Problem& p = *problem_;
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
  // Rows are mostly read at a constant distance, so that the next one can be prefetched during this one. Of a long row,
  // memory further on in the row is prefetched instead, unless it is read voxel after voxel, which hardware prefetchers
  // follow.
  i64 ahead_of(const char* from, const Run& run) const {
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
  const char* last_row_ = nullptr;  // read before
};

}  // namespace tinypyr
