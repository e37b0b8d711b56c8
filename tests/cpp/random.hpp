// Pseudo-random numbers, the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>

namespace tinypyr_tests {

// The high halves of Knuth's MMIX generator.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    const std::uint64_t high = next();
    return high << 32 | next();
  }

  // Return a number from 0 to n - 1. (The remainder favours small numbers by a share of n / 2**64.)
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n)); }
  int below(int n) { return static_cast<int>(below(std::int64_t{n})); }

  template <class Choices>
  const auto& element(const Choices& choices) {
    return choices[static_cast<std::size_t>(below(static_cast<std::int64_t>(std::size(choices))))];
  }

 private:
  std::uint64_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 32;
  }

  std::uint64_t state_;
};

// Select one case in `interval`. Hashing the number makes the selection independent of patterns in the numbering of the
// cases.
inline bool is_selected(int number, int interval) {
  return static_cast<std::uint32_t>(number) * 2654435761u / 65536 % static_cast<std::uint32_t>(interval) == 0;
}

}  // namespace tinypyr_tests
