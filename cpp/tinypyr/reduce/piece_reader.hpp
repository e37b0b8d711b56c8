// Accumulators of a few voxels at a time, for StreamingReduction: of voxels of the base, or of the last level that a
// ReductionDriver can compute.
#pragma once

#include <memory>

#include "../core/problem.hpp"
#include "reduction.hpp"

namespace tinypyr {

// Order of calls: start, once per problem; then everything else.
class PieceReader {
 public:
  static constexpr i64 most_voxels = 4096;  // in a piece

  // parts: a driver with the same rule.
  PieceReader(ReductionDriver& parts, const ReductionRule& rule)
      : parts_(parts), rule_(rule), reduction_(*rule.reduction) {}

  // Find the number of levels that the driver can compute. This and `read` return false if memory runs out.
  bool start(const Problem& whole) {
    problem_ = &whole;
    if (!Problem::reserve(part_, whole.levels)) return false;
    levels_ = whole.levels;
    for (bool fits = false; levels_ > 0 && !fits;) {
      *part_ = whole;
      part_->levels = --levels_;
      if (levels_ > 0) ask_for_sums(*part_, nullptr, most_voxels);
      if (levels_ > 0 && !parts_.fits(*part_, &fits)) return false;
    }
    return levels_ > 0 || voxels_.reserve(most_voxels * whole.codec.width);
  }

  // The number of levels that the driver computes; 0: pieces consist of voxels of the base.
  int levels() const { return levels_; }

  // Write the accumulators of n voxels along an axis, from these coordinates on. plane: the distance between lanes, in
  // elements.
  bool read(const i64* at, int along, i64 n, char* to, i64 plane) {
    const Problem& p = *problem_;
    if (levels_ == 0) {
      p.report(n * p.codec.width);
      char* const voxels = voxels_.data();
      const char* from = p.in;
      for (int axis = 0; axis < p.ndim; ++axis) from += at[axis] * p.stride[axis];
      p.rows().copy(voxels, p.codec.width, from, p.stride[along], n);
      p.rows().encode(voxels, voxels, n, p.codec);
      reduction_.first(voxels, to, plane, {1, n, 1, 1, 0, 0}, false, rule_.ignore);
      return true;
    }
    Problem& part = *part_;
    part = p;
    part.levels = levels_;
    for (int axis = 0; axis < p.ndim; ++axis) part.restrict_to(axis, at[axis], axis == along ? n : 1);
    ask_for_sums(part, to, plane);
    bool fits = true;
    return parts_.run(part, &fits) == Status::ok && fits;
  }

 private:
  // Append a level for the accumulators of the last one.
  void ask_for_sums(Problem& part, char* to, i64 plane) const {
    Level& sums = part.level[part.levels++];
    sums = part.level[levels_ - 1];
    sums.out = to;
    for (int axis = 0; axis < part.ndim; ++axis) {
      sums.factor[axis] = 1;
      sums.stride[axis] = reduction_.lane_bytes;
    }
    part.lane_stride = plane * reduction_.lane_bytes;
  }

  ReductionDriver& parts_;
  const ReductionRule& rule_;
  const Reduction& reduction_;
  const Problem* problem_ = nullptr;
  std::unique_ptr<Problem> part_;
  int levels_ = 0;
  Arena voxels_;
};

}  // namespace tinypyr
