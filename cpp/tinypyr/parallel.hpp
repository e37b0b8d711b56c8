// One call on several threads: the slowest axis in ranges of whole blocks of the last level, so that no two threads
// share a footprint or an output voxel. Threads are started and joined in each call (nothing outlives it, so a fork
// afterwards is safe). The calling thread asks keep_going between slabs.
#pragma once

#include <atomic>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "problem.hpp"

namespace tinypyr {

constexpr i64 bytes_worth_a_thread = i64{1} << 18;
constexpr i64 bytes_of_a_slab = i64{1} << 26;

// work(part) is called for every part.
template <class Work>
Status in_parallel(const Problem& whole, const Options& options, Work work) {
  i64 threads = options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  threads = std::min(threads, std::max<i64>(1, whole.bytes() / bytes_worth_a_thread));
  const bool one_part = threads == 1 && (options.keep_going == nullptr || whole.bytes() <= bytes_of_a_slab);
  if (one_part) return work(whole);

  int axis = whole.ndim - 1;
  const auto blocks_along = [&](int candidate) { return whole.top().extent[candidate]; };
  for (int other = whole.ndim - 2; other >= 0; --other)
    if (blocks_along(axis) < threads && blocks_along(other) > blocks_along(axis)) axis = other;
  const i64 blocks = blocks_along(axis);
  threads = std::min(threads, blocks);
  const i64 slab = std::max<i64>(1, bytes_of_a_slab / std::max<i64>(1, whole.bytes() / blocks));

  std::atomic<int> result{static_cast<int>(Status::ok)};
  const auto still_ok = [&] { return result.load(std::memory_order_relaxed) == static_cast<int>(Status::ok); };
  const auto worker = [&](i64 number) {
    const i64 end = blocks * (number + 1) / threads;
    const std::unique_ptr<Problem> part = Problem::allocate();
    for (i64 first = blocks * number / threads; first < end && still_ok(); first += slab) {
      Status status = Status::out_of_memory;
      if (part) {
        *part = whole;
        part->restrict_to(axis, first, std::min(slab, end - first));
        status = work(*part);
      }
      if (number == 0 && status == Status::ok && options.keep_going != nullptr && !options.keep_going(options.context))
        status = Status::interrupted;
      int ok = static_cast<int>(Status::ok);
      if (status != Status::ok) result.compare_exchange_strong(ok, static_cast<int>(status));
    }
  };

  i64 started = 1;
  std::vector<std::thread> others;
  try {
    others.reserve(static_cast<std::size_t>(threads - 1));
    for (; started < threads; ++started) others.emplace_back(worker, started);
  } catch (const std::bad_alloc&) {  // fewer threads than asked for: this one does the rest
  } catch (const std::system_error&) {
  }
  worker(0);
  for (i64 number = started; number < threads; ++number) worker(number);
  for (std::thread& other : others) other.join();
  return static_cast<Status>(result.load());
}

}  // namespace tinypyr
