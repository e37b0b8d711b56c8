// Modes of several levels from bounds.
//
// Of each voxel of a level it is known which label it has, and how many votes that has at the least and at the most. So it
// is known of any other label how many votes it may have at the most: no more than that one has, and no more than it leaves.
// Summed over the voxels that a voxel of the next level is made of, this nearly always leaves one label that has, at the
// least, more votes than any other can have. It is the mode, whoever the others are. Where it leaves several, those are
// counted among the voxels of the base, and where it may be any label, all are.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/problem.hpp"
#include "../tinypyr.hpp"

namespace tinypyr {

class BoundsDriver {
 public:
  enum class Outcome { made, too_many_labels, out_of_memory };

  explicit BoundsDriver(const Options& options) : options_(options) {}

  // Whether the levels above the first of this problem can be made so.
  static bool fits(const Problem& p, const Options& options) {
    const i64 width = p.codec.width;
    if (p.levels < 2 || options.has_ignore || p.codec.kind == Kind::floating || p.codec.kind == Kind::boolean)
      return false;
    i64 voxels = 1;
    double whole = 1;  // of the last level's voxels, how many are: the others are counted
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 total = p.top().total[axis];
      if (total > most_voxels) return false;
      voxels *= total;
      if (voxels > most_voxels) return false;
      const i64 blocks = p.top().extent[axis], first = p.present(p.top(), axis, 0) < total;
      const i64 last = blocks > 1 && p.present(p.top(), axis, blocks - 1) < total;
      whole *= static_cast<double>(blocks - first - last) / static_cast<double>(blocks);
    }
    if (whole < 0.5) return false;
    for (int k = 0; k < p.levels; ++k) {
      const Level& level = p.level[k];
      bool direct = (level.extent[0] == 1 || level.stride[0] == width) && is_aligned(level.out, p.codec.width);
      int pooled = 0;
      for (int axis = 0; axis < p.ndim; ++axis) {
        if (axis > 0) direct = direct && level.stride[axis] % width == 0;
        if (level.factor[axis] > 2) return false;
        pooled += level.factor[axis] == 2;
      }
      if (!direct || pooled < 1 || pooled > 3) return false;
    }
    return true;
  }

  // All levels above the first of a tile; votes: of the first level's labels, and how its axes lie there.
  Outcome run(const Problem& tile, char* votes, const i64* stride) {
    tile_ = &tile;
    width_ = tile.codec.width;
    votes_width_ = votes_width(width_);
    beside_ = tile.top().total[0] == 1 && tile.stride[0] == width_ && is_aligned(tile.in, tile.codec.width);
    if (!lay_out(votes, stride)) return Outcome::out_of_memory;
    for (int k = 1; k < tile.levels; ++k) {
      i64 at[max_ndim] = {};
      for (;;) {
        if (!with_unsigned(width_, [&](auto u) { return make_row<decltype(u)>(k, at); }))
          return Outcome::too_many_labels;
        int axis = 1;
        for (; axis < tile.ndim; ++axis) {
          if (++at[axis] < tile.level[k].extent[axis]) break;
          at[axis] = 0;
        }
        if (axis >= tile.ndim) break;
      }
    }
    return Outcome::made;
  }

 private:
  struct Known {
    char *least, *most, *others;
    i64 stride[max_ndim];
  };

  // A box in memory as runs of bytes: along axes that have a stride.
  struct Runs {
    i64 bytes;
    int axes;
    i64 size[max_ndim], stride[max_ndim];
  };

  bool lay_out(char* votes, const i64* stride) {
    const Problem& p = *tile_;
    known_[0].least = known_[0].most = known_[0].others = votes;
    std::copy(stride, stride + p.ndim, known_[0].stride);
    i64 size[max_levels], all = 0;
    for (int k = 1; k < p.levels; ++k) {
      i64 voxels = 1;
      for (int axis = 0; axis < p.ndim; ++axis) {
        known_[k].stride[axis] = voxels;
        voxels *= p.level[k].extent[axis];
      }
      all += 3 * (size[k] = round_up(voxels * votes_width_));
    }
    const i64 row = round_up(p.level[1].extent[0] * votes_width_), voxels = most_voxels + rank_step;
    const i64 lines = beside_ ? 64 * voxels : 0;
    if (!memory_.reserve(all + 2 * row + 2 * round_up(voxels * votes_width_) + round_up(voxels) + lines)) return false;
    char* at = memory_.data();
    const auto take = [&](i64 bytes) {
      char* start = at;
      at += bytes;
      return start;
    };
    for (int k = 1; k < p.levels; ++k) {
      known_[k].least = take(size[k]);
      known_[k].most = take(size[k]);
      known_[k].others = take(size[k]);
    }
    undecided_ = take(row);
    runners_up_ = take(row);
    voxels_ = take(round_up(voxels * votes_width_));
    votes_ = take(round_up(voxels * votes_width_));
    codes_ = reinterpret_cast<u8*>(take(round_up(voxels)));
    lines_ = take(lines);
    return true;
  }

  // at: a row's coordinates. False: some voxel has too many labels.
  template <class U>
  bool make_row(int k, i64* at) {
    const Problem& p = *tile_;
    const Level& level = p.level[k];
    const auto is_whole = [&](int axis, i64 j) { return p.present(level, axis, j) == level.total[axis]; };
    bool whole = true;
    for (int axis = 1; axis < p.ndim; ++axis) whole = whole && is_whole(axis, at[axis]);
    // those that are cut have all their voxels counted; between them are those that are whole
    const i64 n = level.extent[0];
    const i64 begin = !whole || !is_whole(0, 0), end = !whole || n == begin ? begin : n - !is_whole(0, n - 1);
    for (at[0] = 0; at[0] < n; ++at[0]) {
      if (at[0] == begin && begin < end) {
        BoundsRow row = {};
        start_row(k, at, row);
        const int log2_rows = start_row_below(k, at, row);
        row.n = end - begin;
        p.rows().prove_modes[level.factor[0] == 2][log2_rows](row);
        if (k == 1 && is_noise<U>(row)) return false;
        if (!settle_row<U>(k, at, row)) return false;
        at[0] = end - 1;
      } else {
        BoundsRow one = {};
        start_row(k, at, one);
        gather(voxels_, from_, runs_);
        if (!count_all<U>(one, 0)) return false;
      }
    }
    at[0] = 0;
    return true;
  }

  // Where a row's first voxel lies, and the voxels of the base below it.
  void start_row(int k, const i64* at, BoundsRow& row) {
    const Problem& p = *tile_;
    const Level& level = p.level[k];
    i64 out = 0, known = 0;
    from_ = p.in;
    footprint_ = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      out += at[axis] * level.stride[axis];
      known += at[axis] * known_[k].stride[axis];
      from_ += p.base_index(axis, (level.voxel_offset[axis] + at[axis]) * level.total[axis]) * p.stride[axis];
      size_[axis] = p.present(level, axis, at[axis]);
      footprint_ *= size_[axis];
    }
    runs_ = runs_of(width_, size_, p.stride);
    row.label = level.out + out;
    row.label_least = known_[k].least + known * votes_width_;
    row.label_most = known_[k].most + known * votes_width_;
    row.others_most = known_[k].others + known * votes_width_;
    row.runner_up = runners_up_;
    row.undecided = undecided_;
  }

  // Where what is known of the level below lies, for a row whose first voxel is whole: in how many rows, as log2.
  int start_row_below(int k, const i64* at, BoundsRow& row) {
    const Problem& p = *tile_;
    const Level &level = p.level[k], &below = p.level[k - 1];
    const Known& from = known_[k - 1];
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

  // The labels of a row that are not proven.
  template <class U>
  bool settle_row(int k, const i64* at, const BoundsRow& row) {
    const Votes<U>* undecided = static_cast<const Votes<U>*>(row.undecided);
    if (beside_ && row.n >= voxels_per_line(sizeof(U))) return settle_beside<U>(k, at, row);
    const i64 step = tile_->level[k].total[0] * tile_->stride[0];
    for (i64 i = 0; i < row.n; ++i) {
      if (undecided[i] == mode_proven) continue;
      if (!settle<U>(k, at, row, i, from_ + i * step, runs_)) return false;
    }
    return true;
  }

  // Whether bounds are of no use: nearly everything would have to be counted.
  template <class U>
  static bool is_noise(const BoundsRow& row) {
    i64 proven = 0;
    for (i64 i = 0; i < row.n; ++i) proven += static_cast<const Votes<U>*>(row.undecided)[i] == mode_proven;
    return row.n >= 8 && 2 * proven < row.n;
  }

  // The same where rows are not pooled along themselves: of a voxel's footprint each voxel lies in a cache line of its own,
  // beside its neighbours', and it takes no longer to look at them all.
  template <class U>
  bool settle_beside(int k, const i64* at, const BoundsRow& row) {
    constexpr i64 n = voxels_per_line(sizeof(U)), line = n * sizeof(U);
    U* label = static_cast<U*>(row.label);
    const U* runner_up = static_cast<const U*>(row.runner_up);
    const Votes<U>* undecided = static_cast<const Votes<U>*>(row.undecided);
    Votes<U>*low = static_cast<Votes<U>*>(row.label_least), *high = static_cast<Votes<U>*>(row.label_most);
    Votes<U>* other = static_cast<Votes<U>*>(row.others_most);
    Runs lines = runs_;
    if (lines.bytes != width_) return false;  // (rows of one voxel)
    lines.bytes = line;
    const Runs column = {width_, 1, {footprint_}, {line}};
    for (i64 first = 0; first < row.n; first += n) {
      const i64 begin = std::min(first, row.n - n);
      i64 unsettled = 0;
      for (i64 i = begin; i < begin + n; ++i) unsettled += undecided[i];
      if (unsettled == 0) continue;
      gather(lines_, from_ + begin * width_, lines);
      Votes<U> votes[2 * n];
      tile_->rows().count_two_labels(lines_, footprint_, label + begin, runner_up + begin, votes);
      for (i64 j = 0; j < n; ++j) {
        const i64 i = begin + j;
        if (i < first || undecided[i] == mode_proven) continue;
        if (undecided[i] == runner_up_left && votes[j] != votes[n + j]) {
          if (votes[j] < votes[n + j]) label[i] = runner_up[i];
          low[i] = high[i] = std::max(votes[j], votes[n + j]);
          other[i] = std::max(other[i], std::min(votes[j], votes[n + j]));
        } else if (!settle<U>(k, at, row, i, lines_ + j * width_, column)) {
          return false;
        }
      }
    }
    return true;
  }

  // from, runs: the voxels of its footprint.
  template <class U>
  bool settle(int k, const i64* at, const BoundsRow& row, i64 i, const char* from, const Runs& runs) {
    u64 keys[max_ranks];
    keys[0] = static_cast<const U*>(row.label)[i];
    keys[1] = static_cast<const U*>(row.runner_up)[i];
    int contenders = 2;
    i64 others = static_cast<const Votes<U>*>(row.others_most)[i];
    if (static_cast<const Votes<U>*>(row.undecided)[i] == any_label) {
      contenders = footprint_ <= few_voxels ? 0 : choose<U>(k, at, i, keys);
      others = footprint_;  // not known
    }
    if (contenders < 0) return false;
    gather(voxels_, from, runs);
    if (contenders == 0) return count_all<U>(row, i);
    count<U>(row, i, keys, contenders, others);
    return true;
  }

  // The labels that may be the mode, by the bounds of the first level: how many, 0 where it may be any label, and less than 0
  // where there are too many.
  template <class U>
  int choose(int k, const i64* at, i64 i, u64* keys) {
    const Problem& p = *tile_;
    const Level &level = p.level[k], &first = p.level[0];
    const char *labels = first.out, *votes = known_[0].least;
    i64 size[max_ndim], stride[max_ndim], cells = 1, cell_voxels = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      size[axis] = level.total[axis] / first.total[axis];
      const i64 start =
          (level.voxel_offset[axis] + at[axis] + (axis == 0 ? i : 0)) * size[axis] - first.voxel_offset[axis];
      labels += start * first.stride[axis];
      votes += start * known_[0].stride[axis] * votes_width_;
      stride[axis] = known_[0].stride[axis] * votes_width_;
      cells *= size[axis];
      cell_voxels *= first.total[axis];
    }
    gather(voxels_, labels, runs_of(width_, size, first.stride));
    gather(votes_, votes, runs_of(votes_width_, size, stride));
    const int ranks = rank(cells, keys);
    if (ranks > max_ranks) return -1;
    i64 low[max_ranks] = {}, more[max_ranks] = {}, others = 0;
    for (i64 cell = 0; cell < cells; ++cell) {
      const i64 own = reinterpret_cast<const Votes<U>*>(votes_)[cell], other = std::min(own, cell_voxels - own);
      low[codes_[cell] - 1] += own;
      more[codes_[cell] - 1] += own - other;
      others += other;
    }
    const i64 best = *std::max_element(low, low + ranks);
    if (others >= best) return 0;
    int contenders = 0;
    for (int r = 0; r < ranks; ++r)
      if (more[r] + others >= best) keys[contenders++] = keys[r];
    return contenders;
  }

  Runs runs_of(i64 bytes, const i64* extent, const i64* stride) const {
    Runs runs;
    runs.bytes = bytes;
    runs.axes = 0;
    for (int axis = 0; axis < tile_->ndim; ++axis) {
      if (extent[axis] == 1) continue;
      if (runs.axes == 0 && stride[axis] == runs.bytes) {
        runs.bytes *= extent[axis];
        continue;
      }
      runs.size[runs.axes] = extent[axis];
      runs.stride[runs.axes++] = stride[axis];
    }
    if (runs.axes == 0) {
      runs.size[runs.axes] = 1;
      runs.stride[runs.axes++] = 0;
    }
    return runs;
  }

  // A box, one run after the other.
  static void gather(char* to, const char* from, const Runs& runs) {
    with_known_size(runs.bytes, [to, from, &runs](auto bytes) mutable {
      i64 index[max_ndim];
      for (int axis = 1; axis < runs.axes; ++axis) index[axis] = 0;
      const i64 size = runs.size[0], stride = runs.stride[0];  // (here, or what is written might be them)
      for (;;) {
        for (i64 i = 0; i < size; ++i, to += bytes) std::memcpy(to, from + i * stride, static_cast<std::size_t>(bytes));
        int axis = 1;
        for (; axis < runs.axes; ++axis) {
          from += runs.stride[axis];
          if (++index[axis] < runs.size[axis]) break;
          from -= runs.size[axis] * runs.stride[axis];
          index[axis] = 0;
        }
        if (axis >= runs.axes) return;
      }
    });
  }

  // Ranks of the first n of what is gathered, and their labels.
  int rank(i64 n, u64* keys) const {
    const i64 entries = ceil_div(n, rank_step) * rank_step;
    std::memset(codes_, 0, static_cast<std::size_t>(n));
    std::memset(codes_ + n, code_none, static_cast<std::size_t>(entries - n));
    return tile_->rows().rank_labels(voxels_, entries, codes_, nullptr, max_ranks, keys);
  }

  // Of the voxels gathered: whatever labels they have, or the most frequent of these.
  template <class U>
  bool count_all(const BoundsRow& row, i64 i) {
    u64 keys[max_ranks];
    const int ranks = rank(footprint_, keys);
    if (ranks <= max_ranks) count<U>(row, i, keys, ranks, 0);
    return ranks <= max_ranks;
  }
  template <class U>
  void count(const BoundsRow& row, i64 i, const u64* keys, int labels, i64 others) {
    i64 votes[max_ranks], most = 0, second = 0;
    tile_->rows().count_labels(voxels_, footprint_, keys, labels, votes);
    int tied = 0;
    for (int label = 0; label < labels; ++label) {
      if (votes[label] > most) tied = 0;
      if (votes[label] >= most) tied_[tied++] = keys[label];
      second = std::max(second, std::min(most, votes[label]));
      most = std::max(most, votes[label]);
    }
    const i64 most_of_others = std::min(std::max(others, second), most);
    u64 best = tied_[0];
    if (tied > 1) best = options_.ties == Ties::lowest ? lowest(tied) : first(tied);
    static_cast<U*>(row.label)[i] = static_cast<U>(best);
    static_cast<Votes<U>*>(row.label_least)[i] = static_cast<Votes<U>*>(row.label_most)[i] = static_cast<Votes<U>>(most);
    static_cast<Votes<U>*>(row.others_most)[i] = static_cast<Votes<U>>(most_of_others);
  }

  u64 lowest(int tied) const {
    u64 best = 0, least = 0;
    for (int i = 0; i < tied; ++i) {
      u64 key = tied_[i];
      if (!tile_->codec.is_identity()) tile_->rows().encode(&key, &key, 1, tile_->codec);
      if (i > 0 && key >= least) continue;
      best = tied_[i];
      least = key;
    }
    return best;
  }

  // The one whose first voxel comes first in raster order.
  u64 first(int tied) const {
    const Problem& p = *tile_;
    int order[max_ndim];
    i64 step[max_ndim], voxels = 1, index[max_ndim] = {};
    for (int axis = 0; axis < p.ndim; ++axis) {
      order[axis] = axis;
      step[axis] = voxels;
      voxels *= size_[axis];
    }
    std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    for (const char* voxel = voxels_;;) {
      u64 key = 0;
      std::memcpy(&key, voxel, static_cast<std::size_t>(width_));
      if (std::find(tied_, tied_ + tied, key) != tied_ + tied) return key;
      for (int i = 0; i < p.ndim; ++i) {
        const int axis = order[i];
        voxel += step[axis] * width_;
        if (++index[axis] < size_[axis]) break;
        voxel -= size_[axis] * step[axis] * width_;
        index[axis] = 0;
      }
    }
  }

  static constexpr i64 most_voxels = 4096, few_voxels = 256;

  const Options& options_;
  const Problem* tile_ = nullptr;
  int width_ = 0, votes_width_ = 0;
  Known known_[max_levels];
  Arena memory_;
  bool beside_ = false;
  char *undecided_ = nullptr, *runners_up_ = nullptr, *voxels_ = nullptr, *votes_ = nullptr, *lines_ = nullptr;
  u8* codes_ = nullptr;
  // The base's voxels of a footprint at the beginning of a row: where and how many they are, also along each axis.
  const char* from_ = nullptr;
  Runs runs_;
  i64 footprint_ = 0, size_[max_ndim];
  u64 tied_[max_ranks];
};

}  // namespace tinypyr
