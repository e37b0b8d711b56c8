// Modes, a block at a time: all levels of a block of some hundred voxels in one go.
//
// A block is made of cells: voxels of the first level where that has been pooled already (reduce/small_footprints.hpp), else voxels of the
// base. Most cells hold one label; the others' voxels are looked at one by one. Labels get ranks in the order in which
// they are met. The votes of four ranks lie side by side in one number, so the votes in a footprint are the sum of such
// numbers, and the most votes win. For summing, cells are put in an order in which what is added at any level are a few
// rows of one length, whatever the dimension and the factors.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/problem.hpp"

namespace tinypyr {

// One label of a footprint; position: of its first voxel, in raster order with the caller's axis 0 fastest.
struct Label {
  u64 key;
  i64 votes, position;
};

constexpr i64 max_block = 1024, good_block = 512;

class Blocks {
 public:
  Blocks(const Options& options, u64 ignore) : options_(options), ignore_(ignore) {
    for (int lane = 0; lane < 4; ++lane) units_[max_ranks + lane] = u64{1} << 16 * lane;
  }

  // How many levels a block holds: 0 where the footprints of the first are too large. halved: others write the first level,
  // before its blocks are added.
  int plan(const Problem& p, bool halved) {
    problem_ = &p;
    first_ = halved ? 1 : 0;
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
    // where no level above needs a block's labels, it may as well hold several footprints of the last level
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
    cell_voxels_ = 1;
    for (int axis = 0; axis < p.ndim; ++axis) {
      span_[axis] = top.total[axis] * group_[axis];
      cell_[axis] = halved ? p.level[0].total[axis] : 1;
      cells_up_[axis] = top.total[axis] / cell_[axis];
      cell_voxels_ *= cell_[axis];
    }
    cells_ = voxels_ / cell_voxels_;
    for (int lane = 0; lane < 4; ++lane)
      cell_units_[max_ranks + lane] = units_[max_ranks + lane] * static_cast<u64>(cell_voxels_);
    lay_out();
    ignore_value_ = ignore_;
    if (!p.codec.is_identity()) p.rows().decode(&ignore_value_, 1, p.codec);
    return levels_;
  }

  i64 voxels() const { return voxels_; }
  // Voxels of level levels - 1 that a block holds along an axis.
  i64 group(int axis) const { return group_[axis]; }

  // tile: how many cells there are along each axis where their first level is made in turns.
  bool allocate(const i64* tile) {
    const Problem& p = *problem_;
    i64 counted = first_;
    for (int axis = 0; axis < p.ndim && halved(); ++axis) {
      agreeing_stride_[axis] = counted;
      counted *= tile[axis];
    }
    counted *= votes_width(p.codec.width);
    const i64 looked_at = halved() ? in_steps(voxels_, rank_step) : 0;
    cells_room_ = in_steps(cells_, rank_step);
    const i64 entries = cells_room_ + looked_at;
    outputs_room_ = in_steps(std::max<i64>(1, out_start_[levels_]), 8);
    const i64 bytes = round_up(entries * p.codec.width) + 2 * round_up(entries) + round_up(2 * entries) +
                      round_up(max_ranks / 4 * 8 * outputs_room_) + round_up(counted);
    if (!memory_.reserve(bytes)) return false;
    std::memset(memory_.data(), 0, static_cast<std::size_t>(bytes));
    char* at = memory_.data();
    const auto take = [&](i64 wanted) {
      char* start = at;
      at += round_up(wanted);
      return start;
    };
    entries_ = take(entries * p.codec.width);
    codes_ = reinterpret_cast<u8*>(take(entries));
    same_ = reinterpret_cast<u8*>(take(entries));
    places_ = reinterpret_cast<u16*>(take(2 * entries));
    votes_ = reinterpret_cast<u64*>(take(max_ranks / 4 * 8 * outputs_room_));
    agreeing_ = take(counted);
    std::memset(same_, 1, static_cast<std::size_t>(entries));
    std::memset(codes_, code_none, static_cast<std::size_t>(entries));
    std::fill(votes_, votes_ + outputs_room_, u64{1});  // behind the last output: not tie_bit
    for (i64 i = 0; i < cells_; ++i) places_[i] = cell_place_[i];
    lay_out_rows();
    return true;
  }

  // Where whoever makes the first level says how many voxels of each footprint are the label made of it (Votes), and how its
  // axes lie there; the first of these voxels' coordinates (of the whole).
  char* mode_votes() const { return agreeing_; }
  const i64* agreeing_stride() const { return agreeing_stride_; }
  void start_tile(const i64* voxel_offset) { std::copy(voxel_offset, voxel_offset + problem_->ndim, tile_origin_); }

  // Take the block that starts at these coordinates (of level levels - 1); done(labels, count) is told its labels, if there
  // are levels above. False: it has too many labels, and is left to others.
  template <class Done>
  bool add(const i64* at, Done done) {
    const Problem& p = *problem_;
    locate(at);
    if (!halved() && (ahead_ != 2 * line || (block_.cells - p.in) % line < span_[0] * p.codec.width))
      for (i64 row = 0; row < row_count_; ++row) prefetch_to_second(block_.cells + rows_[row] + ahead_, 1);
    with_unsigned(p.codec.width, [&](auto u) { gather<decltype(u)>(); });
    const i64 entries = in_steps(cells_room_ + mixed_count_ * cell_voxels_, rank_step);
    if (!p.codec.is_identity()) p.rows().encode(entries_, entries_, entries, p.codec);
    ranks_ = p.rows().rank_labels(entries_, entries, codes_, options_.has_ignore ? &ignore_ : nullptr, max_ranks, keys_);
    if (ranks_ > max_ranks) return false;
    values_[ranks_] = ignore_value_;
    for (int r = 0; r < ranks_; ++r) {
      values_[r] = keys_[r];
      if (!p.codec.is_identity()) p.rows().decode(&values_[r], 1, p.codec);
    }
    const bool one_label =
        ranks_ == 1 && block_.whole && mixed_count_ == 0 &&
        (!options_.has_ignore || std::memchr(codes_, code_none, static_cast<std::size_t>(cells_)) == nullptr);
    if (ranks_ == 0 || one_label) {
      std::fill(winner_, winner_ + out_start_[levels_], u16{0});
    } else {
      count();
      const i64 outputs = out_start_[levels_];
      if (outputs > 0 && p.kernels->most_votes(votes_, outputs_room_, ranks_, outputs_room_, most_, winner_))
        for (int k = first_; k < levels_; ++k)
          for (i64 i = out_start_[k]; i < out_start_[k + 1]; ++i)
            if (winner_[i] & tie_bit) winner_[i] = settle(k, i);
    }
    with_unsigned(p.codec.width, [&](auto u) { write<decltype(u)>(); });
    if (levels_ == p.levels) return true;
    Label labels[max_ranks];
    if (one_label)
      labels[0] = {keys_[0], voxels_, block_.position};
    else
      hand_on(labels);
    done(labels, ranks_);
    return true;
  }

 private:
  struct Block {
    i64 position;
    bool whole;
    const char *voxels, *cells, *mode_votes;
    i64 at[max_ndim], low[max_ndim], high[max_ndim];  // low, high: which of its voxels exist
  };

  bool halved() const { return first_ == 1; }
  static constexpr i64 in_steps(i64 n, i64 step) { return ceil_div(n, step) * step; }

  // The weights of a box's axes in the numbers of its cells: in order of memory, or (raster) with the caller's axis 0 first.
  void weigh(const i64* extent, bool raster, i64* weight) const {
    for (int axis = 0; axis < problem_->ndim; ++axis) {
      weight[axis] = 1;
      for (int other = 0; other < problem_->ndim; ++other)
        if (raster ? problem_->logical[other] < problem_->logical[axis] : other < axis) weight[axis] *= extent[other];
    }
  }

  // Visit a box's cells in order of memory.
  template <class Visit>
  void each(const i64* extent, Visit visit) const {
    i64 at[max_ndim] = {};
    for (i64 i = 0;; ++i) {
      visit(at, i);
      int axis = 0;
      for (; axis < problem_->ndim; ++axis) {
        if (++at[axis] < extent[axis]) break;
        at[axis] = 0;
      }
      if (axis >= problem_->ndim) return;
    }
  }
  i64 dot(const i64* at, const i64* weight) const {
    i64 sum = 0;
    for (int axis = 0; axis < problem_->ndim; ++axis) sum += at[axis] * weight[axis];
    return sum;
  }

  // Tables of where cells and voxels lie in a block, in memory and in raster order, and of what is summed with what.
  void lay_out() {
    const Problem& p = *problem_;
    i64 cells[max_ndim], weight[max_ndim], place[max_ndim], sub[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) cells[axis] = span_[axis] / cell_[axis];
    weigh(cells, false, weight);
    weigh(span_, true, place);
    weigh(cell_, true, sub);
    each(span_, [&](const i64* at, i64) { position_[dot(at, place)] = dot(at, p.weight); });
    each(cells, [&](const i64* at, i64 i) {
      i64 first[max_ndim];
      for (int axis = 0; axis < p.ndim; ++axis) {
        first[axis] = at[axis] * cell_[axis];
        coordinate_[axis][i] = static_cast<u16>(first[axis]);
      }
      cell_base_[i] = dot(first, p.stride);
      cell_offset_[i] = dot(at, halved() ? p.level[0].stride : p.stride);
      cell_place_[i] = static_cast<u16>(dot(first, place));
    });
    each(cell_, [&](const i64* at, i64) {
      const i64 j = dot(at, sub);
      for (int axis = 0; axis < p.ndim; ++axis) sub_coordinate_[axis][j] = static_cast<u8>(at[axis]);
      sub_offset_[j] = dot(at, p.stride);
      sub_place_[j] = static_cast<u16>(dot(at, place));
    });

    // From the last level down: the first cells of its voxels, then those of the voxels of the level below, which are added
    // as so many rows as the factor has voxels.
    i64 filled = 1;
    order_[0] = 0;
    const auto expand = [&](const i64* factor, const i64* size) {
      const i64 row = filled;
      each(factor, [&](const i64* at, i64 i) {
        i64 cell = 0;
        for (int axis = 0; axis < p.ndim; ++axis)
          cell += at[axis] * (size == nullptr ? 1 : size[axis]) / cell_[axis] * weight[axis];
        for (i64 n = 0; n < row && i > 0; ++n) order_[filled++] = static_cast<u16>(order_[n] + cell);
      });
    };
    expand(group_, p.level[levels_ - 1].total);
    i64 end = 0;
    for (int k = first_; k < levels_; ++k) {
      out_start_[k] = end;
      i64 footprint = 1;
      for (int axis = 0; axis < p.ndim; ++axis) footprint *= p.level[k].total[axis];
      footprint_[k] = footprint;
      end += voxels_ / footprint;
    }
    out_start_[levels_] = end;
    for (int k = levels_ - 1; k >= first_; --k) {
      const Level& level = p.level[k];
      for (i64 i = 0; i < filled; ++i) {
        const i64 out = out_start_[k] + i;
        out_cell_[out] = order_[i];
        out_offset_[out] = 0;
        for (int axis = 0; axis < p.ndim; ++axis)
          out_offset_[out] += coordinate_[axis][order_[i]] / level.total[axis] * level.stride[axis];
      }
      out_base_[k] = level.out;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 ratio = p.level[levels_ - 1].total[axis] / level.total[axis];
        out_step_[k][axis] = ratio * level.stride[axis];
        out_base_[k] +=
            (p.level[levels_ - 1].voxel_offset[axis] * ratio - level.voxel_offset[axis]) * level.stride[axis];
      }
      const i64 row = filled;
      expand(level.factor, k > 0 ? p.level[k - 1].total : nullptr);
      parts_[k] = filled / row;
    }
    for (i64 i = 0; i < cells_; ++i) output_[order_[i]] = static_cast<u16>(i % first_outputs());

    u16* next = raster_;
    for (int k = first_; k < levels_; next += footprint_[k++]) {
      raster_of_[k] = next;
      i64 turn[max_ndim];
      weigh(p.level[k].total, true, turn);
      each(p.level[k].total, [&](const i64* at, i64) {
        i64 cell = 0, j = 0;
        for (int axis = 0; axis < p.ndim; ++axis) {
          cell += at[axis] / cell_[axis] * weight[axis];
          j += at[axis] % cell_[axis] * sub[axis];
        }
        next[dot(at, turn)] = static_cast<u16>(cell * max_cell + j);
      });
    }

    // what will be read soon: the next row of blocks, or more of these rows where they are longer than the block
    ahead_ = std::abs(span_[0] * p.stride[0]) < line ? 2 * line : p.ndim > 1 ? span_[1] * p.stride[1] : 0;
  }

  // Runs of cells in memory, and of their votes.
  void lay_out_rows() {
    const Problem& p = *problem_;
    run_ = (halved() ? p.level[0].stride : p.stride)[0] == p.codec.width ? span_[0] / cell_[0] : 1;
    row_count_ = 0;
    for (i64 i = 0; i < cells_; i += run_, ++row_count_) {
      rows_[row_count_] = cell_offset_[i];
      agreeing_rows_[row_count_] = 0;
      for (int axis = 0; axis < p.ndim && halved(); ++axis)
        agreeing_rows_[row_count_] += coordinate_[axis][i] / cell_[axis] * agreeing_stride_[axis];
    }
  }

  void locate(const i64* at) {
    const Problem& p = *problem_;
    const Level& top = p.level[levels_ - 1];
    Block& block = block_;
    block.whole = true;
    block.position = 0;
    const char *voxels = p.in, *cells = halved() ? p.level[0].out : p.in;
    i64 counted = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      block.at[axis] = at[axis];
      const i64 start = (top.voxel_offset[axis] + at[axis]) * top.total[axis], from = start - p.voxel_offset[axis];
      block.low[axis] = std::max<i64>(0, -from);
      block.high[axis] = std::min(span_[axis], p.extent[axis] - from);
      block.whole &= from >= 0 && from + span_[axis] <= p.extent[axis];
      block.position += from * p.weight[axis];
      voxels += from * p.stride[axis];
      if (!halved()) continue;
      const i64 cell = (top.voxel_offset[axis] + at[axis]) * cells_up_[axis];
      cells += (cell - p.level[0].voxel_offset[axis]) * p.level[0].stride[axis];
      counted += (cell - tile_origin_[axis]) * agreeing_stride_[axis];
    }
    block.voxels = voxels;
    block.cells = halved() ? cells : voxels;
    block.mode_votes = agreeing_ + counted * votes_width(p.codec.width);
  }

  // The labels of cells, in order of memory, and behind them those of the voxels of cells of more than one.
  template <class U>
  void gather() {
    constexpr i64 width = sizeof(U);
    std::memset(codes_, 0, static_cast<std::size_t>(cells_));
    mixed_count_ = 0;
    if (block_.whole) {
      with_known_size(run_ * width, [&](auto bytes) {
        for (i64 i = 0; i < row_count_; ++i)
          std::memcpy(entries_ + i * bytes, block_.cells + rows_[i], static_cast<std::size_t>(bytes));
      });
      if (!halved()) return;
      u8* same = same_;
      for (i64 row = 0; row < row_count_; ++row)
        for (i64 i = 0; i < run_; ++i) *same++ = is_of_one<U>(agreeing_rows_[row] + i);
    } else {
      gather_part<U>();
    }
    mixed_count_ = find_mixed(same_, cells_, mixed_);
    u8* codes = codes_ + cells_room_;
    const i64 voxels = mixed_count_ * cell_voxels_;
    std::memset(codes, 0, static_cast<std::size_t>(voxels));
    std::memset(codes + voxels, code_none, static_cast<std::size_t>(in_steps(voxels, rank_step) - voxels));
    if (!block_.whole) return look_at_part<U>();
    with_cell_voxels([&](auto count) {
      char* to = entries_ + cells_room_ * width;
      const char* const from = block_.voxels;
      for (i64 m = 0, n = mixed_count_; m < n; ++m) {
        const char* const cell = from + cell_base_[mixed_[m]];
        for (i64 j = 0; j < count; ++j, to += width) std::memcpy(to, cell + sub_offset_[j], sizeof(U));
      }
    });
  }

  // Whether all voxels of a cell are of one label.
  template <class U>
  u8 is_of_one(i64 at) const {
    Votes<U> votes;
    std::memcpy(&votes, block_.mode_votes + at * static_cast<i64>(sizeof(votes)), sizeof(votes));
    return votes == cell_voxels_;
  }

  // visit(their number), known to the compiler: it is of loops of a handful of steps.
  template <class Visit>
  void with_cell_voxels(Visit visit) const {
    cell_voxels_ == 2   ? visit(std::integral_constant<i64, 2>{})
    : cell_voxels_ == 4 ? visit(std::integral_constant<i64, 4>{})
    : cell_voxels_ == 8 ? visit(std::integral_constant<i64, 8>{})
                        : visit(std::integral_constant<i64, 1>{});
  }

  // The cells of several labels.
  static i64 find_mixed(const u8* same, i64 cells, u16* mixed) {
    i64 count = 0;
    for (i64 first = 0; first < cells; first += 8) {
      u64 eight;
      std::memcpy(&eight, same + first, 8);
      if (eight == 0x0101010101010101u) continue;
      for (i64 i = 0; i < 8; ++i, eight >>= 8) {  // no branches: they would be mispredicted
        mixed[count] = static_cast<u16>(first + i);
        count += static_cast<i64>(~eight & 1);
      }
    }
    return count;
  }

  // The voxels of cells of several labels, as far as they exist.
  template <class U>
  void look_at_part() {
    char* to = entries_ + cells_room_ * static_cast<i64>(sizeof(U));
    u8* codes = codes_ + cells_room_;
    for (i64 m = 0; m < mixed_count_; ++m) {
      for (i64 j = 0; j < cell_voxels_; ++j, to += sizeof(U), ++codes) {
        if (exists(mixed_[m], j))
          std::memcpy(to, block_.voxels + cell_base_[mixed_[m]] + sub_offset_[j], sizeof(U));
        else
          *codes = code_none;
      }
    }
  }

  // Cells that do not exist get the code `none`; of those that exist in part the voxels are looked at.
  template <class U>
  void gather_part() {
    const Problem& p = *problem_;
    for (i64 i = 0; i < cells_; ++i) {
      bool whole = true, here = true;
      i64 counted = 0;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 first = coordinate_[axis][i], end = first + cell_[axis];
        whole = whole && first >= block_.low[axis] && end <= block_.high[axis];
        here = here && first < block_.high[axis] && end > block_.low[axis];
        if (halved()) counted += first / cell_[axis] * agreeing_stride_[axis];
      }
      if (!whole) codes_[i] = code_none;
      if (whole) std::memcpy(entries_ + i * static_cast<i64>(sizeof(U)), block_.cells + cell_offset_[i], sizeof(U));
      same_[i] = whole ? (halved() ? is_of_one<U>(counted) : u8{1}) : !here;
    }
  }

  // Whether the j-th voxel of a cell exists.
  bool exists(i64 cell, i64 j) const {
    bool here = true;
    for (int axis = 0; axis < problem_->ndim; ++axis) {
      const i64 at = coordinate_[axis][cell] + sub_coordinate_[axis][j];
      here = here && at >= block_.low[axis] && at < block_.high[axis];
    }
    return here;
  }

  // Of the first level written here; 1 where none is, for the votes of the block as a whole.
  i64 first_outputs() const { return levels_ > first_ ? out_start_[first_ + 1] : 1; }

  // Votes of every rank in every footprint.
  void count() {
    const i64 outputs = first_outputs();
    for (i64 m = 0; m < mixed_count_; ++m) codes_[mixed_[m]] = code_none;
    for (int word = 0; 4 * word < ranks_; ++word) {
      u64* votes = votes_ + word * outputs_room_;
      const i64 shift = max_ranks - 1 - 4 * word;  // of a code's unit; code_none's bits beyond 63 do not matter
      const i64 parts = cells_ / outputs;
      const auto sum_cells = [&](auto known) { sum(codes_, order_, known, outputs, cell_units_ + shift, votes); };
      parts == 4   ? sum_cells(std::integral_constant<i64, 4>{})
      : parts == 8 ? sum_cells(std::integral_constant<i64, 8>{})
                   : sum_cells(parts);
      const auto sum_voxels = [&](auto known) {
        add(codes_ + cells_room_, known, units_ + shift, mixed_, mixed_count_, output_, votes);
      };
      with_cell_voxels(sum_voxels);
      for (int k = first_ + 1; k < levels_; ++k) {
        const i64 n = out_start_[k + 1] - out_start_[k];
        problem_->kernels->add_votes(votes + out_start_[k - 1], votes + out_start_[k], parts_[k], n);
      }
    }
  }
  template <class Parts>
  static void sum(const u8* codes, const u16* order, Parts parts, i64 n, const u64* unit, u64* votes) {
    for (i64 i = 0; i < n; ++i) {
      u64 all = 0;
      for (i64 part = 0; part < parts; ++part) all += unit[codes[order[part * n + i]] & 63];
      votes[i] = all;
    }
  }
  template <class Voxels>
  static void add(const u8* code, Voxels voxels, const u64* unit, const u16* mixed, i64 n, const u16* output,
                  u64* votes) {
    for (i64 m = 0; m < n; ++m) {
      u64 all = 0;
      for (i64 j = 0; j < voxels; ++j) all += unit[*code++ & 63];
      votes[output[mixed[m]]] += all;
    }
  }

  // The votes of a rank in the i-th output.
  i64 votes_of(int rank, i64 i) const { return votes_[rank / 4 * outputs_room_ + i] >> rank % 4 * 16 & 0xffff; }

  // Among the labels with the most votes: the lowest, or the one that comes first in raster order.
  u16 settle(int k, i64 i) const {
    if (most_[i] == 0) return static_cast<u16>(ranks_);  // code_none
    int best = winner_[i] & ~tie_bit;
    u64 tied = 0;
    for (int r = best; r < ranks_; ++r) {
      if (votes_of(r, i) != most_[i]) continue;
      tied |= u64{1} << r;
      if (keys_[r] < keys_[best]) best = r;
    }
    if (options_.ties == Ties::lowest) return static_cast<u16>(best);
    for (const u16* voxel = raster_of_[k];; ++voxel) {
      const i64 cell = out_cell_[i] + *voxel / max_cell;
      const u8 code =
          same_[cell] ? codes_[cell] : codes_[cells_room_ + number_of(cell) * cell_voxels_ + *voxel % max_cell];
      if (code != code_none && (tied >> (code - 1) & 1) != 0) return static_cast<u16>(code - 1);
    }
  }

  // Which of the cells of several labels this one is.
  i64 number_of(i64 cell) const { return std::lower_bound(mixed_, mixed_ + mixed_count_, cell) - mixed_; }

  // The labels of the block's one voxel of its last level.
  void hand_on(Label* labels) {
    const i64 last = std::max<i64>(0, out_start_[levels_] - 1);
    for (i64 m = 0; m < mixed_count_; ++m)
      for (i64 j = 0; j < cell_voxels_; ++j)
        places_[cells_room_ + m * cell_voxels_ + j] = static_cast<u16>(cell_place_[mixed_[m]] + sub_place_[j]);
    const i64 entries = in_steps(cells_room_ + mixed_count_ * cell_voxels_, rank_step);
    for (int r = 0; r < ranks_; ++r) {
      const int place = problem_->kernels->first_place(codes_, places_, entries, static_cast<u8>(r + 1));
      labels[r] = {keys_[r], votes_of(r, last), block_.position + position_[place]};
    }
  }

  template <class U>
  void write() {
    const Problem& p = *problem_;
    for (int k = first_; k < levels_; ++k) {
      char* out = out_base_[k];
      for (int axis = 0; axis < p.ndim; ++axis) out += block_.at[axis] * out_step_[k][axis];
      const i64 first = out_start_[k], n = out_start_[k + 1] - first;
      if (block_.whole)
        put<U>(out, out_offset_ + first, winner_ + first, values_, n);
      else
        for (i64 i = first; i < first + n; ++i)
          if (exists_output(k, i)) put<U>(out, out_offset_ + i, winner_ + i, values_, 1);
    }
  }
  template <class U>
  static void put(char* out, const i64* offset, const u16* winner, const u64* values, i64 n) {
    for (i64 i = 0; i < n; ++i) {
      const U voxel = static_cast<U>(values[winner[i]]);
      std::memcpy(out + offset[i], &voxel, sizeof(U));
    }
  }
  // Whether any voxel of an output's footprint exists.
  bool exists_output(int k, i64 i) const {
    bool here = true;
    for (int axis = 0; axis < problem_->ndim; ++axis) {
      const i64 first = coordinate_[axis][out_cell_[i]];
      here = here && first + problem_->level[k].total[axis] > block_.low[axis] && first < block_.high[axis];
    }
    return here;
  }

  static constexpr i64 line = 64, max_cell = max_small_footprint;

  const Options& options_;
  const u64 ignore_;
  u64 ignore_value_ = 0;
  const Problem* problem_ = nullptr;
  int first_ = 0, levels_ = 0;                    // the first level that is written here, and how many there are
  i64 group_[max_ndim], span_[max_ndim];          // of a block: voxels of its last level, of the base
  i64 cell_[max_ndim], cells_up_[max_ndim];       // voxels of a cell; cells of a voxel of the last level
  i64 voxels_ = 0, cells_ = 0, cell_voxels_ = 1;  // of a block; of a cell
  // By cell, in order of memory: its first voxel in the block; its place in raster order; where it lies in memory, and where
  // in the base; the output of the first level written here to which it belongs.
  u16 coordinate_[max_ndim][max_block], cell_place_[max_block], output_[max_block];
  i64 cell_offset_[max_block], cell_base_[max_block];
  i64 sub_offset_[max_small_footprint];  // by voxel of a cell: where it lies, and its place, counted from the first one
  u16 sub_place_[max_small_footprint];
  u8 sub_coordinate_[max_ndim][max_small_footprint];
  u16 order_[max_block];     // cells, as their votes are summed
  i64 position_[max_block];  // by place
  // Outputs, level after level: which ones, how many are summed for each, their first cells, where they are written.
  i64 out_start_[max_levels + 1], parts_[max_levels], footprint_[max_levels];
  u16 out_cell_[2 * max_block];
  i64 out_offset_[2 * max_block], out_step_[max_levels][max_ndim];
  char* out_base_[max_levels];
  u16 raster_[2 * max_block];  // voxels of a level's footprint in raster order: max_cell * cell + voxel
  const u16* raster_of_[max_levels];
  i64 rows_[max_block], agreeing_rows_[max_block], row_count_ = 0, run_ = 1, ahead_ = 0;
  i64 agreeing_stride_[max_ndim], tile_origin_[max_ndim];
  // A voxel's vote for a rank, and a cell's, from max_ranks on.
  u64 units_[max_ranks + 64] = {}, cell_units_[max_ranks + 64] = {};

  Arena memory_;
  i64 cells_room_ = 0, outputs_room_ = 0;
  char *agreeing_ = nullptr, *entries_ = nullptr;  // labels of cells, and from cells_room_ on those of voxels
  u8 *codes_ = nullptr, *same_ = nullptr;
  u16* places_ = nullptr;
  u64* votes_ = nullptr;

  // the block at hand
  Block block_;
  u16 mixed_[max_block + 1];  // cells of several labels
  i64 mixed_count_ = 0;
  int ranks_ = 0;
  u64 keys_[max_ranks + 1], values_[max_ranks + 1];
  u16 most_[2 * max_block], winner_[2 * max_block];
};

}  // namespace tinypyr
