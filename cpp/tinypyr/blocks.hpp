// The mode of several levels, a block at a time: all levels of a block of up to 512 voxels in one go.
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

constexpr i64 max_block = 512;
constexpr int max_ranks = 32;

class Blocks {
 public:
  Blocks(const Options& options, u64 ignore) : options_(options), ignore_(ignore) {}

  // How many levels a block holds: 0 where the footprints of the first are too large.
  int plan(const Problem& p) {
    problem_ = &p;
    levels_ = 0;
    i64 voxels = 1;
    for (; levels_ < p.levels; ++levels_) {
      i64 next = voxels;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 factor = p.level[levels_].factor[axis];
        next = factor > max_block ? max_block + 1 : next * factor;
        if (next > max_block) break;
      }
      if (next > max_block) break;
      voxels = next;
    }
    if (levels_ == 0) return 0;
    voxels_ = voxels;
    lay_out();
    return levels_;
  }

  bool allocate() {
    // marks of as many blocks as fit the first-level cache, their sums, and the voxels of one block
    room_ = max_ranks + batch_bytes / voxels_;
    i64 bytes = round_up(room_ * voxels_) + 2 * round_up(2 * room_ * voxels_) + round_up(8 * voxels_) +
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
    seen_ = reinterpret_cast<u8*>(take(voxels_));
    keys_ = reinterpret_cast<u64*>(take(8 * room_));
    values_ = reinterpret_cast<u64*>(take(8 * room_));
    pending_ = reinterpret_cast<Pending*>(take(room_ * static_cast<i64>(sizeof(Pending))));
    for (int k = 0; k < levels_; ++k) votes_[k] = reinterpret_cast<u16*>(take(2 * room_ * outputs_[k]));
    return true;
  }

  // Take the block at these coordinates (of level levels - 1). done(slot, labels, count) is told its labels, now or in a
  // later call. False: it has too many labels, and is left to others.
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
      block.high[axis] = std::min(top.total[axis], p.extent[axis] - from);
      block.whole = block.whole && block.low[axis] == 0 && block.high[axis] == top.total[axis];
      block.position += from * p.weight[axis];
      start += from * p.stride[axis];
    }
    std::memset(seen_, 0, static_cast<std::size_t>(voxels_));
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
      for (int k = 0; k < levels_; ++k) write(block, k, [&](i64) { return values_[used_]; });
      const Label only = {keys[0], voxels_, block.position};
      done(slot, &only, block.ranks);
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
      for (int k = 0; k < levels_; ++k) choose(block, k);
      Label labels[max_ranks];
      if (levels_ == problem_->levels) {  // nobody above asks for them
        done(block.slot, labels, 0);
        continue;
      }
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
    for (int k = 0; k < levels_; ++k) {
      const i64 child = filled;
      i64 digit[max_ndim] = {};
      for (;;) {
        int axis = 0;
        for (; axis < p.ndim; ++axis) {
          if (++digit[axis] < p.level[k].factor[axis]) break;
          digit[axis] = 0;
        }
        if (axis >= p.ndim) break;
        for (i64 i = 0; i < child; ++i, ++filled)
          for (int b = 0; b < p.ndim; ++b) {
            const i64 step = k == 0 ? 1 : p.level[k - 1].total[b];
            coordinate_[b][filled] = static_cast<u16>(coordinate_[b][i] + digit[b] * step);
          }
      }
      footprint_[k] = filled;
    }
    for (int k = 0; k < levels_; ++k) outputs_[k] = voxels_ / footprint_[k];

    int order[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) order[axis] = axis;
    std::sort(order, order + p.ndim, [&](int a, int b) { return p.logical[a] < p.logical[b]; });
    i64 weight[max_ndim], product = 1;
    for (int i = 0; i < p.ndim; ++i) {
      weight[order[i]] = product;
      product *= p.level[levels_ - 1].total[order[i]];
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
    // neighbours in memory that are neighbours here move together
    piece_ = p.stride[0] == p.codec.width && p.level[0].factor[0] == 2 ? 2 * p.codec.width : p.codec.width;
  }

  void gather(const char* start) {
    const Problem& p = *problem_;
    switch (piece_) {
      case 1:
        return pieces<1, 1>(start);
      case 2:
        return p.codec.width == 1 ? pieces<2, 2>(start) : pieces<2, 1>(start);
      case 4:
        return p.codec.width == 2 ? pieces<4, 2>(start) : pieces<4, 1>(start);
      case 8:
        return p.codec.width == 4 ? pieces<8, 2>(start) : pieces<8, 1>(start);
      default:
        return pieces<16, 2>(start);
    }
  }
  template <int bytes, int voxels>
  void pieces(const char* start) {
    char* to = block_;
    for (i64 i = 0; i < voxels_; i += voxels, to += bytes) std::memcpy(to, start + offset_[i], bytes);
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
        const i64 factor = left % 2 == 0 ? 2 : left;
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
    if (problem_->kernels->most_votes(votes, block.ranks, n, most, winner))
      for (i64 i = 0; i < n; ++i) winner[i] = settle(block, k, i, votes, most[i], winner[i]);
    write(block, k, [&](i64 i) { return winner[i] == nobody ? ignore_value() : values_[block.first + winner[i]]; });
  }

  // Among the labels with the most votes: the lowest, or the one that comes first in raster order.
  u16 settle(const Pending& block, int k, i64 i, const u16* votes, u16 most, u16 winner) const {
    const i64 n = outputs_[k], footprint = footprint_[k];
    if (most == 0) return nobody;
    int best = winner, earliest = voxels_;
    bool tied = false;
    for (int r = winner; r < block.ranks; ++r) {
      if (votes[r * n + i] != most) continue;
      if (r == winner) continue;
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

  u64 ignore_value() const {
    u64 value = ignore_;
    if (!problem_->codec.is_identity()) problem_->rows().decode(&value, 1, problem_->codec);
    return value;
  }

  // Write the voxels of level k that lie in a block.
  template <class Value>
  void write(const Pending& block, int k, Value value) {
    switch (problem_->codec.width) {
      case 1:
        return write_as<u8>(block, k, value);
      case 2:
        return write_as<u16>(block, k, value);
      case 4:
        return write_as<u32>(block, k, value);
      default:
        return write_as<u64>(block, k, value);
    }
  }
  template <class U, class Value>
  void write_as(const Pending& block, int k, Value value) {
    const Problem& p = *problem_;
    const Level &level = p.level[k], &top = p.level[levels_ - 1];
    char* out = level.out;
    for (int axis = 0; axis < p.ndim; ++axis)
      out += ((top.origin[axis] + block.at[axis]) * (top.total[axis] / level.total[axis]) - level.origin[axis]) *
             level.stride[axis];
    for (i64 i = 0; i < outputs_[k]; ++i) {
      i64 offset = 0;
      bool here = true;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 first = coordinate_[axis][i * footprint_[k]];
        offset += first / level.total[axis] * level.stride[axis];
        here = here && first + level.total[axis] > block.low[axis] && first < block.high[axis];
      }
      const U voxel = static_cast<U>(value(i));
      if (here) std::memcpy(out + offset, &voxel, sizeof(U));
    }
  }

  static constexpr u16 nobody = 0xffff;
  static constexpr i64 batch_bytes = 16384;

  const Options& options_;
  const u64 ignore_;
  const Problem* problem_ = nullptr;
  int levels_ = 0;
  i64 voxels_ = 0, room_ = 0, used_ = 0, pending_count_ = 0, piece_ = 0;
  i64 footprint_[max_levels], outputs_[max_levels];  // voxels in a footprint; voxels of a level in a block
  u16 coordinate_[max_ndim][max_block], raster_[max_block], unraster_[max_block];
  i64 offset_[max_block], position_[max_block];
  Scratch memory_;
  u8 *marks_ = nullptr, *seen_ = nullptr;
  u16 *spare_[2] = {}, *votes_[max_levels] = {};
  char* block_ = nullptr;
  u64 *keys_ = nullptr, *values_ = nullptr;
  Pending* pending_ = nullptr;
};

}  // namespace tinypyr
