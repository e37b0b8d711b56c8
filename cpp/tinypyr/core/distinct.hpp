// Which values an array holds. Labels come in runs, so only the first voxel of each run is looked up.
#pragma once

#include <cstring>

#include "../kernels/table.hpp"
#include "problem.hpp"

namespace tinypyr {

// Keys in open addressing, at most half of the places taken. (A place that holds 0 is empty; 0 itself is kept apart.)
class KeySet {
 public:
  bool allocate(i64 room) {
    shift_ = 64;
    i64 places = 2;
    for (; places < 2 * room; places *= 2) --shift_;
    --shift_;
    if (!memory_.reserve(8 * places)) return false;
    std::memset(memory_.data(), 0, static_cast<std::size_t>(8 * places));
    mask_ = static_cast<u64>(places - 1);
    return true;
  }
  // Whether it was not there yet.
  bool add(u64 key) {
    if (key == 0) {
      const bool is_new = !has_zero_;
      has_zero_ = true;
      return is_new;
    }
    u64* const places = reinterpret_cast<u64*>(memory_.data());
    u64 at = key * 0x9e3779b97f4a7c15u >> shift_;
    while (places[at] != 0 && places[at] != key) at = (at + 1) & mask_;
    const bool is_new = places[at] == 0;
    places[at] = key;
    return is_new;
  }

 private:
  Arena memory_;
  u64 mask_ = 0;
  int shift_ = 64;
  bool has_zero_ = false;
};

// The distinct values of n > 0 voxels as bits, in the order in which they are met: how many, or room + 1 if there are more.
template <class U>
i64 distinct_of(const U* voxels, i64 n, u64* found, i64 room, KeySet& seen) {
  constexpr i64 some = 64 / sizeof(U);
  i64 count = 0;
  U last = static_cast<U>(~voxels[0]);
  for (i64 i = 0; i < n;) {
    if (i > 0 && n - i >= some) {  // one cache line, which nearly always goes on as the last one ended
      U differs = 0;
      for (i64 j = i; j < i + some; ++j) differs = static_cast<U>(differs | (voxels[j] ^ last));
      if (differs == 0) {
        i += some;
        continue;
      }
    }
    const i64 end = n - i < some ? n : i + some;
    U begun[some];  // where runs begin, without a branch for every voxel
    i64 runs = 0;
    for (; i < end; ++i) {
      begun[runs] = voxels[i];
      runs += voxels[i] != last;
      last = voxels[i];
    }
    for (i64 run = 0; run < runs; ++run) {
      if (!seen.add(begun[run])) continue;
      if (count == room) return room + 1;
      found[count++] = begun[run];
    }
  }
  return count;
}

}  // namespace tinypyr
