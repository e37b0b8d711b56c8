// The table of loops that each instruction set fills (kernels/kernels.inl): the interface between kernels and drivers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "../core/codec.hpp"
#include "../core/integers.hpp"
#include "../core/prefetch.hpp"
#include "../core/shuffle.hpp"
#include "../core/view.hpp"
#include "../isa/list.hpp"

namespace tinypyr {

// --- reductions and selections ------------------------------------------------------------------------------------

// A row of n voxels along one axis, as (outer, n, span), pooled by `factor`; the first block lacks its first `phase`
// voxels. The loop prefetches memory at a distance of `ahead` bytes; 0: no prefetch.
struct Run {
  i64 outer, n, span, factor, phase, ahead;
};

// Parameters of the conversion of accumulators to voxels.
struct Finish {
  i64 count;       // voxels in each footprint of the row
  bool half_even;  // rounding; otherwise down
  u64 ignore;      // bits of the result for footprints in which no voxel counts
};

// Parameters of selections: the values with special treatment, and scratch memory.
struct SelectParams {
  bool has_ignore, has_nan;
  u64 ignore, nan;  // keys
  void* scratch;    // (count + 2) rows of keys
};

constexpr i64 max_small_footprint = 8;

// Rows of n footprints of 1, 2, 4 or 8 voxels (kernels/footprints.inl). The results are voxels and, if accumulator is
// not null, accumulators of a reduction with lanes `plane` elements apart.
struct Footprints {
  const void* const* rows;
  i64 n;
  i64 repeat, step,
      out_step;  // so many rows of footprints, `step` voxels apart in the input and `out_step` in the output
  void *out, *accumulator;
  i64 plane;
  u64 ignore, flip,
      unflip;  // bits; flip is xored with voxels that are read (giving keys), unflip with voxels that are written
  bool half_even;
  // Means rounded half to even may be computed in lanes as narrow as the voxels: fewer instructions, but whole vectors
  // are loaded from every row, which takes longer if they come from memory.
  bool narrow_lanes = false;
};

using PoolFootprints = void (*)(const Footprints&);

// One loop for each arrangement of a small footprint in memory.
struct Shapes {
  PoolFootprints across[4];  // 1, 2, 4, 8 rows
  PoolFootprints first[3],
      last[3];  // 1, 2, 4 rows of pairs: neighbours in a row that are first or last in raster order

  // Return the loop for a number of rows; null if there is none. pair: the bit of a voxel's number in raster order that
  // differs between neighbours in a row; negative: footprints have one voxel per row.
  PoolFootprints of(int row_count, int pair) const {
    int bits = 0;
    while (1 << bits < row_count) ++bits;
    if (1 << bits != row_count || bits > (pair < 0 ? 3 : 2)) return nullptr;
    return pair < 0 ? across[bits] : pair == 0 ? first[bits] : pair == bits ? last[bits] : nullptr;
  }
};

struct Reduction {
  int lanes, lane_bytes;
  // Pool voxels (first) or one lane of accumulators (part). add: combine the result with the present contents. plane:
  // distance between lanes, in elements of the target.
  void (*first)(const void* from, void* to, i64 plane, const Run&, bool add, u64 ignore);
  void (*part)(const void* from, void* to, i64 plane, const Run&, bool add, u64 ignore);
  void (*finish)(const void* accumulator, i64 plane, void* out, i64 n, const Finish&);
  Shapes small;
};

struct SelectKernels {
  void (*planes)(const void* const* planes, int count, i64 n, void* out, const SelectParams&);
  Shapes small;
  Shapes small_with_votes;  // modes: as small, and mode_votes of the results in `accumulator`; entries may be null
};

// --- modes of several levels --------------------------------------------------------------------------------------

// The width of votes for labels of a width: signed, as wide as the label and at least 16 bits, so that loops over both
// have lanes of one width.
constexpr int votes_width(int label_width) { return label_width == 1 ? 2 : label_width; }
template <class U>
using Votes = std::make_signed_t<unsigned_of<votes_width(sizeof(U))>>;

// Return the number of contiguous voxels in a cache line.
constexpr i64 voxels_per_line(int width) { return 64 / width; }

// A row of modes with bounds of their votes, and the rows of the level below that it covers (kernels/vote_bounds.inl):
// 2, 4 or 8 rows of single voxels, or 1, 2 or 4 rows of pairs of neighbours. All votes have the type Votes.
struct BoundsRow {
  // Rows of the level below: labels, the fewest and the most votes that each label may have, and the most votes that
  // any other label may have.
  const void *labels[8], *least[8], *most[8], *others[8];
  i64 n;       // voxels of this row
  i64 voxels;  // base voxels in the footprint of a voxel of the level below
  // The same quantities for this row.
  void *label, *label_least, *label_most, *others_most;
  void *runner_up, *undecided;  // the label that may have as many votes; a value of Undecided, as Votes
};
enum Undecided { mode_proven = 0, runner_up_left = 1, any_label = 2 };
using ProveModes = void (*)(const BoundsRow&);
// The least length of a row that is computed in vectors (of 16 bytes).
constexpr i64 min_proven(int label_width) { return 16 / votes_width(label_width); }

// Ranks number the labels of an array from 0, in the order in which they first occur. The code of a voxel is 0 if
// unknown, 1 + the rank of its label, or code_none if the voxel does not count.
constexpr u8 code_none = 0xff;
// Arrays of codes are padded to a multiple of this number.
constexpr i64 code_step = 32;
// Limit of the labels ranked at once. The votes of four ranks share one 64-bit number, 16 bits each.
constexpr int max_ranks = 32;
// Flag in the rank with the most votes if another rank has as many.
constexpr u16 tie_bit = 0x8000;

// --- tables -------------------------------------------------------------------------------------------------------

// Kernels for one width of voxels.
struct RowKernels {
  void (*copy)(char* to, i64 to_stride, const char* from, i64 from_stride, i64 n);
  void (*encode)(const void* from, void* row, i64 n, const Codec&);
  void (*decode)(void* row, i64 n, const Codec&);
  // Fill in the unknown codes of n voxels (a multiple of code_step), and write the keys of the ranks. Return the number
  // of ranks, or a number above `most` if there are more. ignore: a key whose voxels get code_none; may be null.
  int (*rank_labels)(const void* voxels, i64 n, u8* codes, const u64* ignore, int most, u64* keys);
  Shapes mode_votes;             // Votes: the number of voxels of a footprint that have the label in `accumulator`
  ProveModes prove_modes[2][4];  // [pairs][log2 of the rows]; rows of at least min_proven voxels
  ProveModes prove_few[2][4];    // rows of any length
  // Count the voxels of each of these labels.
  void (*count_labels)(const void* voxels, i64 n, const u64* bits, int labels, i64* votes);
  // For each column of rows of voxels_per_line voxels, `stride` bytes apart, add the numbers of voxels of two labels to
  // the Votes of all columns, first those of the one labels.
  void (*count_two_columns)(const void* voxels, i64 rows, i64 stride, const void* one, const void* other, void* votes);
  // Add the numbers of voxels of two labels in rows of 4, 8 or 16 voxels, `stride` bytes apart. Null for some widths.
  void (*count_two_in_rows)(const void* voxels, i64 rows, i64 stride, i64 n, u64 one, u64 other, i64* votes);
  SelectKernels mode[2][2];  // [ties lowest][has ignore]
  SelectKernels median;
  SelectKernels first[2];  // [floats]
};

// A reduction of voxels of one width and kind, with accumulators that are sufficient for footprints of a limited size.
struct ReductionRow {
  int width;
  bool floating;
  i64 largest_footprint;
  Reduction reduction[2];  // [has ignore]
};

struct ReductionTable {
  const ReductionRow* rows;
  int count;

  constexpr bool is_empty() const { return count == 0; }
  // Return the index of the first row for such voxels and footprints; -1 if there is none.
  constexpr int find(int width, bool floating, i64 footprint) const {
    for (int i = 0; i < count; ++i)
      if (rows[i].width == width && rows[i].floating == floating && rows[i].largest_footprint >= footprint) return i;
    return -1;
  }
  // Return the index of the row whose reduction adds integers of one width in lanes of another; -1 if there is none.
  constexpr int find_lanes(int width, int lane_bytes) const {
    for (int i = 0; i < count; ++i)
      if (rows[i].width == width && !rows[i].floating && rows[i].reduction[0].lane_bytes == lane_bytes) return i;
    return -1;
  }
};

template <int count>
constexpr ReductionTable table_of(const ReductionRow (&rows)[count]) {
  return {rows, count};
}

struct Kernels {
  RowKernels rows[4];  // widths 1, 2, 4, 8
  ReductionTable means, minima, maxima;
  // Add `parts` rows of n numbers.
  void (*add_votes)(const u64* from, u64* to, i64 parts, i64 n);
  // For each of n (a multiple of 8) outputs, whose words of votes are `words` apart, write the most votes, and the
  // first rank that has them, with tie_bit where another rank has as many or no rank has any. Return true if any output
  // has tie_bit.
  bool (*most_votes)(const u64* votes, i64 words, int ranks, i64 n, u16* most, u16* winner);
  // Return the smallest place among the n voxels that have this code.
  int (*first_place)(const u8* codes, const u16* place, i64 n, u8 code);
  // Copy the lower halves of n labels of 64 bits, `stride` bytes apart, to a contiguous row of 32 bits. Return the bits
  // in which a label differs from `first`.
  u64 (*narrow)(const char* from, i64 stride, void* to, i64 n, u64 first);
  // Write n labels of 32 bits with these upper halves, `stride` bytes apart.
  void (*widen)(const void* from, i64 n, u64 upper, char* to, i64 stride);
  ShuffleKernel shuffle;

  const RowKernels& of_width(int width) const { return rows[width_index(width)]; }
};

#define TINYPYR_DECLARE_TABLE(id, name, is_supported, shortest_row) \
  namespace id {                                                    \
  extern const Kernels table;                                       \
  }
TINYPYR_INSTRUCTION_SETS(TINYPYR_DECLARE_TABLE)
#undef TINYPYR_DECLARE_TABLE

// Return the reduction of a table for these voxels with the narrowest sufficient accumulator; null if there is none.
inline const Reduction* pick(const ReductionTable& table, const Codec& codec, i64 footprint, bool has_ignore) {
  const int row = table.find(codec.width, codec.kind == Kind::floating, footprint);
  return row < 0 ? nullptr : &table.rows[row].reduction[has_ignore];
}

// Return the reduction that converts lanes of one mean's accumulator to the wider lanes of another's; null if the lanes
// have equal widths.
inline const Reduction* pick_widening(const ReductionTable& means, const Reduction& from, const Reduction& to) {
  const int row = from.lane_bytes == to.lane_bytes ? -1 : means.find_lanes(from.lane_bytes, to.lane_bytes);
  return row < 0 ? nullptr : &means.rows[row].reduction[0];
}

// --- tables that borrow kernels -----------------------------------------------------------------------------------

// Fill the entries of a table that are null with those of the next instruction set. Shared are loops that are limited
// by memory: they are as fast with narrower vectors, or faster, because fewer vectors of half a cache line straddle two
// lines (bench/NOTES.md), and loops without vectors. The shuffle is borrowed where the processor lacks VBMI.
constexpr void borrow_kernels(const Kernels& next, Kernels& kernels) {
  if (kernels.minima.is_empty()) kernels.minima = next.minima;
  if (kernels.maxima.is_empty()) kernels.maxima = next.maxima;
  if (kernels.shuffle.run == nullptr) kernels.shuffle = next.shuffle;
  for (int width = 0; width < 4; ++width) {
    RowKernels& rows = kernels.rows[width];
    const RowKernels& others = next.rows[width];
    if (rows.copy == nullptr) rows.copy = others.copy;
    for (int floats = 0; floats < 2; ++floats)
      if (rows.first[floats].planes == nullptr) rows.first[floats] = others.first[floats];
    for (int pairs = 0; pairs < 2; ++pairs)
      for (int log2_rows = 0; log2_rows < 4; ++log2_rows)
        if (rows.prove_few[pairs][log2_rows] == nullptr)
          rows.prove_few[pairs][log2_rows] = others.prove_few[pairs][log2_rows];
  }
}

// --- checks of a table, at compile time ---------------------------------------------------------------------------

// Check that there is a row for every dtype with the largest footprint.
constexpr bool covers_dtypes(const ReductionTable& table) {
  for (const DtypeRow& dtype : dtype_rows)
    if (table.find(dtype.width, dtype.kind == Kind::floating, max_footprint) < 0) return false;
  return true;
}

// Check that the lanes of small footprints can be converted to all wider lanes of the same voxels.
constexpr bool covers_widenings(const ReductionTable& means) {
  for (int i = 0; i < means.count; ++i) {
    const ReductionRow& wide = means.rows[i];
    const int small = means.find(wide.width, wide.floating, max_small_footprint);
    if (small < 0) return false;
    const int from = means.rows[small].reduction[0].lane_bytes, to = wide.reduction[0].lane_bytes;
    if (from != to && means.find_lanes(from, to) < 0) return false;
  }
  return true;
}

// Check that a table has all its kernels. (Not every arrangement of a footprint has one: see Shapes and prove_modes.)
constexpr bool is_complete(const RowKernels& rows) {
  for (int lowest = 0; lowest < 2; ++lowest)
    for (int ignore = 0; ignore < 2; ++ignore)
      if (rows.mode[lowest][ignore].planes == nullptr) return false;
  for (int log2_rows = 0; log2_rows < 3; ++log2_rows)
    if (rows.prove_modes[0][log2_rows + 1] == nullptr || rows.prove_modes[1][log2_rows] == nullptr ||
        rows.prove_few[0][log2_rows + 1] == nullptr || rows.prove_few[1][log2_rows] == nullptr)
      return false;
  return rows.copy != nullptr && rows.encode != nullptr && rows.decode != nullptr && rows.rank_labels != nullptr &&
         rows.count_labels != nullptr && rows.count_two_columns != nullptr && rows.median.planes != nullptr &&
         rows.first[0].planes != nullptr && rows.first[1].planes != nullptr;
}

constexpr bool is_complete(const ReductionTable& table) {
  for (int row = 0; row < table.count; ++row)
    for (const Reduction& reduction : table.rows[row].reduction)
      if (reduction.first == nullptr || reduction.part == nullptr || reduction.finish == nullptr) return false;
  return covers_dtypes(table);
}

#ifdef TINYPYR_SANITIZED  // (GCC then takes no address of a function for a constant, so that nothing can be checked)
constexpr bool is_complete(const Kernels&) { return true; }
constexpr bool is_complete_with(const Kernels&, const Kernels&) { return true; }
#else
constexpr bool is_complete(const Kernels& kernels) {
  for (const RowKernels& rows : kernels.rows)
    if (!is_complete(rows)) return false;
  return is_complete(kernels.means) && is_complete(kernels.minima) && is_complete(kernels.maxima) &&
         kernels.add_votes != nullptr && kernels.most_votes != nullptr && kernels.first_place != nullptr &&
         kernels.narrow != nullptr && kernels.widen != nullptr && kernels.shuffle.run != nullptr;
}

// Check that a table is complete once it has borrowed from that of the next instruction set.
constexpr bool is_complete_with(const Kernels& next, Kernels kernels) {
  borrow_kernels(next, kernels);
  return is_complete(kernels);
}
#endif

}  // namespace tinypyr
