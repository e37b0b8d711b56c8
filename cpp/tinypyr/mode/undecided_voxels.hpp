// Voxels whose modes bounds do not prove: their labels are counted in the base. The results replace the row's labels
// and bounds.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/arena.hpp"
#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "candidate_labels.hpp"
#include "footprint_counter.hpp"
#include "level_bounds.hpp"
#include "outcome.hpp"

namespace tinypyr {

// A row of voxels of level k, from the coordinates `at` on, and the footprint of the first one.
struct ModeRow {
  int k;
  const i64* at;
  BoundsRow bounds;
  BaseFootprint footprint;
};

// Order of calls: start, once per tile; then count_voxel and settle.
class UndecidedVoxels {
 public:
  UndecidedVoxels(const Options& options, const LevelBounds& bounds)
      : counter_(options), candidates_(bounds, counter_) {}

  // Return false if memory runs out.
  bool start(const Problem& tile) {
    tile_ = &tile;
    has_columns_ = is_cut_into_columns();
    char* voxels = nullptr;
    u8* codes = nullptr;
    const i64 capacity = FootprintCounter::capacity;
    const bool has_memory = memory_.allocate([&](auto& take) {
      voxels = take.template array<char>(capacity * votes_width(tile.codec.width));
      codes = take.template array<u8>(capacity);
    });
    counter_.start(tile, voxels, codes);
    return has_memory && candidates_.start(tile);
  }

  // Count the labels of the row's first voxel, whose bounds have not been computed.
  template <class U>
  Outcome count_voxel(const ModeRow& row) {
    counter_.gather(row.footprint.from, row.footprint.runs);
    return count_all<U>(row, 0);
  }

  // Count the labels of all undecided voxels of a row.
  template <class U>
  Outcome settle(const ModeRow& row) {
    const i64 n = row.bounds.n;
    if (has_columns_ && n >= voxels_per_line(sizeof(U))) return settle_columns<U>(row);
    const Votes<U>* undecided = static_cast<const Votes<U>*>(row.bounds.undecided);
    const i64 step = tile_->level[row.k].total[0] * tile_->stride[0];
    for (i64 i = next_undecided(undecided, 0, n); i < n; i = next_undecided(undecided, i + 1, n)) {
      const char* const from = row.footprint.from + i * step;
      if constexpr (sizeof(U) == 4)
        if (undecided[i] == runner_up_left && count_two<U>(row, i, from)) continue;
      const Outcome outcome = settle_one<U>(row, i, from, row.footprint.runs);
      if (outcome != Outcome::done) return outcome;
    }
    return Outcome::done;
  }

 private:
  // In footprints of up to this many voxels all labels are counted, without a selection of candidates.
  static constexpr i64 few_voxels = 256;

  // Return true if rows are not pooled along themselves, so that the footprints of neighbours are adjacent in memory.
  bool is_cut_into_columns() const {
    const Problem& p = *tile_;
    const int width = p.codec.width;
    bool columns = p.top().total[0] == 1 && p.stride[0] == width && is_aligned(p.in, width);
    for (int axis = 1; axis < p.ndim; ++axis) columns = columns && p.stride[axis] != width;  // overlapping views
    return columns;
  }

  // Return the index of the first voxel from i on that is not proven, or n.
  template <class V>
  static i64 next_undecided(const V* undecided, i64 i, i64 n) {
    static_assert(mode_proven == 0);
    constexpr i64 words = 4, step = words * sizeof(u64) / sizeof(V);
    for (u64 word[words]; i + step <= n; i += step) {
      std::memcpy(word, undecided + i, sizeof(word));
      if ((word[0] | word[1] | word[2] | word[3]) != 0) break;
    }
    while (i < n && undecided[i] == mode_proven) ++i;
    return i;
  }

  // Count undecided voxels whose footprints are columns. Each voxel of such a footprint shares a cache line with its
  // neighbours, so counting for all of them takes no longer than for one.
  template <class U>
  Outcome settle_columns(const ModeRow& row) {
    constexpr i64 n = voxels_per_line(sizeof(U)), width = sizeof(U);
    const BaseFootprint& footprint = row.footprint;
    const U* label = static_cast<const U*>(row.bounds.label);
    const U* runner_up = static_cast<const U*>(row.bounds.runner_up);
    const Votes<U>* undecided = static_cast<const Votes<U>*>(row.bounds.undecided);
    for (i64 first = 0; first < row.bounds.n; first += n) {
      const i64 begin = std::min(first, row.bounds.n - n);
      bool has_two = false;
      i64 i = next_undecided(undecided, first, begin + n);
      if (i == begin + n) continue;
      for (i64 j = i; j < begin + n; ++j) has_two = has_two || undecided[j] == runner_up_left;
      Votes<U> votes[2 * n] = {};
      if (has_two) {
        each_plane(footprint.runs, footprint.from + begin * width, [&](const char* from, i64 rows, i64 stride) {
          tile_->rows().count_two_columns(from, rows, stride, label + begin, runner_up + begin, votes);
        });
      }
      for (; i < begin + n; i = next_undecided(undecided, i + 1, begin + n)) {
        const i64 j = i - begin;
        if (undecided[i] == runner_up_left && votes[j] != votes[n + j]) {
          settle_two<U>(row.bounds, i, votes[j], votes[n + j]);
        } else {
          const Outcome outcome = settle_one<U>(row, i, footprint.from + i * width, footprint.runs);
          if (outcome != Outcome::done) return outcome;
        }
      }
    }
    return Outcome::done;
  }

  // Call visit(from, runs, stride) for the runs along the first axis of a box, from each position along the others.
  template <class Visit>
  static void each_plane(const BoxRuns& box, const char* from, Visit visit) {
    const IndexRange planes{AxisRange{1, box.axes}, box.size};
    i64 index[max_ndim];
    planes.start(index);
    do visit(from, box.size[0], box.stride[0]);
    while (planes.next(index, [&](int axis, i64 n) { from += n * box.stride[axis]; }));
  }

  // Count the label and the runner-up of a voxel, if there is a loop for rows of its length. Return true if their votes
  // differ, so that the voxel is decided.
  template <class U>
  bool count_two(const ModeRow& row, i64 i, const char* from) const {
    const BoxRuns& runs = row.footprint.runs;
    const i64 n = runs.bytes / static_cast<i64>(sizeof(U));
    if (n != 4 && n != 8 && n != 16) return false;
    const u64 one = static_cast<const U*>(row.bounds.label)[i], other = static_cast<const U*>(row.bounds.runner_up)[i];
    i64 votes[2] = {0, 0};
    each_plane(runs, from, [&](const char* at, i64 rows, i64 stride) {
      tile_->rows().count_two_in_rows(at, rows, stride, n, one, other, votes);
    });
    if (votes[0] == votes[1]) return false;
    settle_two<U>(row.bounds, i, static_cast<Votes<U>>(votes[0]), static_cast<Votes<U>>(votes[1]));
    return true;
  }

  // Decide a voxel whose label and runner-up have these different votes.
  template <class U>
  static void settle_two(const BoundsRow& row, i64 i, Votes<U> votes, Votes<U> runner_up_votes) {
    Votes<U>* least = static_cast<Votes<U>*>(row.label_least);
    Votes<U>* most = static_cast<Votes<U>*>(row.label_most);
    Votes<U>* others = static_cast<Votes<U>*>(row.others_most);
    if (votes < runner_up_votes) static_cast<U*>(row.label)[i] = static_cast<const U*>(row.runner_up)[i];
    least[i] = most[i] = std::max(votes, runner_up_votes);
    others[i] = std::max(others[i], std::min(votes, runner_up_votes));
  }

  // from, runs: the voxels of the footprint.
  template <class U>
  Outcome settle_one(const ModeRow& row, i64 i, const char* from, const BoxRuns& runs) {
    const i64 voxels = row.footprint.voxels;
    u64 keys[max_ranks];
    keys[0] = static_cast<const U*>(row.bounds.label)[i];
    keys[1] = static_cast<const U*>(row.bounds.runner_up)[i];
    int candidates = 2;
    i64 others = static_cast<const Votes<U>*>(row.bounds.others_most)[i];
    if (static_cast<const Votes<U>*>(row.bounds.undecided)[i] == any_label) {
      candidates = voxels <= few_voxels ? 0 : candidates_.find<U>(row.k, row.at, i, keys);
      others = voxels;  // unknown
    }
    if (candidates > max_ranks) return Outcome::too_many_labels;
    counter_.gather(from, runs);
    if (candidates == 0) return count_all<U>(row, i);
    store<U>(row.bounds, i, counter_.count(row.footprint, keys, candidates, others));
    return Outcome::done;
  }

  // Count every label of the gathered footprint.
  template <class U>
  Outcome count_all(const ModeRow& row, i64 i) {
    FootprintCounter::Counts counts;
    if (!counter_.count_all(row.footprint, counts)) return Outcome::too_many_labels;
    store<U>(row.bounds, i, counts);
    return Outcome::done;
  }

  template <class U>
  static void store(const BoundsRow& row, i64 i, const FootprintCounter::Counts& counts) {
    static_cast<U*>(row.label)[i] = static_cast<U>(counts.label);
    static_cast<Votes<U>*>(row.label_least)[i] = static_cast<Votes<U>>(counts.votes);
    static_cast<Votes<U>*>(row.label_most)[i] = static_cast<Votes<U>>(counts.votes);
    static_cast<Votes<U>*>(row.others_most)[i] = static_cast<Votes<U>>(counts.others);
  }

  const Problem* tile_ = nullptr;
  FootprintCounter counter_;
  CandidateLabels candidates_;
  bool has_columns_ = false;
  Arena memory_;
};

}  // namespace tinypyr
