// The table of loops that each instruction set fills (kernels/kernels.inl), and all that drivers know of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "../core/codec.hpp"
#include "../core/integers.hpp"
#include "../core/prefetch.hpp"
#include "../core/view.hpp"
#include "../isa/list.hpp"

namespace tinypyr {

// --- reductions and selections ------------------------------------------------------------------------------------

// A row of n voxels along one axis, as (outer, n, span), pooled by `factor`; the first block lacks its first `phase`
// voxels. Memory `ahead` bytes further on is prefetched meanwhile; 0: none.
struct Run {
  i64 outer, n, span, factor, phase, ahead;
};

// How accumulators become voxels.
struct Finish {
  i64 count;       // voxels in each footprint of the row
  bool half_even;  // else rounded down
  u64 ignore;      // bits of the voxel where nothing was counted
};

// What selections leave out, and their memory.
struct SelectParams {
  bool has_ignore, has_nan;
  u64 ignore, nan;  // keys
  void* scratch;    // (count + 2) rows of keys
};

constexpr i64 max_small_footprint = 8;

// Rows of n footprints of 1, 2, 4 or 8 voxels (kernels/footprints.inl), which become voxels and, if accumulator is not
// null, accumulators of a reduction, whose lanes lie `plane` elements apart.
struct Footprints {
  const void* const* rows;
  i64 n;
  i64 repeat, step,
      out_step;  // so many rows of footprints, `step` voxels apart in the input and `out_step` in the output
  void *out, *accumulator;
  i64 plane;
  u64 ignore, flip, unflip;  // bits; flip, unflip: xored with voxels that are read (giving keys) and written
  bool half_even;
};

using PoolFootprints = void (*)(const Footprints&);

// One loop for each way in which a small footprint can lie in memory.
struct Shapes {
  PoolFootprints across[4];          // 1, 2, 4, 8 rows
  PoolFootprints first[3], last[3];  // 1, 2, 4 rows of pairs: neighbours in a row, first or last in raster order

  // The loop for so many rows; null if there is none. pair: the bit of a voxel's number in raster order in which
  // neighbours in a row differ; below 0: footprints have one voxel of a row.
  PoolFootprints of(int row_count, int pair) const {
    int bits = 0;
    while (1 << bits < row_count) ++bits;
    if (1 << bits != row_count || bits > (pair < 0 ? 3 : 2)) return nullptr;
    return pair < 0 ? across[bits] : pair == 0 ? first[bits] : pair == bits ? last[bits] : nullptr;
  }
};

struct Reduction {
  int lanes, lane_bytes;
  // Pool voxels (first) or one lane of accumulators (part). add: combine the result with what is there. plane: distance
  // between lanes, in elements of the target.
  void (*first)(const void* from, void* to, i64 plane, const Run&, bool add, u64 ignore);
  void (*part)(const void* from, void* to, i64 plane, const Run&, bool add, u64 ignore);
  void (*finish)(const void* accumulator, i64 plane, void* out, i64 n, const Finish&);
  Shapes small;
};

struct SelectKernels {
  void (*planes)(const void* const* planes, int count, i64 n, void* out, const SelectParams&);
  Shapes small;
};

// --- modes of several levels --------------------------------------------------------------------------------------

// Votes for labels of type U: signed, as wide as the label and of 16 bits at least, so that loops over both have lanes of one
// width.
constexpr int votes_width(int label_width) { return label_width == 1 ? 2 : label_width; }
template <class U>
using Votes = std::make_signed_t<unsigned_of<votes_width(sizeof(U))>>;

// How many voxels of a row share a cache line.
constexpr i64 voxels_per_line(int width) { return 64 / width; }

// A row of modes with bounds of their votes, from the rows of the level below that it covers (kernels/vote_bounds.inl):
// 2, 4 or 8 rows of single voxels, or 1, 2 or 4 rows of pairs of neighbours. All votes are of type Votes.
struct BoundsRow {
  // Of the level below, by row: labels, the fewest and the most votes that each may have, and the most that any other
  // label may have.
  const void *labels[8], *least[8], *most[8], *others[8];
  i64 n;       // voxels of this row
  i64 voxels;  // of the base, in the footprint of a voxel of the level below
  // The same of this row.
  void *label, *label_least, *label_most, *others_most;
  void *runner_up, *undecided;  // the label that may have as many votes; one of Undecided, as Votes
};
enum Undecided { mode_proven = 0, runner_up_left = 1, any_label = 2 };
using ProveModes = void (*)(const BoundsRow&);

// Code of a voxel: 0 while unknown, else 1 + the rank of its label, or code_none for voxels that do not count.
constexpr u8 code_none = 0xff;
// Arrays of codes are padded to multiples of this many.
constexpr i64 rank_step = 32;
// Labels ranked at once. Votes of four ranks share one 64-bit number, 16 bits each.
constexpr int max_ranks = 32;
// Set in the rank with the most votes where it is not the only one.
constexpr u16 tie_bit = 0x8000;

// --- tables -------------------------------------------------------------------------------------------------------

// Kernels for one width of voxels.
struct RowKernels {
  void (*copy)(char* to, i64 to_stride, const char* from, i64 from_stride, i64 n);
  void (*encode)(const void* from, void* row, i64 n, const Codec&);
  void (*decode)(void* row, i64 n, const Codec&);
  // Fill in the unknown codes of n voxels (a multiple of rank_step), and write the keys of the ranks. Return the number
  // of ranks, or a number above `most` if there are more. ignore: a key that gets code_none; may be null.
  int (*rank_labels)(const void* voxels, i64 n, u8* codes, const u64* ignore, int most, u64* keys);
  Shapes mode_votes;             // Votes: how many voxels of a footprint have the label in `accumulator`
  ProveModes prove_modes[2][4];  // [pairs][log2 of the rows]
  // Count the voxels of each of these labels.
  void (*count_labels)(const void* voxels, i64 n, const u64* bits, int labels, i64* votes);
  // For each column of rows (a multiple of 4) of voxels_per_line voxels, count the voxels of one label and of another.
  void (*count_two_labels)(const void* voxels, i64 rows, const void* one, const void* other, void* votes);
  SelectKernels mode[2][2];  // [ties lowest][has ignore]
  SelectKernels median;
  SelectKernels first[2];  // [floats]
};

// A reduction of voxels of one width and kind, whose accumulators hold footprints of up to so many voxels.
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
  // The index of the first row for such voxels and footprints; -1 if there is none.
  constexpr int find(int width, bool floating, i64 footprint) const {
    for (int i = 0; i < count; ++i)
      if (rows[i].width == width && rows[i].floating == floating && rows[i].largest_footprint >= footprint) return i;
    return -1;
  }
  // The index of the row whose reduction adds integers of one width in lanes of another; -1 if there is none.
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
  // Add up `parts` rows of n numbers.
  void (*add_votes)(const u64* from, u64* to, i64 parts, i64 n);
  // For each of n (a multiple of 8) outputs, whose words of votes lie `words` apart: the most votes, and the first rank
  // that has them, with tie_bit where others have as many or no rank has any. Return true if any output has tie_bit.
  bool (*most_votes)(const u64* votes, i64 words, int ranks, i64 n, u16* most, u16* winner);
  // The smallest place among n voxels of this code.
  int (*first_place)(const u8* codes, const u16* place, i64 n, u8 code);

  const RowKernels& of_width(int width) const { return rows[width_index(width)]; }
};

#define TINYPYR_DECLARE_TABLE(id, name, is_supported, shortest_row) \
  namespace id {                                                    \
  extern const Kernels table;                                       \
  }
TINYPYR_INSTRUCTION_SETS(TINYPYR_DECLARE_TABLE)
#undef TINYPYR_DECLARE_TABLE

// The reduction of a table for these voxels, whose accumulator holds the footprint; null if there is none.
inline const Reduction* pick(const ReductionTable& table, const Codec& codec, i64 footprint, bool has_ignore) {
  const int row = table.find(codec.width, codec.kind == Kind::floating, footprint);
  return row < 0 ? nullptr : &table.rows[row].reduction[has_ignore];
}

// The reduction that turns lanes of one mean's accumulator into the wider lanes of another's; null if they are no
// wider.
inline const Reduction* pick_widening(const ReductionTable& means, const Reduction& from, const Reduction& to) {
  const int row = from.lane_bytes == to.lane_bytes ? -1 : means.find_lanes(from.lane_bytes, to.lane_bytes);
  return row < 0 ? nullptr : &means.rows[row].reduction[0];
}

// --- checks of a table, at compile time ---------------------------------------------------------------------------

// A row for every dtype and the largest footprint.
constexpr bool covers_dtypes(const ReductionTable& table) {
  for (const DtypeRow& dtype : dtype_rows)
    if (table.find(dtype.width, dtype.kind == Kind::floating, max_footprint) < 0) return false;
  return true;
}

// A way from the lanes of small footprints to all wider lanes of the same voxels.
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

}  // namespace tinypyr
