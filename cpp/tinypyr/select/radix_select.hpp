// Mode and median of a footprint that is too large to be held: several sweeps over its voxels, each of which looks at a
// part of their values. Keys are cut into bytes, as in a radix sort: voxels are counted per value of the byte at hand,
// and what cannot be the answer is not looked at again.
#pragma once

#include <algorithm>

#include "../core/problem.hpp"

namespace tinypyr {

// visit(label, votes) of sorted keys.
template <class U, class Visit>
inline void each_label(const U* sorted, const U* end, Visit visit) {
  while (sorted != end) {
    const U* next = std::upper_bound(sorted, end, *sorted);
    visit(*sorted, static_cast<i64>(next - sorted));
    sorted = next;
  }
}

// each(visit): visit(key) of all voxels, in raster order.
template <class U, class Each>
class RadixSelect {
 public:
  RadixSelect(Each each, const SelectParams& how) : each_(each), how_(how), left_out_(static_cast<U>(how.ignore)) {}

  // The lower middle of what is kept, whose ignored keys have been moved to the top; a NaN wherever there is one.
  U median() {
    left_out_ = static_cast<U>(~U{0});
    bool nan = false;
    if (how_.has_nan) each_([&](U key) { nan = nan || key == static_cast<U>(how_.nan); });
    if (nan) return static_cast<U>(how_.nan);
    i64 counts[256], rank = -1;
    U found = 0;
    for (int shift = top_shift; shift >= 0; shift -= 8) {
      count(found, shift, counts);
      if (shift == top_shift) {
        i64 kept = 0;
        for (const i64 voxels : counts) kept += voxels;
        if (kept == 0) return left_out_;
        rank = (kept - 1) / 2;
      }
      int byte = 0;
      for (; rank >= counts[byte]; ++byte) rank -= counts[byte];
      found = with_byte(found, shift, byte);
    }
    return found;
  }

  // memory: room for so many keys.
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
  bool kept(U key) const { return !how_.has_ignore || key != left_out_; }

  // Voxels per byte at `shift` of the keys that agree with prefix above it.
  void count(U prefix, int shift, i64* counts) {
    std::fill(counts, counts + 256, 0);
    const U low = prefix, high = with_byte(static_cast<U>(prefix | below(shift)), shift, 255);
    each_([&](U key) { counts[key >> shift & 255] += low <= key && key <= high && kept(key); });
  }

  // All labels that agree with prefix above the byte at `shift`, as many values of it at a time as there is room for.
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

  // The labels of a range, whose voxels there is room for.
  void try_some(U low, U high) {
    U* end = memory_;
    each_([&](U key) {
      if (low <= key && key <= high && kept(key)) *end++ = key;
    });
    std::sort(memory_, end);
    i64 most = 0;
    U lowest = 0;
    each_label(memory_, end, [&](U label, i64 votes) {
      if (votes > most) lowest = label;
      most = std::max(most, votes);
    });
    try_winners(lowest, high, most, [&](U key) {
      const auto run = std::equal_range(memory_, end, key);
      return run.second - run.first == most;
    });
  }

  // Labels from `lowest`, which is one of them, to `high` that have the most votes of all there: better than those before?
  template <class Wins>
  void try_winners(U lowest, U high, i64 votes, Wins wins) {
    if (votes < best_.votes || (votes == best_.votes && ties_ == Ties::lowest)) return;
    Best found = {lowest, votes, 0};
    if (ties_ == Ties::first) {
      i64 position = 0;
      bool searching = true;
      each_([&](U key) {
        if (searching && lowest <= key && key <= high && kept(key) && wins(key)) {
          found = {key, votes, position};
          searching = false;
        }
        ++position;
      });
    }
    if (votes > best_.votes || found.position < best_.position) best_ = found;
  }

  Each each_;
  const SelectParams& how_;
  U left_out_;
  Ties ties_ = Ties::first;
  U* memory_ = nullptr;
  i64 room_ = 0;
  Best best_ = {};
};

}  // namespace tinypyr
