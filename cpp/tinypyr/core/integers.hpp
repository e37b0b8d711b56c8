// Short names of integer types, and types chosen by their width.
#pragma once

#include <cstdint>
#include <type_traits>

#include "compiler.hpp"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the pair reads of kernels/kernels.inl and from_bits assume a little-endian machine"
#endif

namespace tinypyr {

using i64 = std::int64_t;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

template <class T>
constexpr bool is_integer = T(1) / T(2) == T(0);

// The unsigned integer of 1, 2, 4 or 8 bytes.
template <int width>
using unsigned_of =
    std::conditional_t<width == 1, u8, std::conditional_t<width == 2, u16, std::conditional_t<width == 4, u32, u64>>>;
template <class T>
using key_of = unsigned_of<sizeof(T)>;
// The unsigned integer of twice the width. (64-bit integers have no wider type, and are never read in pairs.)
template <class T>
using wider = unsigned_of<2 * sizeof(T)>;

// Call visit(U{}), where U is the unsigned integer of 1, 2, 4 or 8 bytes.
template <class Visit>
inline auto with_unsigned(int width, Visit visit) {
  return width == 1 ? visit(u8{}) : width == 2 ? visit(u16{}) : width == 4 ? visit(u32{}) : visit(u64{});
}

// Return the value whose bits are the low bytes of a number.
template <class T>
TINYPYR_INLINE T from_bits(u64 bits) {
  T value;
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace tinypyr
