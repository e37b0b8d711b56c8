// Requests for memory ahead of its use. Addresses need not be valid: a prefetch never faults.
#pragma once

#include "integers.hpp"

namespace tinypyr {

// Request memory that will be read soon.
TINYPYR_INLINE void prefetch([[maybe_unused]] const char* from, [[maybe_unused]] i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(from + line);
#endif
}

// Request memory that will be read a little later: into the second-level cache.
TINYPYR_INLINE void prefetch_to_second([[maybe_unused]] const char* from, [[maybe_unused]] i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(from + line, 0, 2);
#endif
}

// Request memory that will be written soon.
TINYPYR_INLINE void prefetch_to_write([[maybe_unused]] char* to, [[maybe_unused]] i64 bytes) {
#if defined(__GNUC__)
  for (i64 line = 0; line < bytes; line += 64) __builtin_prefetch(to + line, 1);
#endif
}

}  // namespace tinypyr
