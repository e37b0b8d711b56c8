// Values to keys and back.
//
// A key is an unsigned integer of the voxel's width; keys are ordered as values are, and equal when values are. With
// keys, min, max, median and mode are each one loop for every dtype:
//
//   boolean    anything but 0 is 1
//   unsigned   itself
//   signed     the sign bit flipped
//   floating   all bits of a negative number flipped, the sign bit of any other; -0.0 becomes 0.0; every NaN becomes
//   one
//              key that wins (above all others, and below all others for min, because NaN propagates)
//
// ignore needs no code in the extremes either: the ignored key is moved to the end that never wins, and the keys
// between make room by one (a bijection). A block of only ignored voxels then gives the ignored value by itself.
#pragma once

#include <cstdint>

#include "dtypes.hpp"

namespace tinypyr {

enum class Move : std::uint8_t { none, to_top, to_bottom };

struct Codec {
  int width = 1;
  Kind kind = Kind::unsigned_integer;
  bool swapped = false;
  bool nan_lowest = false;
  bool values = false;  // floats stay floats (means), and everything else becomes a key
  Move move = Move::none;
  std::uint64_t moved = 0;  // the key that is moved

  std::uint64_t top_bit() const { return std::uint64_t{1} << (8 * width - 1); }
  std::uint64_t mask() const { return ~std::uint64_t{0} >> (64 - 8 * width); }

  bool keys_are_bits() const { return kind == Kind::unsigned_integer || (values && kind == Kind::floating); }
  bool is_identity() const { return keys_are_bits() && !swapped && move == Move::none; }
  std::uint64_t nan_key() const { return nan_lowest ? 0 : mask(); }

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

template <Kind kind, class U>
TINYPYR_INLINE U to_key(U bits, U nan_key) {
  constexpr U top = top_bit_of<U>;
  if constexpr (kind == Kind::boolean) return bits != 0;
  if constexpr (kind == Kind::signed_integer) return static_cast<U>(bits ^ top);
  if constexpr (kind == Kind::floating) {
    constexpr U infinity = sizeof(U) == 4 ? static_cast<U>(0x7f800000u) : static_cast<U>(0x7ff0000000000000u);
    const U magnitude = static_cast<U>(bits & ~top);
    U key = static_cast<U>(bits & top ? ~bits : bits | top);
    key = magnitude == 0 ? top : key;
    return magnitude > infinity ? nan_key : key;
  }
  return bits;
}

template <Kind kind, class U>
TINYPYR_INLINE U to_bits(U key, U nan_key) {
  constexpr U top = top_bit_of<U>;
  if constexpr (kind == Kind::signed_integer) return static_cast<U>(key ^ top);
  if constexpr (kind == Kind::floating) {
    constexpr U nan = sizeof(U) == 4 ? static_cast<U>(0x7fc00000u) : static_cast<U>(0x7ff8000000000000u);
    const U bits = static_cast<U>(key & top ? key & ~top : ~key);
    return key == nan_key ? nan : bits;
  }
  return key;
}

template <class U>
TINYPYR_INLINE U move_key(U key, Move move, U moved) {
  if (move == Move::to_top) return key == moved ? static_cast<U>(~U{0}) : static_cast<U>(key - (key > moved));
  return key == moved ? U{0} : static_cast<U>(key + (key < moved));
}

template <class U>
TINYPYR_INLINE U move_back(U key, Move move, U moved) {
  if (move == Move::to_top) return key == static_cast<U>(~U{0}) ? moved : static_cast<U>(key + (key >= moved));
  return key == 0 ? moved : static_cast<U>(key - (key <= moved));
}

inline std::uint64_t Codec::key(std::uint64_t bits) const {
  if (keys_are_bits()) return bits;
  if (kind == Kind::boolean) return bits != 0;
  if (kind == Kind::signed_integer) return bits ^ top_bit();
  return width == 4 ? to_key<Kind::floating>(static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(nan_key()))
                    : to_key<Kind::floating>(bits, nan_key());
}

}  // namespace tinypyr
