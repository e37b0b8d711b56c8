// Conversion between values and keys.
//
// A key is an unsigned integer of the voxel's width. Keys compare like the values that they encode, so that min, max,
// median and mode are each one loop for every dtype:
//
//   boolean    0 for 0, 1 for anything else
//   unsigned   the value
//   signed     the value with its sign bit flipped
//   floating   all bits flipped for negative numbers, else the sign bit; -0.0 has the key of 0.0, and every NaN has the
//              same key, which is above all others
//
// Where only equality matters (Encoding::canonical), sign bits are not flipped, but -0.0 becomes 0.0 and every NaN nan_of.
//
// NaN is made canonical in four places: to_key and from_key (mode and median), canonical_nan in kernels/basics.inl (means,
// extremes, interpolation), and make_nan_canonical below (sums that are returned). Stride copies voxels bit by bit.
//
// The extremes and the median of keys need no branch for an ignored value. Its key is remapped to the end of the range
// that never wins, and the keys between are shifted by one to keep the mapping bijective. A footprint of ignored voxels
// only then yields the ignored value.
#pragma once

#include <cstring>

#include "dtypes.hpp"
#include "integers.hpp"

namespace tinypyr {

enum class IgnoreRemap : std::uint8_t { none, to_top, to_bottom };

// The form of a voxel in a kernel: its value (floats unchanged, integers as keys), a canonical number that is equal for
// equal values, or a key.
enum class Encoding : std::uint8_t { value, canonical, key };

struct Codec {
  int width = 1;
  Kind kind = Kind::unsigned_integer;
  bool swapped = false;
  Encoding encoding = Encoding::key;
  IgnoreRemap remap = IgnoreRemap::none;
  u64 remapped = 0;  // key of the ignored value before the remapping

  u64 top_bit() const { return u64{1} << (8 * width - 1); }
  u64 mask() const { return ~u64{0} >> (64 - 8 * width); }

  bool keys_are_bits() const {
    return kind == Kind::unsigned_integer || (encoding == Encoding::value && kind == Kind::floating) ||
           (encoding == Encoding::canonical && kind == Kind::signed_integer);
  }
  bool is_identity() const { return keys_are_bits() && !swapped && remap == IgnoreRemap::none; }
  // Keys differ from voxels by the sign bit alone, which loops for small footprints flip while they read and write.
  bool only_flips() const {
    return kind == Kind::signed_integer && !keys_are_bits() && !swapped && remap == IgnoreRemap::none;
  }
  // Loops for small footprints read and write voxels of this encoding where they are.
  bool is_identity_or_flip() const { return is_identity() || only_flips(); }
  u64 flipped_bit() const { return only_flips() ? top_bit() : 0; }
  u64 nan_key() const { return mask(); }

  // Return the key, before any remapping, of a value in the form of bits in native byte order.
  u64 key(u64 bits) const;
};

// The functions below are the bodies of the kernels' loops, so they must be inlined into each instruction set's region.

template <class U>
TINYPYR_INLINE U swap_bytes(U x) {
  U y = 0;
  for (unsigned byte = 0; byte < sizeof(U); ++byte)
    y = static_cast<U>(y << (sizeof(U) > 1 ? 8 : 0) | (x >> 8 * byte & 0xff));
  return y;
}

template <class U>
constexpr U top_bit_of = static_cast<U>(U{1} << (8 * sizeof(U) - 1));

template <class U>
constexpr U infinity_of = sizeof(U) == 4 ? static_cast<U>(0x7f800000u) : static_cast<U>(0x7ff0000000000000u);
template <class U>
constexpr U nan_of = sizeof(U) == 4 ? static_cast<U>(0x7fc00000u) : static_cast<U>(0x7ff8000000000000u);

template <Kind kind, Encoding encoding, class U>
TINYPYR_INLINE U to_key(U bits) {
  static_assert(kind != Kind::floating || sizeof(U) == 4 || sizeof(U) == 8, "only floats of 4 and 8 bytes have keys");
  constexpr U top = top_bit_of<U>;
  if constexpr (kind == Kind::boolean) return bits != 0;
  if constexpr (kind == Kind::signed_integer) return static_cast<U>(bits ^ top);
  if constexpr (kind == Kind::floating) {
    const U magnitude = static_cast<U>(bits & ~top);
    const U number = magnitude == 0 ? U{0} : bits;
    if constexpr (encoding == Encoding::canonical) return magnitude > infinity_of<U> ? nan_of<U> : number;
    const U key = static_cast<U>(number & top ? ~number : number | top);
    return magnitude > infinity_of<U> ? static_cast<U>(~U{0}) : key;
  }
  return bits;
}

template <Kind kind, class U>
TINYPYR_INLINE U from_key(U key) {
  constexpr U top = top_bit_of<U>;
  if constexpr (kind == Kind::signed_integer) return static_cast<U>(key ^ top);
  if constexpr (kind == Kind::floating) {
    const U bits = static_cast<U>(key & top ? key & ~top : ~key);
    return key == static_cast<U>(~U{0}) ? nan_of<U> : bits;
  }
  return key;
}

template <class U>
TINYPYR_INLINE U remap_key(U key, IgnoreRemap remap, U ignored) {
  if (remap == IgnoreRemap::to_top)
    return key == ignored ? static_cast<U>(~U{0}) : static_cast<U>(key - (key > ignored));
  return key == ignored ? U{0} : static_cast<U>(key + (key < ignored));
}

template <class U>
TINYPYR_INLINE U undo_remap(U key, IgnoreRemap remap, U ignored) {
  if (remap == IgnoreRemap::to_top)
    return key == static_cast<U>(~U{0}) ? ignored : static_cast<U>(key + (key >= ignored));
  return key == 0 ? ignored : static_cast<U>(key - (key <= ignored));
}

// Replace NaN among sums of floats by the canonical one, as kernels do for voxels.
inline void make_nan_canonical(char* sums, i64 n) {
  for (i64 i = 0; i < n; ++i) {
    double sum;
    std::memcpy(&sum, sums + 8 * i, 8);
    if (sum != sum) std::memcpy(sums + 8 * i, &nan_of<u64>, 8);
  }
}

inline u64 Codec::key(u64 bits) const {
  if (keys_are_bits()) return bits;
  if (kind == Kind::boolean) return bits != 0;
  if (kind == Kind::signed_integer) return bits ^ top_bit();
  const auto narrow = static_cast<u32>(bits);
  if (encoding == Encoding::canonical)
    return width == 4 ? to_key<Kind::floating, Encoding::canonical>(narrow)
                      : to_key<Kind::floating, Encoding::canonical>(bits);
  return width == 4 ? to_key<Kind::floating, Encoding::key>(narrow) : to_key<Kind::floating, Encoding::key>(bits);
}

}  // namespace tinypyr
