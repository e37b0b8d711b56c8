// Values to keys and back.
//
// A key is an unsigned integer of the voxel's width. Keys are equal when values are and ordered as values are, so min,
// max, median and mode are each one loop for every dtype:
//
//   boolean    anything but 0 is 1
//   unsigned   itself
//   signed     the sign bit flipped
//   floating   all bits of a negative number flipped, the sign bit of any other; -0.0 becomes 0.0, and every
//              NaN is one key above all others
//
// Where only equality matters (Encoding::canonical) signs stay as they are.
//
// ignore needs no code in the extremes of keys either: the ignored key is remapped to the end that never wins, and the
// keys between make room by one (a bijection). A block of only ignored voxels then gives the ignored value by itself.
#pragma once

#include <cstdint>

#include "dtypes.hpp"

namespace tinypyr {

enum class IgnoreRemap : std::uint8_t { none, to_top, to_bottom };

// What kernels see of a voxel: its value as it is (floats; integers as keys), a number equal for equal values, or a
// key.
enum class Encoding : std::uint8_t { value, canonical, key };

struct Codec {
  int width = 1;
  Kind kind = Kind::unsigned_integer;
  bool swapped = false;
  Encoding encoding = Encoding::key;
  IgnoreRemap remap = IgnoreRemap::none;
  std::uint64_t remapped = 0;  // the key that is remapped

  std::uint64_t top_bit() const { return std::uint64_t{1} << (8 * width - 1); }
  std::uint64_t mask() const { return ~std::uint64_t{0} >> (64 - 8 * width); }

  bool keys_are_bits() const {
    return kind == Kind::unsigned_integer || (encoding == Encoding::value && kind == Kind::floating) ||
           (encoding == Encoding::canonical && kind == Kind::signed_integer);
  }
  bool is_identity() const { return keys_are_bits() && !swapped && remap == IgnoreRemap::none; }
  std::uint64_t nan_key() const { return mask(); }

  // One value given as bits in native byte order, before any move.
  std::uint64_t key(std::uint64_t bits) const;
};

// The kernels' loops are made of the functions below, so they must inline into every instruction set's region.

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
TINYPYR_INLINE U remap_key(U key, IgnoreRemap remap, U remapped) {
  if (remap == IgnoreRemap::to_top)
    return key == remapped ? static_cast<U>(~U{0}) : static_cast<U>(key - (key > remapped));
  return key == remapped ? U{0} : static_cast<U>(key + (key < remapped));
}

template <class U>
TINYPYR_INLINE U undo_remap(U key, IgnoreRemap remap, U remapped) {
  if (remap == IgnoreRemap::to_top)
    return key == static_cast<U>(~U{0}) ? remapped : static_cast<U>(key + (key >= remapped));
  return key == 0 ? remapped : static_cast<U>(key - (key <= remapped));
}

inline std::uint64_t Codec::key(std::uint64_t bits) const {
  if (keys_are_bits()) return bits;
  if (kind == Kind::boolean) return bits != 0;
  if (kind == Kind::signed_integer) return bits ^ top_bit();
  const auto narrow = static_cast<std::uint32_t>(bits);
  if (encoding == Encoding::canonical)
    return width == 4 ? to_key<Kind::floating, Encoding::canonical>(narrow)
                      : to_key<Kind::floating, Encoding::canonical>(bits);
  return width == 4 ? to_key<Kind::floating, Encoding::key>(narrow) : to_key<Kind::floating, Encoding::key>(bits);
}

}  // namespace tinypyr
