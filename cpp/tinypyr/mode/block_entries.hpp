// The entries of a block: the labels that are counted, with their codes (kernels/table.hpp).
//
// The first entries are the cells of the block, in order of memory. A mixed cell holds several labels, or lacks some of
// its voxels; its voxels are entries too, from index first_mixed on, cell by cell and in raster order. Entries that do
// not count (voxels outside the array, ignored voxels, padding) have code_none.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/arena.hpp"
#include "../core/problem.hpp"
#include "block_layout.hpp"

namespace tinypyr {

// Arrays of codes and votes are padded, so that kernels need no loops for remainders.
constexpr i64 padded(i64 n, i64 step) { return ceil_div(n, step) * step; }

// Order of calls: allocate, once per problem. Then, for each block, EntryGatherer fills in the labels, the mixed cells
// and the codes that do not depend on labels, and BlockRanks the other codes.
struct BlockEntries {
  char* label = nullptr;
  u8* code = nullptr;
  u8* uniform = nullptr;  // by cell: 1 unless the cell is mixed
  u16* place = nullptr;   // of the entry's first voxel (BlockLayout); of voxels of mixed cells: only if needed
  i64 first_mixed = 0;
  u16 mixed[max_block + 1];  // the mixed cells, in increasing order
  i64 mixed_count = 0;

  BlockEntries() = default;
  BlockEntries(const BlockEntries&) = delete;
  BlockEntries& operator=(const BlockEntries&) = delete;

  // Return false if memory runs out.
  bool allocate(const BlockLayout& layout, int width) {
    const BlockShape& shape = layout.shape;
    first_mixed = padded(shape.cells, code_step);
    const i64 entries = first_mixed + (shape.has_pooled_cells() ? padded(shape.voxels, code_step) : 0);
    const bool has_memory = memory_.allocate([&](auto& take) {
      label = take.template array<char>(entries * width);
      code = take.template array<u8>(entries);
      uniform = take.template array<u8>(entries);
      place = take.template array<u16>(entries);
    });
    if (!has_memory) return false;
    std::memset(memory_.data(), 0, static_cast<std::size_t>(memory_.size()));
    std::memset(uniform, 1, static_cast<std::size_t>(entries));
    std::memset(code, code_none, static_cast<std::size_t>(entries));
    std::copy(layout.cell.place, layout.cell.place + shape.cells, place);
    return true;
  }

  // The number of entries, including padding.
  i64 count(const BlockShape& shape) const { return padded(first_mixed + mixed_count * shape.cell_voxels, code_step); }

  // Return the code of a cell's voxel.
  u8 code_of(const BlockShape& shape, i64 cell, i64 voxel) const {
    if (uniform[cell]) return code[cell];
    const i64 number = std::lower_bound(mixed, mixed + mixed_count, cell) - mixed;
    return code[first_mixed + number * shape.cell_voxels + voxel];
  }

 private:
  Arena memory_;
};

}  // namespace tinypyr
