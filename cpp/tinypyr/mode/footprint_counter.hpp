// Counts of the labels in one footprint, whose voxels are gathered from the base.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/index.hpp"
#include "../core/problem.hpp"

namespace tinypyr {

// A box in memory as runs of contiguous bytes, along the axes that remain after merging.
struct BoxRuns {
  i64 bytes = 0;
  int axes = 0;
  i64 size[max_ndim], stride[max_ndim];

  BoxRuns() = default;
  BoxRuns(int ndim, i64 width, const i64* extent, const i64* byte_stride) : bytes(width) {
    for (int axis = 0; axis < ndim; ++axis) {
      if (extent[axis] == 1) continue;
      if (axes == 0 && byte_stride[axis] == bytes) {
        bytes *= extent[axis];
        continue;
      }
      add(extent[axis], byte_stride[axis]);
    }
    if (axes == 0) add(1, 0);
  }
  void add(i64 n, i64 byte_stride) {
    size[axes] = n;
    stride[axes++] = byte_stride;
  }
};

// Copy a box to contiguous memory.
inline void gather_box(char* to, const char* from, const BoxRuns& runs) {
  with_known_size(runs.bytes, [to, from, &runs](auto bytes) mutable {
    const IndexRange range{AxisRange{1, runs.axes}, runs.size};
    const i64 size = runs.size[0], stride = runs.stride[0];  // local copies, because `to` might alias runs
    i64 index[max_ndim];
    range.start(index);
    do
      for (i64 i = 0; i < size; ++i, to += bytes) std::memcpy(to, from + i * stride, static_cast<std::size_t>(bytes));
    while (range.next(index, [&](int axis, i64 n) { from += n * runs.stride[axis]; }));
  });
}

// The position of a footprint in the base, and its layout in memory.
struct BaseFootprint {
  const char* from = nullptr;
  i64 voxels = 0, size[max_ndim];  // in total, and along each axis
  BoxRuns runs;
};

// Counts labels. Call start once per problem; then gather a footprint, and count its labels.
class FootprintCounter {
 public:
  static constexpr i64 max_voxels = 4096;
  static constexpr i64 capacity = max_voxels + code_step;  // required size of the arrays passed to start

  struct Counts {
    u64 label;  // the mode, as bits
    i64 votes;
    i64 others;  // votes that any other label may have
  };

  explicit FootprintCounter(const Options& options) : options_(options) {}

  void start(const Problem& problem, char* voxels, u8* codes) {
    problem_ = &problem;
    voxels_ = voxels;
    codes_ = codes;
  }

  void gather(const char* from, const BoxRuns& runs) { gather_box(voxels_, from, runs); }

  // Rank the labels of the first n gathered voxels. Return the number of ranks, or a number above max_ranks.
  int rank_labels(i64 n, u64* keys) {
    const i64 entries = ceil_div(n, code_step) * code_step;
    std::memset(codes_, 0, static_cast<std::size_t>(n));
    std::memset(codes_ + n, code_none, static_cast<std::size_t>(entries - n));
    return rows().rank_labels(voxels_, entries, codes_, nullptr, max_ranks, keys);
  }
  int rank_of(i64 i) const { return codes_[i] - 1; }

  // Count every label of the gathered footprint. Return false if there are more than max_ranks.
  bool count_all(const BaseFootprint& footprint, Counts& counts) {
    u64 keys[max_ranks];
    const int ranks = rank_labels(footprint.voxels, keys);
    if (ranks <= max_ranks) counts = count(footprint, keys, ranks, 0);
    return ranks <= max_ranks;
  }

  // Count these labels of the gathered footprint, one of which is the mode. others: votes that any other label may
  // have.
  Counts count(const BaseFootprint& footprint, const u64* keys, int labels, i64 others) const {
    i64 votes[max_ranks], most = 0, second = 0;
    u64 tied[max_ranks];
    rows().count_labels(voxels_, footprint.voxels, keys, labels, votes);
    tied[0] = keys[0];
    int ties = 0;
    for (int label = 0; label < labels; ++label) {
      if (votes[label] > most) ties = 0;
      if (votes[label] >= most) tied[ties++] = keys[label];
      second = std::max(second, std::min(most, votes[label]));
      most = std::max(most, votes[label]);
    }
    u64 best = tied[0];
    if (ties > 1) best = options_.ties == Ties::lowest ? lowest(tied, ties) : first(footprint.size, tied, ties);
    return {best, most, std::min(std::max(others, second), most)};
  }

 private:
  const RowKernels& rows() const { return problem_->rows(); }

  u64 lowest(const u64* tied, int count) const {
    u64 best = 0, least = 0;
    for (int i = 0; i < count; ++i) {
      u64 key = tied[i];
      if (!problem_->codec.is_identity()) rows().encode(&key, &key, 1, problem_->codec);
      if (i > 0 && key >= least) continue;
      best = tied[i];
      least = key;
    }
    return best;
  }

  // Return the label whose first voxel comes first in raster order.
  u64 first(const i64* size, const u64* tied, int count) const {
    const Problem& p = *problem_;
    const i64 width = p.codec.width;
    int order[max_ndim];
    i64 step[max_ndim], voxels = 1, index[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) {
      order[axis] = axis;
      step[axis] = voxels * width;
      voxels *= size[axis];
    }
    std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    const IndexRange raster{AxisList{order, p.ndim}, size};
    const char* voxel = voxels_;
    u64 key = 0;
    raster.start(index);
    do {
      std::memcpy(&key, voxel, static_cast<std::size_t>(width));
      if (std::find(tied, tied + count, key) != tied + count) break;
    } while (raster.next(index, [&](int axis, i64 n) { voxel += n * step[axis]; }));
    return key;
  }

  const Options& options_;
  const Problem* problem_ = nullptr;
  char* voxels_ = nullptr;
  u8* codes_ = nullptr;
};

}  // namespace tinypyr
