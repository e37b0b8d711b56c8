// The distinct values of an array. Labels occur in runs, so only the first voxel of each run is looked up.
#pragma once

#include <cstring>

#include "arena.hpp"
#include "integers.hpp"

namespace tinypyr {

// A set of keys with open addressing, at most half full. An empty slot holds 0, so the key 0 is stored separately.
// Order of calls: allocate, then add.
class KeySet {
 public:
  // Allocate room for this many keys. Return false if memory runs out.
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

  // Add a key. Return true if it is new.
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

// Write the distinct values of n > 0 voxels, as bits and in order of their first voxels. Return their number, or room +
// 1 if it exceeds room.
template <class U>
i64 distinct_of(const U* voxels, i64 n, u64* values, i64 room, KeySet& seen) {
  constexpr i64 line = 64 / sizeof(U);
  i64 count = 0;
  U last = static_cast<U>(~voxels[0]);
  for (i64 i = 0; i < n;) {
    if (i > 0 && n - i >= line) {  // one cache line: nearly always it repeats the label before it
      U differs = 0;
      for (i64 j = i; j < i + line; ++j) differs = static_cast<U>(differs | (voxels[j] ^ last));
      if (differs == 0) {
        i += line;
        continue;
      }
    }
    const i64 end = n - i < line ? n : i + line;
    U run_values[line];  // first values of the runs that begin here, collected without a branch per voxel
    i64 runs = 0;
    for (; i < end; ++i) {
      run_values[runs] = voxels[i];
      runs += voxels[i] != last;
      last = voxels[i];
    }
    for (i64 run = 0; run < runs; ++run) {
      if (!seen.add(run_values[run])) continue;
      if (count == room) return room + 1;
      values[count++] = run_values[run];
    }
  }
  return count;
}

}  // namespace tinypyr
