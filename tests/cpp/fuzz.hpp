// Calls of pyramid() that are derived from bytes, for libFuzzer (see tests/fuzz.sh) and for random bytes.
#pragma once

#include <cstdint>

namespace tinypyr_tests {

// Check calls derived from random bytes until the time is over or a check fails. The printed seed repeats the run.
void check_random_bytes(int seconds, std::uint64_t seed);

}  // namespace tinypyr_tests
