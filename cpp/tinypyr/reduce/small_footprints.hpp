// Rows of small footprints. A first level with factors of at most two along every axis is computed from the input in
// one step, each footprint in registers, as a row of voxels or accumulators (kernels/footprints.inl).
//
// The input rows that a row of the output needs are read side by side, a pattern that hardware prefetchers follow
// badly. Therefore memory is prefetched explicitly, a little at a time and in order of addresses, whatever the order of
// reading. It then arrives twice as fast as side by side or one whole row at a time. Arrays that may be in a cache
// (Problem::is_cached) and rows of more than longest_fetched_row are not prefetched.
#pragma once

#include <cstdlib>
#include <utility>

#include "../core/fetcher.hpp"
#include "../core/problem.hpp"
#include "../core/segments.hpp"

namespace tinypyr {

// The loops of a method for small footprints, and their parameters. (selection_kernels: for methods without
// accumulators.)
struct SmallKernels {
  const Shapes& shapes;
  bool ordered;  // the order of voxels in a footprint matters
  u64 ignore;
  bool half_even;        // rounding of integer means
  i64 lane_bytes;        // of accumulators; 0 if the method has none
  bool may_repeat;       // the result does not change if every voxel of a footprint counts twice
  bool selects_first;    // the result is the first voxel, for which no loops are needed
  bool compares_voxels;  // mode, median: with each other
  bool averages;         // the result is the mean of all voxels, rounded half to even
  // modes: loops that count votes as well; null if there are none
  const Shapes* with_votes = nullptr;
};

inline SmallKernels selection_kernels(const SelectKernels& kernels, u64 ignore, bool selects_first) {
  return {kernels.small, true, ignore, false, 0, true, selects_first, !selects_first, false, &kernels.small_with_votes};
}

// The destination of rows. Null pointers: not requested.
struct RowTarget {
  char* voxels;
  i64 voxel_step;  // from row to row, in voxels
  // Lanes of accumulators. The lanes of one accumulator are `plane` elements apart, and the rows are as far apart as
  // those of voxels. If accumulators are requested, the voxels are keys, because lanes are computed from keys
  // (core/codec.hpp).
  char* accumulators;
  i64 plane;
  // Mode votes: the number of voxels of each footprint that have the resulting label.
  char* votes;
  i64 vote_step;
};

// The plan for the rows along axis 0 of a problem's first level. Order of calls: prepare, once for every problem, which
// must outlive the plan; then everything else.
struct FootprintPlan {
  // Rows longer than this (in bytes) are left to the hardware's prefetcher; others are prefetched at this distance.
  static constexpr i64 longest_fetched_row = 16384, fetch_distance = 2048;

  // ordered: the order of voxels in a footprint matters.
  void prepare(const Problem& p, bool ordered) {
    problem = &p;
    const i64 width = p.codec.width;
    reads_in_place = p.codec.is_identity_or_flip() && p.stride[0] == width && is_aligned(p.in, p.codec.width);
    for (int axis = 1; axis < p.ndim; ++axis) reads_in_place = reads_in_place && p.stride[axis] % width == 0;
    flip = reads_in_place ? p.codec.flipped_bit() : 0;
    segment_count = segments_of(p, p.level[0], 0, segments);

    pooled_count = 0;
    for (int axis = 1; axis < p.ndim; ++axis)
      if (p.level[0].total[axis] > 1) pooled[pooled_count++] = axis;
    std::sort(pooled, pooled + pooled_count, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    pair = 0;
    for (int i = 0; i < pooled_count; ++i) pair += ordered && p.logical[pooled[i]] < p.logical[0];
    row_bytes = reads_in_place ? 0 : round_up(p.extent[0] * width);
  }

  // The size of the copied input rows.
  i64 bytes() const { return row_bytes << pooled_count; }

  // True if kernels produce the voxels of the output (otherwise keys, which must be decoded).
  bool makes_voxels() const { return reads_in_place || problem->codec.is_identity(); }

  // True if kernels can write to the level's output directly.
  bool writes_in_place() const {
    const Level& level = problem->level[0];
    return makes_voxels() &&
           rows_are_direct(level.out, 1, problem->ndim, level.extent, level.stride, problem->codec.width);
  }
  bool reads_and_writes_in_place() const { return reads_in_place && writes_in_place(); }

  // Return the prefetch distance in bytes of input for consecutive rows along an axis.
  i64 ahead_along(int axis) const {
    const Problem& p = *problem;
    if (p.is_cached || axis >= p.ndim || p.extent[0] * p.codec.width > longest_fetched_row) return 0;
    const i64 step = p.level[0].total[axis] * p.stride[axis];
    return step * ceil_div(fetch_distance, std::max<i64>(1, std::abs(step)));
  }

  // Return the number of rows along axis 1, from these coordinates on, that have footprints of the same shape and are
  // best computed together: several if they are short.
  i64 alike(const i64* at) const {
    const Problem& p = *problem;
    if (p.ndim == 1 || !reads_in_place) return 1;
    const Level& level = p.level[0];
    i64 rows = level.extent[1] - at[1];
    if (rows > 1 && p.present(level, 1, level.extent[1] - 1) != level.total[1]) --rows;
    if (p.present(level, 1, at[1]) != level.total[1]) rows = 1;
    const i64 most = p.is_cached ? most_cached_at_once : most_at_once;
    return std::min(rows, std::max<i64>(1, most / (p.extent[0] * p.codec.width << pooled_count)));
  }

  const Problem* problem = nullptr;
  bool reads_in_place = false;
  u64 flip = 0;         // xored with voxels that are read in place
  Segment segments[3];  // of axis 0
  int segment_count = 0;
  int pooled[max_ndim];  // pooled axes other than axis 0, in raster order
  int pooled_count = 0;
  int pair = 0;       // number of these axes that precede axis 0 in raster order
  i64 row_bytes = 0;  // of a copied input row

 private:
  static constexpr i64 most_at_once = 8192, most_cached_at_once = 32768;  // bytes
};

// Computes the rows of a plan. Order of calls: plan, once for every problem; then make.
class FootprintRows {
 public:
  explicit FootprintRows(const SmallKernels& kernels) : kernels_(kernels) {}

  // Plan a problem. Return false if memory runs out.
  bool plan(const Problem& p) {
    plan_.prepare(p, kernels_.ordered);
    return plan_.row_bytes == 0 || rows_.reserve(plan_.bytes());
  }
  const FootprintPlan& current() const { return plan_; }

  // Compute `count` rows of equal shape from these coordinates of the first level on (axes 1, 2, ...). ahead: a
  // distance from ahead_along.
  void make(const i64* at, i64 count, i64 ahead, const RowTarget& target) {
    const Problem& p = *plan_.problem;
    Inputs inputs;
    locate(at, inputs);
    inputs.step = count > 1 ? p.level[0].total[1] * p.stride[1] / p.codec.width : 0;
    Fetcher fetcher;
    const bool fetches = plan_.reads_in_place && ahead != 0;
    if (fetches) start_fetching(fetcher, inputs.row[0] + ahead, at, count);
    i64 first = 0;
    for (int s = 0; s < plan_.segment_count; ++s) {
      make_segment(plan_.segments[s], first, count, inputs, fetches, fetcher, target);
      first += plan_.segments[s].count * plan_.segments[s].present;
    }
  }

 private:
  // The input rows that a row of the output is computed from.
  struct Inputs {
    const char* row[max_small_footprint];
    int rows, pair;  // pair: as in Shapes::of, for footprints with two voxels along axis 0
    i64 step;        // to the next row, in voxels
  };

  void locate(const i64* at, Inputs& inputs) {
    const Problem& p = *plan_.problem;
    const Level& level = p.level[0];
    inputs.row[0] = first_base_voxel(p, level, at, 1);
    inputs.rows = 1;
    inputs.pair = 0;
    for (int i = 0; i < plan_.pooled_count; ++i) {
      const int axis = plan_.pooled[i];
      if (p.present(level, axis, at[axis]) == 1) continue;
      for (int r = 0; r < inputs.rows; ++r) inputs.row[inputs.rows + r] = inputs.row[r] + p.stride[axis];
      inputs.rows *= 2;
      inputs.pair += i < plan_.pair;
    }
    if (plan_.reads_in_place) return;
    for (int r = 0; r < inputs.rows; ++r) inputs.row[r] = read(inputs.row[r], rows_.data() + r * plan_.row_bytes);
  }

  // Copy and encode a row of the input.
  const char* read(const char* from, char* to) const {
    const Problem& p = *plan_.problem;
    if (p.stride[0] != p.codec.width) {
      p.rows().copy(to, p.codec.width, from, p.stride[0], p.extent[0]);
      from = to;
    }
    p.rows().encode(from, to, p.extent[0], p.codec);
    return to;
  }

  void start_fetching(Fetcher& fetcher, const char* from, const i64* at, i64 count) const {
    const Problem& p = *plan_.problem;
    const Level& level = p.level[0];
    fetcher.start(from, p.extent[0] * p.codec.width);
    fetcher.repeat(count > 1 ? count * level.total[1] : p.present(level, 1, at[1]), p.stride[1]);
    for (int i = 0; i < plan_.pooled_count; ++i)
      if (plan_.pooled[i] > 1)
        fetcher.repeat(p.present(level, plan_.pooled[i], at[plan_.pooled[i]]), p.stride[plan_.pooled[i]]);
  }

  // Compute the footprints of a segment of axis 0, whose voxels begin at `first` in the rows. The work is divided into
  // pieces, a part of one row or several whole rows, with prefetches between them.
  void make_segment(const Segment& segment, i64 first, i64 count, const Inputs& inputs, bool fetches, Fetcher& fetcher,
                    const RowTarget& target) const {
    const i64 width = plan_.problem->codec.width, footprint = inputs.rows * segment.present * width;
    const int pair = segment.present == 2 ? inputs.pair : -1;
    PoolFootprints pool = kernels_.shapes.of(inputs.rows, pair), count_votes = nullptr;
    const bool wants_votes = target.votes != nullptr;
    const PoolFootprints pool_with_votes =
        wants_votes && kernels_.with_votes != nullptr ? kernels_.with_votes->of(inputs.rows, pair) : nullptr;
    if (pool_with_votes != nullptr)
      pool = pool_with_votes;
    else if (wants_votes)
      count_votes = plan_.problem->rows().mode_votes.of(inputs.rows, pair);
    const i64 most = std::max<i64>(64, (fetches ? piece : longest_piece) / footprint);
    const i64 length = std::min(segment.count, most), turns = std::max<i64>(1, most / segment.count);
    i64 unreported = 0;  // bytes; a counter in a register, because pieces are short
    for (i64 turn = 0; turn < count; turn += turns) {
      const i64 repeat = std::min(turns, count - turn);
      for (i64 begin = 0; begin < segment.count; begin += length) {
        const i64 n = std::min(length, segment.count - begin);
        const i64 to = segment.first + begin + turn * target.voxel_step;
        const void* from[max_small_footprint];
        for (int r = 0; r < inputs.rows; ++r)
          from[r] = inputs.row[r] + (first + begin * segment.present + turn * inputs.step) * width;
        unreported += n * repeat * footprint;
        if (unreported >= longest_piece) plan_.problem->report(std::exchange(unreported, 0));
        fetcher.some<1>(n * repeat * footprint);
        char* const votes = wants_votes ? target.votes + (segment.first + begin + turn * target.vote_step) *
                                                             votes_width(static_cast<int>(width))
                                        : nullptr;
        char* const accumulators =
            target.accumulators == nullptr ? nullptr : target.accumulators + to * kernels_.lane_bytes;
        pool({from, n, repeat, inputs.step, target.voxel_step, target.voxels + to * width,
              pool_with_votes != nullptr ? votes : accumulators,
              pool_with_votes != nullptr ? target.vote_step : target.plane, kernels_.ignore, plan_.flip,
              target.accumulators == nullptr ? plan_.flip : 0, kernels_.half_even,
              kernels_.half_even && plan_.problem->is_cached});
        if (count_votes == nullptr) continue;
        count_rows(count_votes, inputs, from, n, repeat, to, votes, target);
      }
    }
    plan_.problem->report(unreported);
  }

  void count_rows(PoolFootprints count_votes, const Inputs& inputs, const void** from, i64 n, i64 repeat, i64 to,
                  char* votes, const RowTarget& target) const {
    const i64 width = plan_.problem->codec.width, vote_bytes = votes_width(plan_.problem->codec.width);
    for (i64 i = 0; i < repeat; ++i) {
      count_votes({from, n, 1, 0, 0, votes + i * target.vote_step * vote_bytes,
                   target.voxels + (to + i * target.voxel_step) * width, 0, 0, 0, 0, false});
      for (int r = 0; r < inputs.rows; ++r) from[r] = static_cast<const char*>(from[r]) + inputs.step * width;
    }
  }

  static constexpr i64 piece = 2048, longest_piece = i64{1} << 20;  // bytes

  const SmallKernels kernels_;
  FootprintPlan plan_;
  Arena rows_;  // copied input rows
};

// Computes the first level of a problem. Order of calls: fits, then run if the result is true.
class SmallFootprints {
 public:
  explicit SmallFootprints(const SmallKernels& kernels) : kernels_(kernels), rows_(kernels) {}

  // Return true if there are loops for the first level of this problem, and its rows are long enough for them.
  bool fits(const Problem& p) const {
    const Level& level = p.level[0];
    int pooled = 0,
        earlier = 0;  // axes pooled in addition to axis 0, and the number of them that precede axis 0 in raster order
    for (int axis = 0; axis < p.ndim; ++axis) {
      if (level.total[axis] > 2) return false;
      if (axis > 0 && level.total[axis] == 2) {
        ++pooled;
        earlier += p.logical[axis] < p.logical[0];
      }
    }
    if (p.extent[0] * p.codec.width < shortest_row || pooled > 3) return false;
    const int pair = level.total[0] == 1 ? -1 : kernels_.ordered ? earlier : 0;
    return kernels_.shapes.of(1 << pooled, pair) != nullptr;
  }

  // Compute the first level of `whole`. votes: null, or the array of Votes (the number of voxels of each footprint that
  // have the resulting label), whose axes have these strides, in Votes; the first stride is 1.
  Status run(const Problem& whole, char* votes = nullptr, const i64* vote_stride = nullptr) {
    const i64 blocks = whole.level[0].extent[0], chunk = longest_copied_row / whole.codec.width;
    if (!rows_.plan(whole)) return Status::out_of_memory;
    if (rows_.current().reads_and_writes_in_place() || blocks <= chunk)
      return make_rows(whole, votes, vote_stride) ? Status::ok : Status::out_of_memory;
    if (!Problem::reserve(part_, whole.levels)) return Status::out_of_memory;
    Problem& part = *part_;
    for (i64 first = 0; first < blocks; first += chunk) {
      part = whole;
      part.levels = 1;
      part.restrict_to(0, first, std::min(chunk, blocks - first));
      char* const part_votes = votes == nullptr ? nullptr : votes + first * votes_width(whole.codec.width);
      if (!rows_.plan(part) || !make_rows(part, part_votes, vote_stride)) return Status::out_of_memory;
    }
    return Status::ok;
  }

 private:
  // Compute all rows of the planned part.
  bool make_rows(const Problem& p, char* votes, const i64* vote_stride) {
    const Level& level = p.level[0];
    const i64 width = p.codec.width, length = level.extent[0], vote_bytes = votes_width(p.codec.width);
    const bool direct = rows_.current().writes_in_place();
    if (!direct && !voxel_row_.reserve(length * width)) return false;
    RowTarget target = {};
    target.voxel_step = p.ndim > 1 ? level.stride[1] / width : 0;
    target.vote_step = votes != nullptr && p.ndim > 1 ? vote_stride[1] : 0;
    target.votes = votes;
    char* out = level.out;
    const i64 ahead = rows_.current().ahead_along(1);
    const IndexRange all{AxisRange{1, p.ndim}, level.extent};
    i64 at[max_ndim] = {}, count;
    do {
      target.voxels = direct ? out : voxel_row_.data();
      count = direct ? rows_.current().alike(at) : 1;
      rows_.make(at, count, ahead, target);
      if (direct) continue;
      if (!rows_.current().makes_voxels()) p.rows().decode(target.voxels, length, p.codec);
      p.rows().copy(out, level.stride[0], target.voxels, width, length);
    } while (all.next(
        at,
        [&](int axis, i64 n) {
          out += n * level.stride[axis];
          if (votes != nullptr) target.votes += n * vote_stride[axis] * vote_bytes;
        },
        count));
    return true;
  }

  static constexpr i64 shortest_row = 32, longest_copied_row = 16384;  // bytes

  const SmallKernels kernels_;
  FootprintRows rows_;
  Arena voxel_row_;
  std::unique_ptr<Problem> part_;
};

}  // namespace tinypyr
