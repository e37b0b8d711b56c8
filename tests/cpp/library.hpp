// The library's interface, and helpers for its dtypes, methods and instruction sets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tinypyr/tinypyr.hpp"

namespace tinypyr_tests {

using namespace tinypyr;

using i64 = std::int64_t;
using u64 = std::uint64_t;
__extension__ typedef __int128 i128;

constexpr Method methods[] = {Method::mean, Method::mode, Method::median, Method::min, Method::max, Method::stride};

inline const char* name_of(Method method) {
  constexpr const char* names[] = {"mean", "mode", "median", "min", "max", "stride"};
  return names[static_cast<int>(method)];
}

inline const char* name_of(Dtype dtype) { return row(dtype).name; }
inline int width_of(Dtype dtype) { return row(dtype).width; }  // bytes
inline bool is_boolean(Dtype dtype) { return row(dtype).kind == Kind::boolean; }
inline bool is_signed(Dtype dtype) { return row(dtype).kind == Kind::signed_integer; }
inline bool is_float(Dtype dtype) { return row(dtype).kind == Kind::floating; }

inline int instruction_set_count() {
  int count = 0;
  instruction_sets(&count);
  return count;
}

inline const char* instruction_set_name(int isa) {
  int count = 0;
  return instruction_sets(&count)[isa];
}

constexpr int boundary_mode_count = 8;
constexpr Operation operation_mask = Operation::mask;
constexpr Status status_bad_voxel_offset = Status::bad_voxel_offset;

inline void set_voxel_offset(Options& options, const i64* offset) { options.voxel_offset = offset; }
inline void set_boundary_mode(Sampling& sampling, BoundaryMode mode) { sampling.boundary_mode = mode; }

}  // namespace tinypyr_tests
