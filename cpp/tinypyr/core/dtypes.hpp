// The table of dtypes: each row has the numpy name, the width in bytes, and the kind.
//
// Kernels do not depend on the dtype. Methods that compare voxels use keys: unsigned integers of the same width, in the
// order of the values (core/codec.hpp). Means of integers add keys too, because flipping the sign bit on reading and
// again on writing does not change a mean. Four widths of integers and two of floats therefore cover every row.
#pragma once

#include <cstdint>

namespace tinypyr {

enum class Kind : std::uint8_t { boolean, unsigned_integer, signed_integer, floating };

#define TINYPYR_DTYPES(ROW)                  \
  ROW(bool8, "bool", 1, boolean)             \
  ROW(uint8, "uint8", 1, unsigned_integer)   \
  ROW(uint16, "uint16", 2, unsigned_integer) \
  ROW(uint32, "uint32", 4, unsigned_integer) \
  ROW(uint64, "uint64", 8, unsigned_integer) \
  ROW(int8, "int8", 1, signed_integer)       \
  ROW(int16, "int16", 2, signed_integer)     \
  ROW(int32, "int32", 4, signed_integer)     \
  ROW(int64, "int64", 8, signed_integer)     \
  ROW(float32, "float32", 4, floating)       \
  ROW(float64, "float64", 8, floating)

enum class Dtype : std::uint8_t {
#define TINYPYR_ENUM(id, name, width, kind) id,
  TINYPYR_DTYPES(TINYPYR_ENUM)
#undef TINYPYR_ENUM
};

struct DtypeRow {
  const char* name;
  int width;  // bytes
  Kind kind;
};

constexpr DtypeRow dtype_rows[] = {
#define TINYPYR_ROW(id, name, width, kind) {name, width, Kind::kind},
    TINYPYR_DTYPES(TINYPYR_ROW)
#undef TINYPYR_ROW
};

constexpr int dtype_count = static_cast<int>(sizeof(dtype_rows) / sizeof(dtype_rows[0]));

// Kernels read voxels of 1, 2, 4 and 8 bytes, and floats of 4 and 8 bytes.
#define TINYPYR_CHECK(id, name, width, kind)                                                                    \
  static_assert(width == 1 || width == 2 || width == 4 || width == 8, name ": voxels have 1, 2, 4 or 8 bytes"); \
  static_assert(Kind::kind != Kind::floating || width == 4 || width == 8, name                                  \
                ": floats have 4 or 8 bytes. Narrower ones need keys (core/codec.hpp), means and extremes "     \
                "(kernels/kernels.inl) and interpolation (kernels/samples.inl) of their own first");
TINYPYR_DTYPES(TINYPYR_CHECK)
#undef TINYPYR_CHECK

// Return the row of a dtype, or the first row for a number that is no dtype; check() in core/view.hpp rejects such
// numbers.
constexpr const DtypeRow& row(Dtype dtype) {
  const int index = static_cast<int>(dtype);
  return dtype_rows[index < dtype_count ? index : 0];
}

// Return the index of a width of 1, 2, 4 or 8 bytes in tables with one entry per width.
constexpr int width_index(int width) { return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3; }

}  // namespace tinypyr
