// Mode and median of a footprint that is too large to be copied. Several passes read its voxels, and each pass examines
// one byte of their keys, as in a radix sort: voxels are counted per value of this byte, and keys that cannot be the
// result are excluded from later passes.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"
#include "../tinypyr.hpp"

namespace tinypyr {

// Call visit(label, votes) for every label of sorted keys.
template <class U, class Visit>
inline void each_label(const U* sorted, const U* end, Visit visit) {
  while (sorted != end) {
    const U* next = std::upper_bound(sorted, end, *sorted);
    visit(*sorted, static_cast<i64>(next - sorted));
    sorted = next;
  }
}

// Selects from keys. each(visit) calls visit(key) for all voxels, in any order. in_order(visit) does so in raster order
// until visit returns false. median and mode are independent of each other.
template <class U, class Each, class InOrder>
class RadixSelect {
 public:
  RadixSelect(Each each, InOrder in_order, const SelectParams& params)
      : each_(each), in_order_(in_order), params_(params), left_out_(static_cast<U>(params.ignore)) {}

  // Return the lower median of the voxels that count (the key of the ignored value must have been remapped to the top);
  // NaN if any voxel is NaN.
  U median() {
    left_out_ = static_cast<U>(~U{0});
    bool has_nan = false;
    if (params_.has_nan) each_([&](U key) { has_nan = has_nan || key == static_cast<U>(params_.nan); });
    if (has_nan) return static_cast<U>(params_.nan);
    i64 counts[256], rank = -1;
    U prefix = 0;
    for (int shift = top_shift; shift >= 0; shift -= 8) {
      count(prefix, shift, counts);
      if (shift == top_shift) {
        i64 kept = 0;
        for (const i64 voxels : counts) kept += voxels;
        if (kept == 0) return left_out_;
        rank = (kept - 1) / 2;
      }
      int byte = 0;
      for (; rank >= counts[byte]; ++byte) rank -= counts[byte];
      prefix = with_byte(prefix, shift, byte);
    }
    return prefix;
  }

  // memory: room for this many keys, and one more. Labels are tried in groups that fit it, each in one pass over the
  // voxels, so their number grows with the voxels unless the memory does.
  U mode(Ties ties, U* memory, i64 room) {
    ties_ = ties;
    memory_ = memory;
    room_ = room;
    best_ = {left_out_, 0, 0};
    try_all(0, top_shift);
    return best_.key;
  }

 private:
  static constexpr int top_shift = 8 * (static_cast<int>(sizeof(U)) - 1);

  struct Best {
    U key;
    i64 votes, position;
  };

  static U with_byte(U prefix, int shift, int byte) { return static_cast<U>(prefix | static_cast<U>(byte) << shift); }
  static U below(int shift) { return static_cast<U>((u64{1} << shift) - 1); }
  bool is_kept(U key) const { return !params_.has_ignore || key != left_out_; }

  // Count voxels per value of the byte at `shift`, among the keys that agree with the prefix above it.
  void count(U prefix, int shift, i64* counts) {
    std::fill(counts, counts + 256, 0);
    const U low = prefix, high = with_byte(static_cast<U>(prefix | below(shift)), shift, 255);
    each_([&](U key) { counts[key >> shift & 255] += low <= key && key <= high && is_kept(key); });
  }

  // Try all labels that agree with the prefix above the byte at `shift`, for as many values of this byte at a time as
  // fit the memory.
  void try_all(U prefix, int shift) {
    i64 counts[256];
    count(prefix, shift, counts);
    for (int byte = 0, end = 0; byte < 256; byte = end) {
      i64 voxels = counts[byte];
      end = byte + 1;
      if (voxels == 0 || voxels < best_.votes) continue;
      if (shift == 0) {
        const U label = with_byte(prefix, 0, byte);
        try_winners(label, label, voxels, [](U) { return true; });
      } else if (voxels > room_) {
        try_all(with_byte(prefix, shift, byte), shift - 8);
      } else {
        for (; end < 256 && voxels + counts[end] <= room_; ++end) voxels += counts[end];
        try_some(with_byte(prefix, shift, byte), with_byte(static_cast<U>(prefix | below(shift)), shift, end - 1));
      }
    }
  }

  // Try the labels from low to high, whose voxels fit the memory.
  void try_some(U low, U high) {
    U* end = memory_;
    each_([&](U key) {  // without a branch, which could not be predicted
      *end = key;
      end += low <= key && key <= high && is_kept(key);
    });
    std::sort(memory_, end);
    i64 most = 0, winners = 0;
    U lowest = 0;
    each_label(memory_, end, [&](U label, i64 votes) {
      winners = votes > most ? 1 : winners + (votes == most);
      if (votes > most) lowest = label;
      most = std::max(most, votes);
    });
    try_winners(lowest, winners == 1 ? lowest : high, most, [&](U key) {
      if (winners == 1) return true;
      const auto run = std::equal_range(memory_, end, key);
      return run.second - run.first == most;
    });
  }

  // Compare the best label so far with the labels in [lowest, high] that have the most votes in this range. is_winner
  // selects these labels; `lowest` is one of them.
  template <class IsWinner>
  void try_winners(U lowest, U high, i64 votes, IsWinner is_winner) {
    const bool is_tie = votes == best_.votes;
    if (votes < best_.votes || (is_tie && ties_ == Ties::lowest)) return;
    if (ties_ == Ties::lowest) {
      best_ = {lowest, votes, 0};
      return;
    }
    i64 position = 0;
    in_order_([&](U key) {
      if (is_tie && position == best_.position) return false;  // the best label so far occurs first
      const bool wins = lowest <= key && key <= high && is_kept(key) && is_winner(key);
      if (wins) best_ = {key, votes, position};
      ++position;
      return !wins;
    });
  }

  Each each_;
  InOrder in_order_;
  const SelectParams& params_;
  U left_out_;
  Ties ties_ = Ties::first;
  U* memory_ = nullptr;
  i64 room_ = 0;
  Best best_ = {};
};

}  // namespace tinypyr
