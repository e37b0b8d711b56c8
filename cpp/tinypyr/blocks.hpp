// Modes, a block at a time: all levels of a block of some hundred voxels in one go.
//
// A block's labels get ranks in the order in which they are met. Each rank has a row of marks, one byte per voxel: 1
// where the voxel has that label. Marks summed up the levels are the votes of that label in every footprint, and the most
// votes win. Voxels are laid out so that every footprint of every level is one run: summing is then adding neighbours,
// the same for any dimension and factor, and many marks (of many blocks) are summed in one call.
#pragma once

#include <algorithm>
#include <cstring>

#include "problem.hpp"

namespace tinypyr {

// One label of a footprint; position: of its first voxel, in raster order with the caller's axis 0 fastest.
struct Label {
  u64 key;
  i64 votes, position;
};

constexpr i64 max_block = 1024, good_block = 512;
constexpr int max_ranks = 32;

class Blocks {
 public:
  Blocks(const Options& options, u64 ignore) : options_(options), ignore_(ignore) {}

  // How many levels a block holds: 0 where the footprints of the first are too large. Levels before `written` are written
  // by others.
  int plan(const Problem& p, int written) {
    problem_ = &p;
    written_ = written;
    levels_ = 0;
    i64 voxels = 1;
    for (; levels_ < p.levels; ++levels_) {
      i64 next = voxels;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 factor = p.level[levels_].factor[axis];
        next = factor > good_block ? good_block + 1 : next * factor;
        if (next > good_block) break;
      }
      if (next > good_block) break;
      if (levels_ > 0 && next == voxels) break;  // pooled by 1: tables hold levels that shrink
      voxels = next;
    }
    if (levels_ == 0) return 0;
    // where nobody above needs a block's labels, it may as well hold several footprints of the last level
    std::fill(group_, group_ + p.ndim, i64{1});
    const Level& top = p.level[levels_ - 1];
    if (top.total[0] == 1 && levels_ == p.levels)  // neighbours in memory, so that more than one voxel of a run is read
      while (2 * voxels <= max_block && group_[0] < top.extent[0] && group_[0] * p.codec.width < 32) {
        group_[0] *= 2;
        voxels *= 2;
      }
    for (bool grows = levels_ == p.levels; grows;) {
      grows = false;
      for (int axis = 0; axis < p.ndim; ++axis) {
        if (top.total[axis] == 1 || 2 * voxels > good_block || group_[axis] >= top.extent[axis]) continue;
        group_[axis] *= 2;
        voxels *= 2;
        grows = true;
      }
    }
    voxels_ = voxels;
    for (int axis = 0; axis < p.ndim; ++axis) span_[axis] = top.total[axis] * group_[axis];
    lay_out();
    ignore_value_ = ignore_;
    if (!p.codec.is_identity()) p.rows().decode(&ignore_value_, 1, p.codec);
    return levels_;
  }

  i64 voxels() const { return voxels_; }
  // Voxels of level levels - 1 that a block holds along an axis.
  i64 group(int axis) const { return group_[axis]; }

  bool allocate() {
    // marks of as many blocks as fit the first-level cache, their sums, and the voxels of one block
    room_ = max_ranks + batch_bytes / voxels_;
    i64 bytes = round_up(room_ * voxels_) + 2 * round_up(2 * room_ * voxels_) + 2 * round_up(8 * voxels_) +
                round_up(voxels_) + 2 * round_up(8 * room_) + room_ * static_cast<i64>(sizeof(Pending)) + 64;
    for (int k = 0; k < levels_; ++k) bytes += round_up(2 * room_ * outputs_[k]);
    if (!memory_.reserve(bytes)) return false;
    char* at = memory_.data();
    const auto take = [&](i64 wanted) {
      char* start = at;
      at += round_up(wanted);
      return start;
    };
    marks_ = reinterpret_cast<u8*>(take(room_ * voxels_));
    spare_[0] = reinterpret_cast<u16*>(take(2 * room_ * voxels_));
    spare_[1] = reinterpret_cast<u16*>(take(2 * room_ * voxels_));
    block_ = take(8 * voxels_);
    strip_ = take(8 * voxels_);
    seen_ = reinterpret_cast<u8*>(take(voxels_));
    keys_ = reinterpret_cast<u64*>(take(8 * room_));
    values_ = reinterpret_cast<u64*>(take(8 * room_));
    pending_ = reinterpret_cast<Pending*>(take(room_ * static_cast<i64>(sizeof(Pending))));
    for (int k = 0; k < levels_; ++k) votes_[k] = reinterpret_cast<u16*>(take(2 * room_ * outputs_[k]));
    return true;
  }

  // Take the block that starts at these coordinates (of level levels - 1). done(slot, labels, count) is told its labels,
  // now or in a later call, if there are levels above. False: it has too many labels, and is left to others.
  template <class Done>
  bool add(const i64* at, i64 slot, Done done) {
    const Problem& p = *problem_;
    const Level& top = p.level[levels_ - 1];
    if (used_ + max_ranks > room_) flush(done);
    Pending& block = pending_[pending_count_];
    block.slot = slot;
    block.first = used_;
    block.whole = true;
    block.position = 0;
    const char* start = p.in;
    for (int axis = 0; axis < p.ndim; ++axis) {
      block.at[axis] = at[axis];
      const i64 from = (top.origin[axis] + at[axis]) * top.total[axis] - p.origin[axis];  // in voxels at hand
      block.low[axis] = std::max<i64>(0, -from);
      block.high[axis] = std::min(span_[axis], p.extent[axis] - from);
      block.whole = block.whole && block.low[axis] == 0 && block.high[axis] == span_[axis];
      block.position += from * p.weight[axis];
      start += from * p.stride[axis];
    }
    std::memset(seen_, 0, static_cast<std::size_t>(voxels_));
    if (ahead_ != 2 * line || (start - p.in) % line < span_[0] * p.codec.width)
      for (i64 row = 0; row < row_count_; ++row) prefetch_to_second(start + rows_[row] + ahead_);
    block.whole ? gather(start) : gather_part(start, block);
    if (!p.codec.is_identity()) p.rows().encode(block_, block_, voxels_, p.codec);
    u64* keys = keys_ + used_;
    block.ranks = p.rows().rank(block_, voxels_, seen_, options_.has_ignore ? &ignore_ : nullptr, max_ranks, keys,
                                marks_ + used_ * voxels_);
    if (block.ranks > max_ranks) return false;
    if (block.ranks == 0) keys[0] = ignore_;
    for (int r = 0; r < std::max(1, block.ranks); ++r) {
      values_[used_ + r] = keys[r];
      if (!p.codec.is_identity()) p.rows().decode(&values_[used_ + r], 1, p.codec);
    }
    const bool one_label = block.ranks == 1 && block.whole &&
                           (!options_.has_ignore || std::memchr(marks_ + used_ * voxels_, 0, voxels_) == nullptr);
    if (block.ranks == 0 || one_label) {
      const u64 value = values_[used_];
      for (int k = written_; k < levels_; ++k) write(block, k, [value](i64) { return value; });
      const Label only = {keys[0], voxels_, block.position};
      if (levels_ < p.levels) done(slot, &only, block.ranks);
      return true;
    }
    used_ += block.ranks;
    ++pending_count_;
    return true;
  }

  template <class Done>
  void flush(Done done) {
    if (pending_count_ == 0) return;
    sum();
    for (i64 i = 0; i < pending_count_; ++i) {
      const Pending& block = pending_[i];
      for (int k = written_; k < levels_; ++k) choose(block, k);
      if (levels_ == problem_->levels) continue;
      Label labels[max_ranks];
      for (i64 r = 0; r < block.ranks; ++r) {
        const i64 row = block.first + r;
        const int first = problem_->kernels->first_mark(marks_ + row * voxels_, raster_, voxels_);
        labels[r] = {keys_[row], votes_[levels_ - 1][row], block.position + position_[unraster_[first]]};
      }
      done(block.slot, labels, block.ranks);
    }
    used_ = pending_count_ = 0;
  }

 private:
  struct Pending {
    i64 slot, first, position;
    int ranks;
    bool whole;
    i64 at[max_ndim], low[max_ndim], high[max_ndim];
  };

  // The order of voxels in a block: footprints of the first level one after the other, those of a footprint of the second
  // level together, and so on; tables of where in memory and where in raster order each lies.
  void lay_out() {
    const Problem& p = *problem_;
    for (int axis = 0; axis < p.ndim; ++axis) std::fill(coordinate_[axis], coordinate_[axis] + voxels_, 0);
    i64 filled = 1;
    for (int k = 0; k <= levels_; ++k) {
      const i64 child = filled;
      const i64* factor = k < levels_ ? p.level[k].factor : group_;
      i64 digit[max_ndim] = {};
      for (;;) {
        int axis = 0;
        for (; axis < p.ndim; ++axis) {
          if (++digit[axis] < factor[axis]) break;
          digit[axis] = 0;
        }
        if (axis >= p.ndim) break;
        for (i64 i = 0; i < child; ++i, ++filled)
          for (int b = 0; b < p.ndim; ++b) {
            const i64 step = k == 0 ? 1 : p.level[k - 1].total[b];
            coordinate_[b][filled] = static_cast<u16>(coordinate_[b][i] + digit[b] * step);
          }
      }
      if (k < levels_) footprint_[k] = filled;
    }
    for (int k = 0; k < levels_; ++k) outputs_[k] = voxels_ / footprint_[k];

    int order[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) order[axis] = axis;
    std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    i64 weight[max_ndim], product = 1;
    for (int i = 0; i < p.ndim; ++i) {
      weight[order[i]] = product;
      product *= span_[order[i]];
    }
    for (i64 i = 0; i < voxels_; ++i) {
      i64 place = 0;
      offset_[i] = position_[i] = 0;
      for (int axis = 0; axis < p.ndim; ++axis) {
        place += coordinate_[axis][i] * weight[axis];
        offset_[i] += coordinate_[axis][i] * p.stride[axis];
        position_[i] += coordinate_[axis][i] * p.weight[axis];
      }
      raster_[i] = static_cast<u16>(place);
      unraster_[place] = static_cast<u16>(i);
    }
    i64* next = out_offsets_;
    for (int k = 0; k < levels_; ++k) {
      const Level& level = p.level[k];
      out_offset_[k] = next;
      for (i64 i = 0; i < outputs_[k]; ++i, ++next) {
        *next = 0;
        for (int axis = 0; axis < p.ndim; ++axis)
          *next += coordinate_[axis][i * footprint_[k]] / level.total[axis] * level.stride[axis];
      }
    }
    // Runs of memory, and where in them each voxel lies; neighbours that are neighbours here too move together.
    run_ = p.stride[0] == p.codec.width ? span_[0] : 1;
    pair_ = run_ > 1 && p.level[0].factor[0] == 2 ? 2 : 1;
    row_count_ = 0;
    for (i64 i = 0; i < voxels_; ++i) {
      const i64 in_run = run_ > 1 ? coordinate_[0][i] : 0;
      const i64* known = std::find(rows_, rows_ + row_count_, offset_[i] - in_run * p.stride[0]);
      if (known == rows_ + row_count_) rows_[row_count_++] = offset_[i] - in_run * p.stride[0];
      if (i % pair_ == 0) place_[i / pair_] = static_cast<u16>(((known - rows_) * run_ + in_run) * p.codec.width);
    }
    // what will be read soon: the next row of blocks, or more of these rows where they are longer than the block
    ahead_ = std::abs(span_[0] * p.stride[0]) < line ? 2 * line : p.ndim > 1 ? span_[1] * p.stride[1] : 0;
  }

  // First the runs of memory that the block is made of, one after the other: rows a power of two apart share few sets of
  // the cache, and would push each other out.
  void gather(const char* start) {
    const i64 width = problem_->codec.width;
    if (run_ == 1) return copy_pieces(block_, start, offset_, voxels_, width);
    copy_pieces(strip_, start, rows_, row_count_, run_ * width);
    copy_pieces(block_, strip_, place_, voxels_ / pair_, pair_ * width);
  }
  template <class Offset>
  static void copy_pieces(char* to, const char* from, const Offset* offset, i64 count, i64 bytes) {
    const auto copy = [&](auto size) {  // known to the compiler where that is worth it
      for (i64 i = 0; i < count; ++i) std::memcpy(to + i * size, from + offset[i], static_cast<std::size_t>(size));
    };
    switch (bytes) {
      case 1:
        return copy(std::integral_constant<i64, 1>{});
      case 2:
        return copy(std::integral_constant<i64, 2>{});
      case 4:
        return copy(std::integral_constant<i64, 4>{});
      case 8:
        return copy(std::integral_constant<i64, 8>{});
      case 16:
        return copy(std::integral_constant<i64, 16>{});
      case 32:
        return copy(std::integral_constant<i64, 32>{});
      case 64:
        return copy(std::integral_constant<i64, 64>{});
      case 128:
        return copy(std::integral_constant<i64, 128>{});
      default:
        return copy(bytes);
    }
  }
  // Voxels that do not exist count as seen.
  void gather_part(const char* start, const Pending& block) {
    const Problem& p = *problem_;
    for (i64 i = 0; i < voxels_; ++i) {
      bool here = true;
      for (int axis = 0; axis < p.ndim; ++axis)
        here = here && coordinate_[axis][i] >= block.low[axis] && coordinate_[axis][i] < block.high[axis];
      seen_[i] = !here;
      char* to = block_ + i * p.codec.width;
      if (here)
        std::memcpy(to, start + offset_[i], static_cast<std::size_t>(p.codec.width));
      else
        std::memset(to, 0, static_cast<std::size_t>(p.codec.width));
    }
  }

  // Votes of every pending rank in every footprint of every level.
  void sum() {
    const Fold& fold = problem_->kernels->means[0].fold[0];  // bytes into 16-bit sums
    const void* from = marks_;
    i64 n = used_ * voxels_;
    for (int k = 0; k < levels_; ++k) {
      i64 left = footprint_[k] / (k == 0 ? 1 : footprint_[k - 1]);
      if (left == 1 && k > 0) std::memcpy(votes_[k], votes_[k - 1], static_cast<std::size_t>(2 * n));
      for (int turn = 0; left > 1 || from == marks_; turn = !turn) {
        const i64 factor = left % 2 == 0 ? 2 : left % 3 == 0 ? 3 : left;
        left /= factor;
        u16* to = left == 1 ? votes_[k] : spare_[turn];
        (from == marks_ ? fold.first : fold.part)(from, to, 0, {1, n, 1, factor, 0, 0}, false, 0);
        from = to;
        n /= factor;
      }
      from = votes_[k];
    }
  }

  void choose(const Pending& block, int k) {
    const i64 n = outputs_[k];
    const u16* votes = votes_[k] + block.first * n;
    u16 most[max_block], winner[max_block];
    u64 values[max_ranks + 1];
    std::copy(values_ + block.first, values_ + block.first + block.ranks, values);
    values[max_ranks] = ignore_value_;
    if (problem_->kernels->most_votes(votes, block.ranks, n, most, winner))
      for (i64 i = 0; i < n; ++i)
        if (winner[i] & contested) winner[i] = settle(block, k, i, votes, most[i], winner[i] & ~contested);
    write(block, k, [&](i64 i) { return values[winner[i]]; });
  }

  // Among the labels with the most votes: the lowest, or the one that comes first in raster order.
  u16 settle(const Pending& block, int k, i64 i, const u16* votes, u16 most, int winner) const {
    const i64 n = outputs_[k], footprint = footprint_[k];
    if (most == 0) return max_ranks;  // nobody
    int best = winner, earliest = static_cast<int>(voxels_);
    bool tied = false;
    for (int r = winner + 1; r < block.ranks; ++r) {
      if (votes[r * n + i] != most) continue;
      if (options_.ties == Ties::lowest) {
        if (keys_[block.first + r] < keys_[block.first + best]) best = r;
        continue;
      }
      if (!tied) earliest = first_place(block.first + winner, i, footprint);
      tied = true;
      const int place = first_place(block.first + r, i, footprint);
      if (place < earliest) best = r, earliest = place;
    }
    return static_cast<u16>(best);
  }

  int first_place(i64 row, i64 i, i64 footprint) const {
    const u8* mark = marks_ + row * voxels_;
    int first = static_cast<int>(voxels_);
    for (i64 v = i * footprint; v < (i + 1) * footprint; ++v)
      if (mark[v] != 0 && raster_[v] < first) first = raster_[v];
    return first;
  }

  // Write the voxels of level k that lie in a block.
  template <class Value>
  void write(const Pending& block, int k, Value value) {
    with_unsigned(problem_->codec.width, [&](auto u) { write_as<decltype(u)>(block, k, value); });
  }
  template <class U, class Value>
  void write_as(const Pending& block, int k, Value value) {
    const Problem& p = *problem_;
    const Level &level = p.level[k], &top = p.level[levels_ - 1];
    char* out = level.out;
    for (int axis = 0; axis < p.ndim; ++axis)
      out += ((top.origin[axis] + block.at[axis]) * (top.total[axis] / level.total[axis]) - level.origin[axis]) *
             level.stride[axis];
    const i64* offset = out_offset_[k];
    const i64 n = outputs_[k];
    for (i64 i = 0; i < n; ++i) {
      if (!block.whole && !exists(block, k, i)) continue;
      const U voxel = static_cast<U>(value(i));
      std::memcpy(out + offset[i], &voxel, sizeof(U));
    }
  }
  // Whether any voxel of the i-th footprint of level k exists.
  bool exists(const Pending& block, int k, i64 i) const {
    bool here = true;
    for (int axis = 0; axis < problem_->ndim; ++axis) {
      const i64 first = coordinate_[axis][i * footprint_[k]];
      here = here && first + problem_->level[k].total[axis] > block.low[axis] && first < block.high[axis];
    }
    return here;
  }

  static constexpr i64 batch_bytes = 16384, line = 64;

  const Options& options_;
  const u64 ignore_;
  u64 ignore_value_ = 0;
  const Problem* problem_ = nullptr;
  int levels_ = 0, written_ = 0;
  i64 group_[max_ndim], span_[max_ndim];  // of a block: voxels of its last level, and of the base
  i64 voxels_ = 0, room_ = 0, used_ = 0, pending_count_ = 0;
  i64 footprint_[max_levels], outputs_[max_levels];  // voxels in a footprint; voxels of a level in a block
  u16 coordinate_[max_ndim][max_block], raster_[max_block], unraster_[max_block];
  i64 offset_[max_block], position_[max_block], out_offsets_[max_levels + 2 * max_block];
  const i64* out_offset_[max_levels];
  i64 rows_[max_block], row_count_ = 0, run_ = 1, pair_ = 1, ahead_ = 0;
  u16 place_[max_block];
  Scratch memory_;
  u8 *marks_ = nullptr, *seen_ = nullptr;
  u16 *spare_[2] = {}, *votes_[max_levels] = {};
  char *block_ = nullptr, *strip_ = nullptr;
  u64 *keys_ = nullptr, *values_ = nullptr;
  Pending* pending_ = nullptr;
};

}  // namespace tinypyr
