#include "voxels.hpp"

#include <cmath>
#include <cstring>

namespace tinypyr_tests {

double float_of(Dtype dtype, u64 bits) {
  if (dtype == Dtype::float64) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  const auto narrow_bits = static_cast<std::uint32_t>(bits);
  float narrow;
  std::memcpy(&narrow, &narrow_bits, sizeof narrow);
  return static_cast<double>(narrow);
}

u64 bits_of_float(Dtype dtype, double value) {
  if (std::isnan(value)) return dtype == Dtype::float64 ? u64{0x7ff8000000000000} : u64{0x7fc00000};
  if (dtype == Dtype::float64) {
    u64 bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  const float narrow = static_cast<float>(value);
  std::uint32_t narrow_bits;
  std::memcpy(&narrow_bits, &narrow, sizeof narrow_bits);
  return narrow_bits;
}

i128 integer_of(Dtype dtype, u64 bits) {
  const int bit_count = 8 * width_of(dtype);
  if (is_boolean(dtype)) return bits != 0;
  const bool negative = is_signed(dtype) && (bits >> (bit_count - 1) & 1) != 0;
  return static_cast<i128>(bits) - (negative ? static_cast<i128>(1) << bit_count : 0);
}

u64 bits_of_integer(Dtype dtype, i128 value) { return static_cast<u64>(value) & largest_bits(dtype); }

double double_of(Dtype dtype, u64 bits) {
  return is_float(dtype) ? float_of(dtype, bits) : static_cast<double>(integer_of(dtype, bits));
}

bool is_nan(Dtype dtype, u64 bits) { return is_float(dtype) && std::isnan(float_of(dtype, bits)); }

bool is_less(Dtype dtype, u64 left, u64 right) {
  if (!is_float(dtype)) return integer_of(dtype, left) < integer_of(dtype, right);
  if (is_nan(dtype, left) || is_nan(dtype, right)) return !is_nan(dtype, left) && is_nan(dtype, right);
  return float_of(dtype, left) < float_of(dtype, right);
}

u64 largest_bits(Dtype dtype) { return ~u64{0} >> (64 - 8 * width_of(dtype)); }

u64 canonical(Dtype dtype, u64 bits) {
  if (is_boolean(dtype)) return bits != 0;
  if (!is_float(dtype)) return bits;
  if (is_nan(dtype, bits)) return bits_of_float(dtype, float_of(dtype, bits));
  return float_of(dtype, bits) == 0 ? 0 : bits;
}

void put_bits(char* to, u64 bits, int width, bool swapped) {
  for (int byte = 0; byte < width; ++byte)
    to[swapped ? width - 1 - byte : byte] = static_cast<char>(bits >> 8 * byte & 0xff);
}

u64 get_bits(const char* from, int width, bool swapped) {
  u64 bits = 0;
  for (int byte = 0; byte < width; ++byte)
    bits |= u64{static_cast<unsigned char>(from[swapped ? width - 1 - byte : byte])} << 8 * byte;
  return bits;
}

}  // namespace tinypyr_tests
