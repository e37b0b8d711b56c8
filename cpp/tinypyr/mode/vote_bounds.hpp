// Modes of the levels above the first, proven from bounds of the votes on the level below.
//
// For each voxel of a level, the label is known, and so are a lower and an upper bound of its votes: the number of base
// voxels in the footprint that have this label. Any other label has no more votes than this label has, and no more than
// it leaves. The bounds are summed over the children of a voxel, the voxels of the level below that it covers. In
// nearly all cases the lower bound of one label then exceeds the upper bound of every other label, so this label is the
// mode. Otherwise the candidates, two labels or all of them, are counted in the base.
//
// Assumes: the first level and its ModeVotes are written; VoteBounds::fits (factors of 1 and 2, footprints of at most
// FootprintCounter::max_voxels voxels, integers, no ignored value, contiguous rows of output).
// Guarantees: exact modes of all levels of a tile, including ties. Noise, and footprints that must be counted but have
// more than max_ranks labels, end a tile early (Outcome). Levels above the first are then only partly written, and
// another strategy computes the tile.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/arena.hpp"
#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "../tinypyr.hpp"
#include "footprint_counter.hpp"
#include "mode_tile.hpp"
#include "outcome.hpp"

namespace tinypyr {

class VoteBounds {
 public:
  explicit VoteBounds(const Options& options) : counter_(options) {}

  // Return true if this strategy can compute the levels above the first, and is likely to be the fastest.
  static bool fits(const Problem& p, const Options& options) {
    return p.levels > 1 && !options.has_ignore && p.codec.kind != Kind::floating && p.codec.kind != Kind::boolean &&
           has_small_whole_footprints(p) && has_levels_of_halves(p);
  }

  // Compute all levels above the first of a tile.
  Outcome make(const Problem& tile, const ModeVotes& votes) {
    tile_ = &tile;
    width_ = tile.codec.width;
    votes_width_ = votes_width(width_);
    has_columns_ = is_cut_into_columns();
    if (!lay_out(votes)) return Outcome::out_of_memory;
    for (int k = 1; k < tile.levels; ++k) {
      const IndexRange rows{AxisRange{1, tile.ndim}, tile.level[k].extent};
      i64 at[max_ndim] = {};
      do {
        const Outcome outcome = with_unsigned(width_, [&](auto u) { return make_row<decltype(u)>(k, at); });
        if (outcome != Outcome::done) return outcome;
      } while (rows.next(at));
    }
    return Outcome::done;
  }

 private:
  // Bounds for each voxel of a level, as Votes: the fewest and the most votes of its label, and the most of any other
  // label.
  struct LevelBounds {
    char *least, *most, *others;
    i64 stride[max_ndim];  // in votes
  };

  // In footprints of up to this many voxels all labels are counted, without a selection of candidates.
  static constexpr i64 few_voxels = 256;

  // Return true if footprints fit the counter, and most of them are whole (partial footprints are always counted).
  static bool has_small_whole_footprints(const Problem& p) {
    i64 voxels = 1;
    double whole = 1;  // share of the last level's voxels
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 total = p.top().total[axis];
      if (total > FootprintCounter::max_voxels) return false;
      voxels *= total;
      if (voxels > FootprintCounter::max_voxels) return false;
      const i64 blocks = p.top().extent[axis], first = p.present(p.top(), axis, 0) < total;
      const i64 last = blocks > 1 && p.present(p.top(), axis, blocks - 1) < total;
      whole *= static_cast<double>(blocks - first - last) / static_cast<double>(blocks);
    }
    return whole >= 0.5;
  }

  // Return true if each level halves one to three axes of the one below, and its rows are contiguous.
  static bool has_levels_of_halves(const Problem& p) {
    const i64 width = p.codec.width;
    for (int k = 0; k < p.levels; ++k) {
      const Level& level = p.level[k];
      bool contiguous = (level.extent[0] == 1 || level.stride[0] == width) && is_aligned(level.out, p.codec.width);
      int pooled = 0;
      for (int axis = 0; axis < p.ndim; ++axis) {
        if (axis > 0) contiguous = contiguous && level.stride[axis] % width == 0;
        if (level.factor[axis] > 2) return false;
        pooled += level.factor[axis] == 2;
      }
      if (!contiguous || pooled < 1 || pooled > 3) return false;
    }
    return true;
  }

  // Return true if rows are not pooled along themselves, so that the footprints of neighbours are adjacent in memory.
  bool is_cut_into_columns() const {
    const Problem& p = *tile_;
    bool columns = p.top().total[0] == 1 && p.stride[0] == width_ && is_aligned(p.in, p.codec.width);
    for (int axis = 1; axis < p.ndim; ++axis) columns = columns && p.stride[axis] != width_;  // overlapping views
    return columns;
  }

  bool lay_out(const ModeVotes& votes) {
    const Problem& p = *tile_;
    bounds_[0].least = bounds_[0].most = bounds_[0].others = votes.data;
    std::copy(votes.stride, votes.stride + p.ndim, bounds_[0].stride);
    const i64 row = p.level[1].extent[0] * votes_width_, room = FootprintCounter::room;
    char* voxels = nullptr;
    u8* codes = nullptr;
    const bool has_room = memory_.allocate([&](auto& take) {
      for (int k = 1; k < p.levels; ++k) {
        i64 count = 1;
        for (int axis = 0; axis < p.ndim; ++axis) {
          bounds_[k].stride[axis] = count;
          count *= p.level[k].extent[axis];
        }
        bounds_[k].least = take.template array<char>(count * votes_width_);
        bounds_[k].most = take.template array<char>(count * votes_width_);
        bounds_[k].others = take.template array<char>(count * votes_width_);
      }
      undecided_ = take.template array<char>(row);
      runner_ups_ = take.template array<char>(row);
      voxels = take.template array<char>(room * votes_width_);
      cell_votes_ = take.template array<char>(room * votes_width_);
      codes = take.template array<u8>(room);
      columns_ = take.template array<char>(has_columns_ ? 64 * room : 0);
    });
    counter_.start(p, voxels, codes);
    return has_room;
  }

  // --- rows ---------------------------------------------------------------------------------------------------------

  // Compute the row of level k at these coordinates (at[0] is 0). Voxels with partial footprints, at the edges, are
  // counted.
  template <class U>
  Outcome make_row(int k, i64* at) {
    const Problem& p = *tile_;
    const Level& level = p.level[k];
    const auto is_whole = [&](int axis, i64 j) { return p.present(level, axis, j) == level.total[axis]; };
    bool whole = true;
    for (int axis = 1; axis < p.ndim; ++axis) whole = whole && is_whole(axis, at[axis]);
    const i64 n = level.extent[0];
    const i64 begin = !whole || !is_whole(0, 0), end = !whole || n == begin ? begin : n - !is_whole(0, n - 1);
    Outcome outcome = Outcome::done;
    for (at[0] = 0; at[0] < n && outcome == Outcome::done; ++at[0]) {
      if (at[0] == begin && begin < end) {
        outcome = prove_row<U>(k, at, end - begin);
        at[0] = end - 1;
      } else {
        outcome = count_voxel<U>(k, at);
      }
    }
    at[0] = 0;
    return outcome;
  }

  // Compute n voxels with whole footprints.
  template <class U>
  Outcome prove_row(int k, const i64* at, i64 n) {
    BoundsRow row = {};
    start_row(k, at, row);
    const int log2_rows = start_row_below(k, at, row);
    row.n = n;
    tile_->rows().prove_modes[tile_->level[k].factor[0] == 2][log2_rows](row);
    if (k == 1 && is_noise<U>(row)) return Outcome::noise;
    return settle_row<U>(k, at, row);
  }

  template <class U>
  Outcome count_voxel(int k, const i64* at) {
    BoundsRow row = {};
    start_row(k, at, row);
    counter_.gather(footprint_.from, footprint_.runs);
    return count_all<U>(row, 0);
  }

  // Set the addresses of the row's outputs, and set footprint_ to the footprint of its first voxel.
  void start_row(int k, const i64* at, BoundsRow& row) {
    const Problem& p = *tile_;
    const Level& level = p.level[k];
    i64 out = 0, bounds = 0;
    footprint_.from = p.in;
    footprint_.voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      out += at[axis] * level.stride[axis];
      bounds += at[axis] * bounds_[k].stride[axis];
      footprint_.from += p.base_index(axis, (level.voxel_offset[axis] + at[axis]) * level.total[axis]) * p.stride[axis];
      footprint_.size[axis] = p.present(level, axis, at[axis]);
      footprint_.voxels *= footprint_.size[axis];
    }
    footprint_.runs = BoxRuns(p.ndim, width_, footprint_.size, p.stride);
    row.label = level.out + out;
    row.label_least = bounds_[k].least + bounds * votes_width_;
    row.label_most = bounds_[k].most + bounds * votes_width_;
    row.others_most = bounds_[k].others + bounds * votes_width_;
    row.runner_up = runner_ups_;
    row.undecided = undecided_;
  }

  // Set the rows of the level below, for a row whose first voxel is whole. Return log2 of their number.
  int start_row_below(int k, const i64* at, BoundsRow& row) {
    const Problem& p = *tile_;
    const Level &level = p.level[k], &below = p.level[k - 1];
    const LevelBounds& from = bounds_[k - 1];
    row.labels[0] = below.out;
    row.least[0] = from.least;
    row.most[0] = from.most;
    row.others[0] = from.others;
    const auto move = [&](int to, int source, int axis, i64 steps) {
      const i64 votes = steps * from.stride[axis] * votes_width_;
      row.labels[to] = static_cast<const char*>(row.labels[source]) + steps * below.stride[axis];
      row.least[to] = static_cast<const char*>(row.least[source]) + votes;
      row.most[to] = static_cast<const char*>(row.most[source]) + votes;
      row.others[to] = static_cast<const char*>(row.others[source]) + votes;
    };
    row.voxels = 1;
    int log2_rows = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      move(0, 0, axis, (level.voxel_offset[axis] + at[axis]) * level.factor[axis] - below.voxel_offset[axis]);
      row.voxels *= below.total[axis];
    }
    for (int axis = 1; axis < p.ndim; ++axis) {
      if (level.factor[axis] == 1) continue;
      const int rows = 1 << log2_rows++;
      for (int r = 0; r < rows; ++r) move(rows + r, r, axis, 1);
    }
    return log2_rows;
  }

  // Return true if bounds are of little use, because most voxels would have to be counted.
  template <class U>
  static bool is_noise(const BoundsRow& row) {
    i64 proven = 0;
    for (i64 i = 0; i < row.n; ++i) proven += static_cast<const Votes<U>*>(row.undecided)[i] == mode_proven;
    return row.n >= 8 && 2 * proven < row.n;
  }

  // --- undecided voxels ---------------------------------------------------------------------------------------------

  template <class U>
  Outcome settle_row(int k, const i64* at, const BoundsRow& row) {
    if (has_columns_ && row.n >= voxels_per_line(sizeof(U))) return settle_columns<U>(k, at, row);
    const Votes<U>* undecided = static_cast<const Votes<U>*>(row.undecided);
    const i64 step = tile_->level[k].total[0] * tile_->stride[0];
    for (i64 i = 0; i < row.n; ++i) {
      if (undecided[i] == mode_proven) continue;
      const Outcome outcome = settle<U>(k, at, row, i, footprint_.from + i * step, footprint_.runs);
      if (outcome != Outcome::done) return outcome;
    }
    return Outcome::done;
  }

  // Count undecided voxels whose footprints are columns. Each voxel of such a footprint shares a cache line with its
  // neighbours, so counting for all of them takes no longer than for one.
  template <class U>
  Outcome settle_columns(int k, const i64* at, const BoundsRow& row) {
    constexpr i64 n = voxels_per_line(sizeof(U)), line = n * sizeof(U);
    U* label = static_cast<U*>(row.label);
    const U* runner_up = static_cast<const U*>(row.runner_up);
    const Votes<U>* undecided = static_cast<const Votes<U>*>(row.undecided);
    BoxRuns lines = footprint_.runs, column;
    lines.bytes = line;
    column.bytes = width_;
    column.add(footprint_.voxels, line);
    for (i64 first = 0; first < row.n; first += n) {
      const i64 begin = std::min(first, row.n - n);
      i64 unsettled = 0;
      for (i64 i = begin; i < begin + n; ++i) unsettled += undecided[i];
      if (unsettled == 0) continue;
      gather_box(columns_, footprint_.from + begin * width_, lines);
      Votes<U> votes[2 * n];
      tile_->rows().count_two_labels(columns_, footprint_.voxels, label + begin, runner_up + begin, votes);
      for (i64 j = 0; j < n; ++j) {
        const i64 i = begin + j;
        if (i < first || undecided[i] == mode_proven) continue;
        if (undecided[i] == runner_up_left && votes[j] != votes[n + j]) {
          settle_two<U>(row, i, votes[j], votes[n + j]);
        } else {
          const Outcome outcome = settle<U>(k, at, row, i, columns_ + j * width_, column);
          if (outcome != Outcome::done) return outcome;
        }
      }
    }
    return Outcome::done;
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
  Outcome settle(int k, const i64* at, const BoundsRow& row, i64 i, const char* from, const BoxRuns& runs) {
    u64 keys[max_ranks];
    keys[0] = static_cast<const U*>(row.label)[i];
    keys[1] = static_cast<const U*>(row.runner_up)[i];
    int candidates = 2;
    i64 others = static_cast<const Votes<U>*>(row.others_most)[i];
    if (static_cast<const Votes<U>*>(row.undecided)[i] == any_label) {
      candidates = footprint_.voxels <= few_voxels ? 0 : find_candidates<U>(k, at, i, keys);
      others = footprint_.voxels;  // unknown
    }
    if (candidates > max_ranks) return Outcome::too_many_labels;
    counter_.gather(from, runs);
    if (candidates == 0) return count_all<U>(row, i);
    store<U>(row, i, counter_.count(footprint_, keys, candidates, others));
    return Outcome::done;
  }

  // Find the labels that may be the mode by the bounds of the first level. Return their number, 0 if any label may be
  // the mode, or a number above max_ranks.
  template <class U>
  int find_candidates(int k, const i64* at, i64 i, u64* keys) {
    const Problem& p = *tile_;
    const Level &level = p.level[k], &first = p.level[0];
    const char *labels = first.out, *votes = bounds_[0].least;
    i64 size[max_ndim], stride[max_ndim], cells = 1, cell_voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      size[axis] = level.total[axis] / first.total[axis];
      const i64 start =
          (level.voxel_offset[axis] + at[axis] + (axis == 0 ? i : 0)) * size[axis] - first.voxel_offset[axis];
      labels += start * first.stride[axis];
      votes += start * bounds_[0].stride[axis] * votes_width_;
      stride[axis] = bounds_[0].stride[axis] * votes_width_;
      cells *= size[axis];
      cell_voxels *= first.total[axis];
    }
    counter_.gather(labels, BoxRuns(p.ndim, width_, size, first.stride));
    gather_box(cell_votes_, votes, BoxRuns(p.ndim, votes_width_, size, stride));
    const int ranks = counter_.rank(cells, keys);
    if (ranks > max_ranks) return ranks;
    i64 least[max_ranks] = {}, more[max_ranks] = {}, others = 0;
    for (i64 cell = 0; cell < cells; ++cell) {
      const i64 own = reinterpret_cast<const Votes<U>*>(cell_votes_)[cell], other = std::min(own, cell_voxels - own);
      least[counter_.rank_of(cell)] += own;
      more[counter_.rank_of(cell)] += own - other;
      others += other;
    }
    const i64 best = *std::max_element(least, least + ranks);
    if (others >= best) return 0;
    int candidates = 0;
    for (int r = 0; r < ranks; ++r)
      if (more[r] + others >= best) keys[candidates++] = keys[r];
    return candidates;
  }

  // Count every label of the gathered footprint.
  template <class U>
  Outcome count_all(const BoundsRow& row, i64 i) {
    FootprintCounter::Counts counts;
    if (!counter_.count_all(footprint_, counts)) return Outcome::too_many_labels;
    store<U>(row, i, counts);
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
  int width_ = 0, votes_width_ = 0;
  bool has_columns_ = false;
  LevelBounds bounds_[max_levels];
  Arena memory_;
  // Data of the current row: by voxel, Undecided (as Votes) and runner-ups; and the footprint of its first voxel.
  char *undecided_ = nullptr, *runner_ups_ = nullptr;
  BaseFootprint footprint_;
  // Gathered data: votes of the first level; cache lines of columns.
  char *cell_votes_ = nullptr, *columns_ = nullptr;
  FootprintCounter counter_;
};

}  // namespace tinypyr
