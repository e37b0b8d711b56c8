// Memory between two pages that fault on any access. An array that begins at low() or ends at high() is adjacent to
// such a page, so that an access outside the array ends the program at once.
#pragma once

#include <cstddef>

namespace tinypyr_tests {

class GuardedMemory {
 public:
  // The size is rounded up to whole pages. If there is no memory, the program ends.
  explicit GuardedMemory(std::size_t bytes);
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory();

  char* low() const { return low_; }
  char* high() const { return low_ + bytes_; }

  // While this is off, writes fault too.
  void set_writable(bool writable) const;

 private:
  std::size_t bytes_;
  char* low_;
};

// Limit of the levels that tests place in guarded memory.
constexpr int most_levels = 4;

// One block for inputs and one per output, shared by all tests and never freed.
const GuardedMemory& input_memory();
const GuardedMemory& output_memory(int index);  // 0 <= index < most_levels

// The value of output bytes before a call, which distinguishes written bytes from unwritten ones.
constexpr unsigned char unwritten = 0xa5;
void fill_unwritten(char* bytes, std::size_t count);
bool is_unwritten(const char* bytes, std::size_t count);

}  // namespace tinypyr_tests
