// Conversion between voxels as bits, in the low bytes of a 64-bit integer, and the values that they encode.
#pragma once

#include "library.hpp"

namespace tinypyr_tests {

double float_of(Dtype dtype, u64 bits);          // of a dtype of floats
u64 bits_of_float(Dtype dtype, double value);    // rounded to the dtype
i128 integer_of(Dtype dtype, u64 bits);          // of a dtype of integers or of booleans
u64 bits_of_integer(Dtype dtype, i128 value);    // modulo 2**(bits of the dtype)
double double_of(Dtype dtype, u64 bits);         // of any dtype, rounded
bool is_nan(Dtype dtype, u64 bits);              // false for every integer
bool is_less(Dtype dtype, u64 left, u64 right);  // NaN is above all other values
u64 largest_bits(Dtype dtype);                   // all bits of the dtype are set

// Return one pattern per value: 1 for every true, +0.0 for -0.0, one NaN. Methods that compare voxels return such
// patterns.
u64 canonical(Dtype dtype, u64 bits);

// Write a voxel in this machine's byte order (little-endian) or in the opposite one.
void put_bits(char* to, u64 bits, int width, bool swapped = false);
u64 get_bits(const char* from, int width, bool swapped = false);

}  // namespace tinypyr_tests
