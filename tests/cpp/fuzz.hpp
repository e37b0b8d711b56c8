// Cases of pyramid() made from bytes, for libFuzzer (see tests/fuzz.sh) and for random bytes.
#pragma once

#include <cstdint>

namespace tinypyr_tests {

// Check cases made from random bytes until the time is over or a check fails. The seed is printed, and repeats the run.
void check_random_bytes(int seconds, std::uint64_t seed);

}  // namespace tinypyr_tests
