// Periodic selections of bytes: from every period of a contiguous run, the same bytes are copied in the same order.
//
// Voxels whose fastest axis is short (the channels of a pixel, a few slices) are gathered by a selection into planes,
// one plane for each position in the footprint, which kernels then process as long rows (reduce/short_rows.hpp).
#pragma once

#include <algorithm>
#include <cstring>

#include "integers.hpp"
#include "view.hpp"

namespace tinypyr {

// A selection in the form that a kernel executes: in every turn, some moves, each of which permutes the bytes of two
// vectors of the input into one vector of the output. Only the first bytes of a vector that is written matter; later
// moves and turns overwrite the others, so the output needs room for one more vector after its last turn.
struct Shuffle {
  static constexpr int most_moves = 16, longest_vector = 64;
  static constexpr i64 period_bound = 1024;  // bytes; see ShuffleBuilder::longest_period

  struct Move {
    i64 from[2];               // offsets of two vectors from the start of the turn's input
    i64 to;                    // offset of the first byte written
    u8 index[longest_vector];  // a byte of the first vector, or, plus the length of a vector, of the second
  };

  i64 periods;             // of the run, in one turn
  i64 from_step, to_step;  // bytes from turn to turn
  i64 read;                // bytes that a turn reads, including those that do not matter
  int moves;
  Move move[most_moves];
};

// The voxels that are averaged, as one or two selections from the same two vectors of the input. The voxels of a selection
// lie side by side: pairs that are summed, in the order of the output. If two voxels of each row are averaged, of one or
// two rows, they are two selections instead, each in the order of the output.
struct PeriodSelections {
  i64 from_step, to_step;  // bytes from turn to turn
  u8 index[2][Shuffle::longest_vector];
};

// Rows to which selections are applied, and the output for their means.
struct PeriodRows {
  static constexpr int most = 4;

  const char* row[most];
  i64 bytes;  // that may be read, of each row
  char* to;
  i64 to_bytes;  // that are written
};

// Return true if the kernel for so many voxels of each row and so many rows sums pairs.
constexpr bool sums_pairs(int voxels, int rows) { return voxels * rows > 4 || voxels > 2; }

// Write the means, rounded half to even, of the voxels that the selections take from all rows.
using AveragePeriods = void (*)(const PeriodSelections&, const PeriodRows&);

// Kernels, and the number of bytes in their vectors.
struct ShuffleKernel {
  void (*run)(const Shuffle&, const char* from, char* to, i64 turns);
  int vector;
  bool needs_vbmi;                  // an extension of AVX-512 that is tested separately
  bool has_instruction;             // bytes are not moved one by one
  AveragePeriods average[2][2][3];  // [unsigned of 1, 2 bytes][2, 4 voxels of each row][1, 2, 4 rows]; null: none
};

// Builds the shuffle that copies, from every period of `period` bytes, the `count` bytes at these offsets.
class ShuffleBuilder {
 public:
  ShuffleBuilder(const i64* offsets, i64 count, i64 period, int vector)
      : offsets_(offsets), count_(count), period_(period), vector_(vector) {}

  // Return the longest period P for which every shuffle can be built, if its offsets are in order and select at most two
  // thirds of the period. With vectors of V bytes it then has at most 2/3 P / V moves that fill a vector, P / (2 V) moves
  // that cover two vectors of the input, and one more: 7/6 P / V + 1 <= most_moves.
  static constexpr i64 longest_period(int vector) { return (Shuffle::most_moves - 1) * vector * 6 / 7; }

  // Return false if a turn needs too many moves.
  bool build(Shuffle& shuffle) const {
    // One move copies the bytes of as many periods as fit; a long period takes several moves.
    for (i64 periods = std::max<i64>(1, vector_ / count_); periods >= 1; --periods) {
      const int most = periods > 1 ? 1 : Shuffle::most_moves;
      if (add_moves(shuffle, periods, most)) return true;
    }
    return false;
  }

 private:
  // Add the moves of a turn of so many periods. Return false if it needs more than `most`.
  bool add_moves(Shuffle& shuffle, i64 periods, int most) const {
    const i64 bytes = periods * count_;
    shuffle.periods = periods;
    shuffle.from_step = periods * period_;
    shuffle.to_step = bytes;
    shuffle.read = shuffle.moves = 0;
    Position next = {0, 0, 0};
    while (next.byte < bytes) {
      if (shuffle.moves == most) return false;
      Shuffle::Move& move = shuffle.move[shuffle.moves++];
      move.to = next.byte;
      fill(move, next, bytes);
      shuffle.read = std::max(shuffle.read, std::max(move.from[0], move.from[1]) + vector_);
    }
    return true;
  }

  // A byte of a turn's output: its number, its number in its period, and the start of the period in the input.
  struct Position {
    i64 byte, in_period, start;
  };

  // Fill a move with the bytes from `next` on, until its vector is full or a byte is in neither of its two inputs.
  // Advance `next` to the byte after them.
  void fill(Shuffle::Move& move, Position& next, i64 bytes) const {
    move.from[0] = move.from[1] = next.start + offsets_[next.in_period];
    bool has_second = false;
    const i64 end = std::min(bytes, next.byte + vector_);
    int filled = 0;
    while (next.byte < end) {
      const i64 at = next.start + offsets_[next.in_period];
      const bool in_first = at >= move.from[0] && at < move.from[0] + vector_;
      if (!in_first && !has_second) {
        move.from[1] = at;
        has_second = true;
      }
      if (!in_first && (at < move.from[1] || at >= move.from[1] + vector_)) break;
      move.index[filled++] = static_cast<u8>(in_first ? at - move.from[0] : at - move.from[1] + vector_);
      ++next.byte;
      if (++next.in_period == count_) {
        next.in_period = 0;
        next.start += period_;
      }
    }
    std::fill(move.index + filled, move.index + vector_, u8{0});
  }

  const i64* const offsets_;
  const i64 count_, period_;
  const int vector_;
};

// Run a shuffle over `periods` periods of a contiguous run without reading more than `bytes` bytes from `from` on. If the
// run ends there and its last period is cut, the last `repeated` bytes are taken once more in place of those that are
// missing. The output must have room for one more turn.
//
// (A turn reads fewer bytes than a period and a vector, or than three vectors: at most 1088. The copy holds fewer, and is
// read up to three times as far.)
inline void shuffle_run(const ShuffleKernel& kernel, const Shuffle& shuffle, const char* from, i64 bytes, i64 periods,
                        i64 repeated, char* to) {
  const i64 turns = ceil_div(periods, shuffle.periods);
  if (bytes >= (turns - 1) * shuffle.from_step + shuffle.read) return kernel.run(shuffle, from, to, turns);
  const i64 safe = bytes < shuffle.read ? 0 : (bytes - shuffle.read) / shuffle.from_step + 1;
  kernel.run(shuffle, from, to, safe);
  // Continue in a copy of the last bytes, beyond which vectors may read.
  char tail[4 * Shuffle::period_bound];
  from += safe * shuffle.from_step;
  const i64 rest = std::min(bytes - safe * shuffle.from_step, (turns - safe) * shuffle.from_step);
  std::memcpy(tail, from, static_cast<std::size_t>(rest));
  if (repeated > 0 && rest >= repeated)
    std::memcpy(tail + rest, tail + rest - repeated, static_cast<std::size_t>(repeated));
  kernel.run(shuffle, tail, to + safe * shuffle.to_step, turns - safe);
}

}  // namespace tinypyr
