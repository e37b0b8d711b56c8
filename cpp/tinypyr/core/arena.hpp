// Memory for one thread's rows and tables: one allocation that is divided into arrays.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace tinypyr {

// Round up to a multiple of a cache line, so that arrays have the alignment of the whole allocation.
constexpr std::int64_t round_up(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Memory that is used either as one array (reserve, data) or as a bump allocator (allocate). It grows when a request
// exceeds it, is reused by later requests, and is freed with the arena.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { std::free(start_); }

  // Provide at least this many bytes, aligned for every type used here. Growing discards the contents. Return false if
  // memory runs out.
  bool reserve(std::int64_t bytes) {
    if (bytes <= size_) return true;
    std::free(start_);
    start_ = static_cast<char*>(std::malloc(static_cast<std::size_t>(bytes)));
    size_ = start_ == nullptr ? 0 : bytes;
    return start_ != nullptr;
  }

  // Run layout(take) twice: first to add up the bytes, then to assign addresses. take.array<T>(n) returns an
  // uninitialised array of n elements; in the first run it returns null, so layout must not dereference it. Return
  // false if memory runs out.
  //
  //   arena.allocate([&](auto& take) {
  //     codes_ = take.template array<u8>(n);
  //     votes_ = take.template array<u64>(4 * n);
  //   });
  template <class Layout>
  bool allocate(Layout layout) {
    Taker measure{nullptr, 0};
    layout(measure);
    if (!reserve(measure.used)) return false;
    Taker take{start_, 0};
    layout(take);
    return true;
  }

  char* data() const { return start_; }
  std::int64_t size() const { return size_; }
  void swap(Arena& other) {
    std::swap(start_, other.start_);
    std::swap(size_, other.size_);
  }

 private:
  struct Taker {
    char* start;
    std::int64_t used;

    template <class T>
    T* array(std::int64_t count) {
      char* const at = start == nullptr ? nullptr : start + used;
      used += round_up(count * static_cast<std::int64_t>(sizeof(T)));
      return reinterpret_cast<T*>(at);
    }
  };

  char* start_ = nullptr;
  std::int64_t size_ = 0;
};

}  // namespace tinypyr
