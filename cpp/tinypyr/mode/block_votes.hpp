// The votes of each rank in each output of a block.
//
// The votes of four ranks share one 64-bit number, a word, with 16 bits each. Addition of words adds the votes of four
// ranks at once, so the votes of a level are sums of rows of the level below.
#pragma once

#include <algorithm>
#include <type_traits>

#include "../core/arena.hpp"
#include "../core/problem.hpp"
#include "block_entries.hpp"

namespace tinypyr {

// Order of calls: start, once per problem; then, for each block, count and everything else.
class BlockVotes {
 public:
  explicit BlockVotes(const BlockLayout& layout) : layout_(layout) {
    for (int lane = 0; lane < 4; ++lane) voxel_units_[max_ranks + lane] = u64{1} << 16 * lane;
  }

  // Return false if memory runs out.
  bool start(const Problem& problem) {
    kernels_ = problem.kernels;
    const BlockShape& shape = layout_.shape;
    for (int lane = 0; lane < 4; ++lane)
      cell_units_[max_ranks + lane] = voxel_units_[max_ranks + lane] * static_cast<u64>(shape.cell_voxels);
    row_length_ = padded(std::max<i64>(1, layout_.output.start[shape.levels]), 8);
    const i64 words = max_ranks / 4 * row_length_;
    if (!memory_.allocate([&](auto& take) { words_ = take.template array<u64>(words); })) return false;
    std::fill(words_, words_ + row_length_, u64{1});  // after the last output: no tie
    std::fill(words_ + row_length_, words_ + words, u64{0});
    return true;
  }

  // Count the votes of `ranks` ranks. The codes of mixed cells are set to code_none.
  void count(BlockEntries& entries, int ranks) {
    const BlockShape& shape = layout_.shape;
    const i64 outputs = layout_.first_outputs(), parts = shape.cells / outputs;
    const u8* const codes = entries.code;
    for (i64 m = 0; m < entries.mixed_count; ++m) entries.code[entries.mixed[m]] = code_none;
    for (int word = 0; 4 * word < ranks; ++word) {
      u64* votes = words_ + word * row_length_;
      const i64 shift = max_ranks - 1 - 4 * word;  // of a code's unit; code_none's bits beyond 63 do not matter
      const auto add_cells = [&](auto known) {
        add_cell_votes(codes, layout_.cell.order, known, outputs, cell_units_ + shift, votes);
      };
      parts == 4   ? add_cells(std::integral_constant<i64, 4>{})
      : parts == 8 ? add_cells(std::integral_constant<i64, 8>{})
                   : add_cells(parts);
      shape.with_cell_voxels([&](auto known) {
        add_mixed_votes(codes + entries.first_mixed, known, voxel_units_ + shift, entries.mixed, entries.mixed_count,
                        layout_.cell.output, votes);
      });
      for (int k = shape.first + 1; k < shape.levels; ++k) {
        const i64* const start = layout_.output.start;
        kernels_->add_votes(votes + start[k - 1], votes + start[k], layout_.output.parts[k], start[k + 1] - start[k]);
      }
    }
  }

  // Return the votes of a rank in an output.
  i64 of(int rank, i64 output) const { return words_[rank / 4 * row_length_ + output] >> rank % 4 * 16 & 0xffff; }
  // Rows of words, one for every four ranks, with one word per output.
  const u64* words() const { return words_; }
  i64 row_length() const { return row_length_; }

 private:
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

  const BlockLayout& layout_;
  const Kernels* kernels_ = nullptr;
  // The vote of a voxel, and the votes of a cell, for rank r, at index max_ranks + r.
  u64 voxel_units_[max_ranks + 64] = {}, cell_units_[max_ranks + 64] = {};
  u64* words_ = nullptr;
  i64 row_length_ = 0;
  Arena memory_;
};

}  // namespace tinypyr
