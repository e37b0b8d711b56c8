#include "guarded_memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tinypyr_tests {

namespace {

std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

GuardedMemory::GuardedMemory(std::size_t bytes) : bytes_((bytes + page_size() - 1) / page_size() * page_size()) {
  void* pages = mmap(nullptr, bytes_ + 2 * page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    std::perror("mmap");
    std::exit(2);
  }
  low_ = static_cast<char*>(pages) + page_size();
  set_writable(true);
}

GuardedMemory::~GuardedMemory() { munmap(low_ - page_size(), bytes_ + 2 * page_size()); }

void GuardedMemory::set_writable(bool writable) const {
  if (mprotect(low_, bytes_, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0) return;
  std::perror("mprotect");
  std::exit(2);
}

const GuardedMemory& input_memory() {
  static const GuardedMemory memory(std::size_t{4} << 20);
  return memory;
}

const GuardedMemory& output_memory(int index) {
  static const GuardedMemory memory[most_levels] = {
      GuardedMemory(std::size_t{4} << 20), GuardedMemory(std::size_t{2} << 20), GuardedMemory(std::size_t{2} << 20),
      GuardedMemory(std::size_t{2} << 20)};
  return memory[index];
}

void fill_unwritten(char* bytes, std::size_t count) { std::memset(bytes, unwritten, count); }

bool is_unwritten(const char* bytes, std::size_t count) {
  return std::all_of(bytes, bytes + count, [](char byte) { return static_cast<unsigned char>(byte) == unwritten; });
}

}  // namespace tinypyr_tests
