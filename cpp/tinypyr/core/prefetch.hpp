// Prefetch instructions. Addresses need not be valid: a prefetch never faults.
#pragma once

#include "integers.hpp"

namespace tinypyr {

// Prefetch memory for reading, into the first-level cache.
TINYPYR_INLINE void prefetch([[maybe_unused]] const char* from, [[maybe_unused]] i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(from + line);
#endif
}

// Prefetch memory for reading a little later, into the second-level cache.
TINYPYR_INLINE void prefetch_to_second([[maybe_unused]] const char* from, [[maybe_unused]] i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(from + line, 0, 2);
#endif
}

// Prefetch memory for writing.
TINYPYR_INLINE void prefetch_to_write([[maybe_unused]] char* to, [[maybe_unused]] i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(to + line, 1);
#endif
}

}  // namespace tinypyr
