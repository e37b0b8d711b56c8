// Reading of a block's labels from memory: from the first level if it has been pooled, and otherwise from the base.
#pragma once

#include <cstring>

#include "../core/rows.hpp"
#include "block_entries.hpp"
#include "current_block.hpp"

namespace tinypyr {

// Fills the entries of blocks. Order of calls: start, once per problem; then gather for each block.
class EntryGatherer {
 public:
  EntryGatherer(const BlockLayout& layout, const CurrentBlock& block, BlockEntries& entries)
      : layout_(layout), block_(block), entries_(entries) {}

  void start(const Problem& problem) { problem_ = &problem; }

  // Read the labels of cells, find the mixed cells, and read the labels of their voxels. Codes are set to 0, or to
  // code_none for voxels that do not exist.
  template <class U>
  void gather() {
    const BlockShape& shape = layout_.shape;
    std::memset(entries_.code, 0, static_cast<std::size_t>(shape.cells));
    entries_.mixed_count = 0;
    if (!block_.whole) {
      gather_cut_cells<U>();
    } else {
      gather_cells<U>();
      if (!shape.has_pooled_cells()) return;
    }
    find_mixed();
    u8* codes = entries_.code + entries_.first_mixed;
    const i64 voxels = entries_.mixed_count * shape.cell_voxels;
    std::memset(codes, 0, static_cast<std::size_t>(voxels));
    std::memset(codes + voxels, code_none, static_cast<std::size_t>(padded(voxels, code_step) - voxels));
    block_.whole ? gather_mixed<U>() : gather_cut_mixed<U>();
  }

 private:
  template <class U>
  void gather_cells() {
    constexpr i64 width = sizeof(U);
    const BlockLayout::Runs& run = layout_.run;
    with_known_size(run.length * width, [&](auto bytes) {
      for (i64 i = 0; i < run.count; ++i)
        std::memcpy(entries_.label + i * bytes, block_.cells + run.offset[i], static_cast<std::size_t>(bytes));
    });
    if (!layout_.shape.has_pooled_cells()) return;
    u8* uniform = entries_.uniform;
    for (i64 r = 0; r < run.count; ++r)
      for (i64 i = 0; i < run.length; ++i) *uniform++ = is_uniform<U>(run.votes[r] + i);
  }

  // Return 1 if all voxels of a cell have its label. vote: the cell's index relative to the votes of the block.
  template <class U>
  u8 is_uniform(i64 vote) const {
    Votes<U> votes;
    std::memcpy(&votes, block_.votes + vote * static_cast<i64>(sizeof(votes)), sizeof(votes));
    return votes == layout_.shape.cell_voxels;
  }

  // Set the codes of missing cells to code_none, and of partial cells too, whose voxels are counted like those of mixed
  // cells.
  template <class U>
  void gather_cut_cells() {
    const BlockShape& shape = layout_.shape;
    const BlockLayout::Cells& cell = layout_.cell;
    const BlockLayout::Runs& run = layout_.run;
    for (i64 i = 0; i < shape.cells; ++i) {
      bool whole = true, exists = true;
      for (int axis = 0; axis < problem_->ndim; ++axis) {
        const i64 first = cell.coordinate[axis][i], end = first + shape.cell[axis];
        whole = whole && first >= block_.low[axis] && end <= block_.high[axis];
        exists = exists && first < block_.high[axis] && end > block_.low[axis];
      }
      if (!whole) {
        entries_.code[i] = code_none;
        entries_.uniform[i] = !exists;
        continue;
      }
      std::memcpy(entries_.label + i * static_cast<i64>(sizeof(U)), block_.cells + cell.offset[i], sizeof(U));
      entries_.uniform[i] =
          shape.has_pooled_cells() ? is_uniform<U>(run.votes[i / run.length] + i % run.length) : u8{1};
    }
  }

  void find_mixed() {
    const u8* const uniform = entries_.uniform;
    u16* const mixed = entries_.mixed;
    i64 count = 0;
    for (i64 first = 0, cells = layout_.shape.cells; first < cells; first += 8) {
      u64 eight;
      std::memcpy(&eight, uniform + first, 8);
      if (eight == 0x0101010101010101u) continue;
      for (i64 i = 0; i < 8; ++i, eight >>= 8) {  // without branches, which could not be predicted
        mixed[count] = static_cast<u16>(first + i);
        count += static_cast<i64>(~eight & 1);
      }
    }
    entries_.mixed_count = count;
  }

  template <class U>
  void gather_mixed() {
    constexpr i64 width = sizeof(U);
    layout_.shape.with_cell_voxels([&](auto count) {
      char* to = entries_.label + entries_.first_mixed * width;
      const char* const from = block_.voxels;
      for (i64 m = 0, n = entries_.mixed_count; m < n; ++m) {
        const char* const cell = from + layout_.cell.base_offset[entries_.mixed[m]];
        for (i64 j = 0; j < count; ++j, to += width) std::memcpy(to, cell + layout_.voxel.offset[j], sizeof(U));
      }
    });
  }

  // List the voxels of a cell of which some may not exist.
  template <class U>
  void gather_cut_mixed() {
    char* to = entries_.label + entries_.first_mixed * static_cast<i64>(sizeof(U));
    u8* code = entries_.code + entries_.first_mixed;
    for (i64 m = 0; m < entries_.mixed_count; ++m) {
      const i64 cell = entries_.mixed[m];
      for (i64 j = 0; j < layout_.shape.cell_voxels; ++j, to += sizeof(U), ++code) {
        if (block_.has_voxel(problem_->ndim, layout_, cell, j))
          std::memcpy(to, block_.voxels + layout_.cell.base_offset[cell] + layout_.voxel.offset[j], sizeof(U));
        else
          *code = code_none;
      }
    }
  }

  const BlockLayout& layout_;
  const CurrentBlock& block_;
  BlockEntries& entries_;
  const Problem* problem_ = nullptr;
};

}  // namespace tinypyr
