// Modes by counting, block by block, for several levels at once.
//
// Most cells (see mode/block_layout.hpp) hold one label; the others, mixed cells, are counted voxel by voxel. Labels
// are ranked in the order in which they occur. The votes of four ranks share one 64-bit number, so the votes of a
// footprint are the sum of such numbers, and the rank with the most votes wins.
//
// Assumes: footprints of the block's levels have at most good_block voxels (BlockShape). If the first level is pooled
// already, that level and its ModeVotes are written for the tile.
// Guarantees: exact modes of all levels of a block, for any dtype, strides, ties and ignored value. A block with more
// than max_ranks labels is not written, and Outcome::too_many_labels is returned.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/arena.hpp"
#include "block_layout.hpp"
#include "label_list.hpp"
#include "outcome.hpp"

namespace tinypyr {

// Computes modes by ranks. Call start once per problem, then make for each block.
class RankBlocks {
 public:
  RankBlocks(const Options& options, u64 ignore) : options_(options), ignore_(ignore) {
    for (int lane = 0; lane < 4; ++lane) voxel_units_[max_ranks + lane] = u64{1} << 16 * lane;
  }

  // votes: votes of the current tile, which may change between blocks; used only if the first level is pooled. Return
  // false if memory runs out.
  bool start(const Problem& problem, const BlockShape& shape, const ModeVotes& votes) {
    problem_ = &problem;
    shape_ = shape;
    tile_votes_ = &votes;
    layout_.lay_out(problem, shape, &votes);
    for (int lane = 0; lane < 4; ++lane)
      cell_units_[max_ranks + lane] = voxel_units_[max_ranks + lane] * static_cast<u64>(shape.cell_voxels);
    ignore_value_ = ignore_;
    if (!problem.codec.is_identity()) problem.rows().decode(&ignore_value_, 1, problem.codec);
    return allocate();
  }

  // Compute the block whose first voxel on its last level is `at`. If there are levels above, pass its labels to
  // sink(labels, count).
  template <class Sink>
  Outcome make(const i64* at, Sink sink) {
    const Problem& p = *problem_;
    locate(at);
    prefetch_ahead();
    with_unsigned(p.codec.width, [&](auto u) { gather<decltype(u)>(); });
    if (!rank_labels()) return Outcome::too_many_labels;
    const bool one_label = has_one_label();
    if (ranks_.count == 0 || one_label) {
      std::fill(winner_, winner_ + layout_.output.start[shape_.levels], u16{0});
    } else {
      count_votes();
      pick_winners();
    }
    with_unsigned(p.codec.width, [&](auto u) { write<decltype(u)>(); });
    if (shape_.levels == p.levels) return Outcome::done;
    Label labels[max_ranks];
    if (one_label)
      labels[0] = {ranks_.key[0], shape_.voxels, block_.position};
    else
      list_labels(labels);
    sink(labels, ranks_.count);
    return Outcome::done;
  }

 private:
  // The current block.
  struct Block {
    i64 position;
    bool whole;  // all its voxels exist
    const char *voxels, *cells, *votes;
    i64 at[max_ndim], low[max_ndim], high[max_ndim];  // low, high: the range of its voxels that exist
  };

  // The cells in order of memory; from index cells_room on, the voxels of mixed cells, cell by cell.
  struct Entries {
    char* label = nullptr;
    u8 *code = nullptr, *uniform = nullptr;  // uniform: 1 for cells of one label
    u16* place = nullptr;
    i64 cells_room = 0;
  };

  // Votes of all outputs, one row of `room` numbers for every four ranks.
  struct VoteWords {
    u64* word = nullptr;
    i64 room = 0;
  };

  struct Mixed {
    u16 cell[max_block + 1];
    i64 count = 0;
  };

  // Labels by rank, as keys and as voxels. The entry after the last rank is the ignored value.
  struct Ranks {
    int count = 0;
    u64 key[max_ranks + 1], value[max_ranks + 1];
  };

  static constexpr i64 in_steps(i64 n, i64 step) { return ceil_div(n, step) * step; }
  bool has_pooled_cells() const { return shape_.has_pooled_cells(); }

  bool allocate() {
    const i64 mixed_room = has_pooled_cells() ? in_steps(shape_.voxels, code_step) : 0;
    entries_.cells_room = in_steps(shape_.cells, code_step);
    const i64 entries = entries_.cells_room + mixed_room, width = problem_->codec.width;
    words_.room = in_steps(std::max<i64>(1, layout_.output.start[shape_.levels]), 8);
    const bool has_room = memory_.allocate([&](auto& take) {
      entries_.label = take.template array<char>(entries * width);
      entries_.code = take.template array<u8>(entries);
      entries_.uniform = take.template array<u8>(entries);
      entries_.place = take.template array<u16>(entries);
      words_.word = take.template array<u64>(max_ranks / 4 * words_.room);
    });
    if (!has_room) return false;
    std::memset(memory_.data(), 0, static_cast<std::size_t>(memory_.size()));
    std::memset(entries_.uniform, 1, static_cast<std::size_t>(entries));
    std::memset(entries_.code, code_none, static_cast<std::size_t>(entries));
    std::fill(words_.word, words_.word + words_.room, u64{1});  // after the last output: no tie
    std::copy(layout_.cell.place, layout_.cell.place + shape_.cells, entries_.place);
    return true;
  }

  void locate(const i64* at) {
    const Problem& p = *problem_;
    const Level& top = p.level[shape_.levels - 1];
    Block& block = block_;
    block.whole = true;
    block.position = 0;
    const char *voxels = p.in, *cells = has_pooled_cells() ? p.level[0].out : p.in;
    i64 votes = 0;
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 span = shape_.span[axis];
      block.at[axis] = at[axis];
      const i64 start = (top.voxel_offset[axis] + at[axis]) * top.total[axis], from = start - p.voxel_offset[axis];
      block.low[axis] = std::max<i64>(0, -from);
      block.high[axis] = std::min(span, p.extent[axis] - from);
      block.whole &= from >= 0 && from + span <= p.extent[axis];
      block.position += from * p.weight[axis];
      voxels += from * p.stride[axis];
      if (!has_pooled_cells()) continue;
      const i64 cell = (top.voxel_offset[axis] + at[axis]) * shape_.cells_per_voxel[axis];
      cells += (cell - p.level[0].voxel_offset[axis]) * p.level[0].stride[axis];
      votes += (cell - tile_votes_->voxel_offset[axis]) * tile_votes_->stride[axis];
    }
    block.voxels = voxels;
    block.cells = has_pooled_cells() ? cells : voxels;
    block.votes = tile_votes_->data + votes * votes_width(p.codec.width);
  }

  // Prefetch cells of the base, which have not been read before. (Inlining is forced: GCC treats a function that only
  // prefetches as one without effects, and removes calls to it.)
  TINYPYR_INLINE void prefetch_ahead() const {
    const Problem& p = *problem_;
    const BlockLayout::Runs& run = layout_.run;
    if (has_pooled_cells()) return;
    if (run.ahead == 2 * cache_line && (block_.cells - p.in) % cache_line >= shape_.span[0] * p.codec.width) return;
    for (i64 i = 0; i < run.count; ++i) prefetch_to_second(block_.cells + run.offset[i] + run.ahead, 1);
  }

  // --- entries ------------------------------------------------------------------------------------------------------

  // Read the labels of cells, find the mixed cells, and read the labels of their voxels.
  template <class U>
  void gather() {
    std::memset(entries_.code, 0, static_cast<std::size_t>(shape_.cells));
    mixed_.count = 0;
    if (!block_.whole) {
      gather_cut_cells<U>();
    } else {
      gather_cells<U>();
      if (!has_pooled_cells()) return;
    }
    find_mixed();
    u8* codes = entries_.code + entries_.cells_room;
    const i64 voxels = mixed_.count * shape_.cell_voxels;
    std::memset(codes, 0, static_cast<std::size_t>(voxels));
    std::memset(codes + voxels, code_none, static_cast<std::size_t>(in_steps(voxels, code_step) - voxels));
    block_.whole ? gather_mixed<U>() : gather_cut_mixed<U>();
  }

  template <class U>
  void gather_cells() {
    constexpr i64 width = sizeof(U);
    const BlockLayout::Runs& run = layout_.run;
    with_known_size(run.length * width, [&](auto bytes) {
      for (i64 i = 0; i < run.count; ++i)
        std::memcpy(entries_.label + i * bytes, block_.cells + run.offset[i], static_cast<std::size_t>(bytes));
    });
    if (!has_pooled_cells()) return;
    u8* uniform = entries_.uniform;
    for (i64 r = 0; r < run.count; ++r)
      for (i64 i = 0; i < run.length; ++i) *uniform++ = is_uniform<U>(run.votes[r] + i);
  }

  // Return 1 if all voxels of a cell have its label.
  template <class U>
  u8 is_uniform(i64 cell) const {
    Votes<U> votes;
    std::memcpy(&votes, block_.votes + cell * static_cast<i64>(sizeof(votes)), sizeof(votes));
    return votes == shape_.cell_voxels;
  }

  // Set the codes of missing cells to code_none, and of partial cells too, whose voxels are counted like those of mixed
  // cells.
  template <class U>
  void gather_cut_cells() {
    const Problem& p = *problem_;
    const BlockLayout::Cells& cell = layout_.cell;
    for (i64 i = 0; i < shape_.cells; ++i) {
      bool whole = true, exists = true;
      i64 votes = 0;
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 first = cell.coordinate[axis][i], end = first + shape_.cell[axis];
        whole = whole && first >= block_.low[axis] && end <= block_.high[axis];
        exists = exists && first < block_.high[axis] && end > block_.low[axis];
        if (has_pooled_cells()) votes += first / shape_.cell[axis] * tile_votes_->stride[axis];
      }
      if (!whole) entries_.code[i] = code_none;
      if (whole)
        std::memcpy(entries_.label + i * static_cast<i64>(sizeof(U)), block_.cells + cell.offset[i], sizeof(U));
      entries_.uniform[i] = whole ? (has_pooled_cells() ? is_uniform<U>(votes) : u8{1}) : !exists;
    }
  }

  void find_mixed() {
    const u8* const uniform = entries_.uniform;
    u16* const mixed = mixed_.cell;
    i64 count = 0;
    for (i64 first = 0, cells = shape_.cells; first < cells; first += 8) {
      u64 eight;
      std::memcpy(&eight, uniform + first, 8);
      if (eight == 0x0101010101010101u) continue;
      for (i64 i = 0; i < 8; ++i, eight >>= 8) {  // without branches, which could not be predicted
        mixed[count] = static_cast<u16>(first + i);
        count += static_cast<i64>(~eight & 1);
      }
    }
    mixed_.count = count;
  }

  template <class U>
  void gather_mixed() {
    constexpr i64 width = sizeof(U);
    with_cell_voxels([&](auto count) {
      char* to = entries_.label + entries_.cells_room * width;
      const char* const from = block_.voxels;
      for (i64 m = 0, n = mixed_.count; m < n; ++m) {
        const char* const cell = from + layout_.cell.base_offset[mixed_.cell[m]];
        for (i64 j = 0; j < count; ++j, to += width) std::memcpy(to, cell + layout_.voxel.offset[j], sizeof(U));
      }
    });
  }

  // List the voxels of a cell of which some may not exist.
  template <class U>
  void gather_cut_mixed() {
    char* to = entries_.label + entries_.cells_room * static_cast<i64>(sizeof(U));
    u8* code = entries_.code + entries_.cells_room;
    for (i64 m = 0; m < mixed_.count; ++m) {
      const i64 cell = mixed_.cell[m];
      for (i64 j = 0; j < shape_.cell_voxels; ++j, to += sizeof(U), ++code) {
        if (voxel_exists(cell, j))
          std::memcpy(to, block_.voxels + layout_.cell.base_offset[cell] + layout_.voxel.offset[j], sizeof(U));
        else
          *code = code_none;
      }
    }
  }

  bool voxel_exists(i64 cell, i64 j) const {
    bool exists = true;
    for (int axis = 0; axis < problem_->ndim; ++axis) {
      const i64 at = layout_.cell.coordinate[axis][cell] + layout_.voxel.coordinate[axis][j];
      exists = exists && at >= block_.low[axis] && at < block_.high[axis];
    }
    return exists;
  }

  // Call visit with the number of voxels in a cell as a compile-time constant, because its loops have few steps.
  template <class Visit>
  void with_cell_voxels(Visit visit) const {
    const i64 voxels = shape_.cell_voxels;
    voxels == 2   ? visit(std::integral_constant<i64, 2>{})
    : voxels == 4 ? visit(std::integral_constant<i64, 4>{})
    : voxels == 8 ? visit(std::integral_constant<i64, 8>{})
                  : visit(std::integral_constant<i64, 1>{});
  }

  // The number of entries, including padding.
  i64 entry_count() const { return in_steps(entries_.cells_room + mixed_.count * shape_.cell_voxels, code_step); }

  // --- ranks and votes ----------------------------------------------------------------------------------------------

  // Give each entry the code of its label. Return false if there are more than max_ranks labels.
  bool rank_labels() {
    const Problem& p = *problem_;
    const bool identity = p.codec.is_identity();
    const i64 entries = entry_count();
    if (!identity) p.rows().encode(entries_.label, entries_.label, entries, p.codec);
    const int count = p.rows().rank_labels(entries_.label, entries, entries_.code,
                                           options_.has_ignore ? &ignore_ : nullptr, max_ranks, ranks_.key);
    if (count > max_ranks) return false;
    ranks_.count = count;
    ranks_.value[count] = ignore_value_;
    for (int r = 0; r < count; ++r) {
      ranks_.value[r] = ranks_.key[r];
      if (!identity) p.rows().decode(&ranks_.value[r], 1, p.codec);
    }
    return true;
  }

  // Return true if every voxel of the block exists, counts, and has the same label.
  bool has_one_label() const {
    return ranks_.count == 1 && block_.whole && mixed_.count == 0 &&
           (!options_.has_ignore ||
            std::memchr(entries_.code, code_none, static_cast<std::size_t>(shape_.cells)) == nullptr);
  }

  // Count the votes of every rank in every output.
  void count_votes() {
    const i64 outputs = layout_.first_outputs(shape_), parts = shape_.cells / outputs;
    const u8* const codes = entries_.code;
    for (i64 m = 0; m < mixed_.count; ++m) entries_.code[mixed_.cell[m]] = code_none;
    for (int word = 0; 4 * word < ranks_.count; ++word) {
      u64* votes = words_.word + word * words_.room;
      const i64 shift = max_ranks - 1 - 4 * word;  // of a code's unit; code_none's bits beyond 63 do not matter
      const auto add_cells = [&](auto known) {
        add_cell_votes(codes, layout_.cell.order, known, outputs, cell_units_ + shift, votes);
      };
      parts == 4   ? add_cells(std::integral_constant<i64, 4>{})
      : parts == 8 ? add_cells(std::integral_constant<i64, 8>{})
                   : add_cells(parts);
      with_cell_voxels([&](auto known) {
        add_mixed_votes(codes + entries_.cells_room, known, voxel_units_ + shift, mixed_.cell, mixed_.count,
                        layout_.cell.output, votes);
      });
      for (int k = shape_.first + 1; k < shape_.levels; ++k) {
        const i64* const start = layout_.output.start;
        problem_->kernels->add_votes(votes + start[k - 1], votes + start[k], layout_.output.parts[k],
                                     start[k + 1] - start[k]);
      }
    }
  }

  template <class Parts>
  static void add_cell_votes(const u8* codes, const u16* order, Parts parts, i64 n, const u64* unit, u64* votes) {
    for (i64 i = 0; i < n; ++i) {
      u64 all = 0;
      for (i64 part = 0; part < parts; ++part) all += unit[codes[order[part * n + i]] & 63];
      votes[i] = all;
    }
  }

  template <class Voxels>
  static void add_mixed_votes(const u8* code, Voxels voxels, const u64* unit, const u16* mixed, i64 n,
                              const u16* output, u64* votes) {
    for (i64 m = 0; m < n; ++m) {
      u64 all = 0;
      for (i64 j = 0; j < voxels; ++j) all += unit[*code++ & 63];
      votes[output[mixed[m]]] += all;
    }
  }

  // Return the votes of a rank in an output.
  i64 votes_of(int rank, i64 output) const {
    return words_.word[rank / 4 * words_.room + output] >> rank % 4 * 16 & 0xffff;
  }

  void pick_winners() {
    const i64* const start = layout_.output.start;
    const i64 outputs = start[shape_.levels];
    if (outputs == 0 ||
        !problem_->kernels->most_votes(words_.word, words_.room, ranks_.count, words_.room, most_, winner_))
      return;
    for (int k = shape_.first; k < shape_.levels; ++k)
      for (i64 i = start[k]; i < start[k + 1]; ++i)
        if (winner_[i] & tie_bit) winner_[i] = break_tie(k, i);
  }

  // Choose among the labels with the most votes: the lowest, or the one whose first voxel comes first in raster order.
  u16 break_tie(int k, i64 output) const {
    if (most_[output] == 0) return static_cast<u16>(ranks_.count);  // no voxel counts
    int best = winner_[output] & ~tie_bit;
    u64 tied = 0;
    for (int r = best; r < ranks_.count; ++r) {
      if (votes_of(r, output) != most_[output]) continue;
      tied |= u64{1} << r;
      if (ranks_.key[r] < ranks_.key[best]) best = r;
    }
    if (options_.ties == Ties::lowest) return static_cast<u16>(best);
    for (const u16* voxel = layout_.output.raster_of[k];; ++voxel) {
      const u8 code = code_of(layout_.output.cell[output] + *voxel / max_cell, *voxel % max_cell);
      if (code != code_none && (tied >> (code - 1) & 1) != 0) return static_cast<u16>(code - 1);
    }
  }

  // Return the code of a cell's voxel.
  u8 code_of(i64 cell, i64 voxel) const {
    if (entries_.uniform[cell]) return entries_.code[cell];
    const i64 number = std::lower_bound(mixed_.cell, mixed_.cell + mixed_.count, cell) - mixed_.cell;
    return entries_.code[entries_.cells_room + number * shape_.cell_voxels + voxel];
  }

  // --- results ------------------------------------------------------------------------------------------------------

  // Write the labels of the block's only voxel on its last level.
  void list_labels(Label* labels) {
    const i64 last = std::max<i64>(0, layout_.output.start[shape_.levels] - 1);
    for (i64 m = 0; m < mixed_.count; ++m)
      for (i64 j = 0; j < shape_.cell_voxels; ++j)
        entries_.place[entries_.cells_room + m * shape_.cell_voxels + j] =
            static_cast<u16>(layout_.cell.place[mixed_.cell[m]] + layout_.voxel.place[j]);
    const i64 entries = entry_count();
    for (int r = 0; r < ranks_.count; ++r) {
      const u8 code = static_cast<u8>(r + 1);
      const int place = problem_->kernels->first_place(entries_.code, entries_.place, entries, code);
      labels[r] = {ranks_.key[r], votes_of(r, last), block_.position + layout_.position[place]};
    }
  }

  template <class U>
  void write() const {
    const Problem& p = *problem_;
    const BlockLayout::Outputs& output = layout_.output;
    for (int k = shape_.first; k < shape_.levels; ++k) {
      char* out = output.data[k];
      for (int axis = 0; axis < p.ndim; ++axis) out += block_.at[axis] * output.step[k][axis];
      const i64 first = output.start[k], n = output.start[k + 1] - first;
      if (block_.whole)
        put<U>(out, output.offset + first, winner_ + first, ranks_.value, n);
      else
        for (i64 i = first; i < first + n; ++i)
          if (output_exists(k, i)) put<U>(out, output.offset + i, winner_ + i, ranks_.value, 1);
    }
  }

  template <class U>
  static void put(char* out, const i64* offset, const u16* winner, const u64* value, i64 n) {
    for (i64 i = 0; i < n; ++i) {
      const U voxel = static_cast<U>(value[winner[i]]);
      std::memcpy(out + offset[i], &voxel, sizeof(U));
    }
  }

  // Return true if any voxel of an output's footprint exists.
  bool output_exists(int k, i64 output) const {
    bool exists = true;
    for (int axis = 0; axis < problem_->ndim; ++axis) {
      const i64 first = layout_.cell.coordinate[axis][layout_.output.cell[output]];
      exists = exists && first + problem_->level[k].total[axis] > block_.low[axis] && first < block_.high[axis];
    }
    return exists;
  }

  const Options& options_;
  const u64 ignore_;
  u64 ignore_value_ = 0;
  const Problem* problem_ = nullptr;
  const ModeVotes* tile_votes_ = nullptr;
  BlockShape shape_;
  BlockLayout layout_;
  // The vote of a voxel, and the votes of a cell, for rank r, at index max_ranks + r.
  u64 voxel_units_[max_ranks + 64] = {}, cell_units_[max_ranks + 64] = {};
  Arena memory_;
  Entries entries_;
  VoteWords words_;
  Block block_;
  Mixed mixed_;
  Ranks ranks_;
  u16 most_[2 * max_block], winner_[2 * max_block];  // by output: the most votes; the rank that has them
};

}  // namespace tinypyr
