// One call on several threads: the slowest axis in ranges of whole blocks of the last level, so that no two threads
// share a footprint or an output voxel. Each thread begins with its own share; whoever is done takes ranges of another's:
// cores need not be equally fast, nor free. Threads are started and joined in each call (nothing outlives it, so a fork
// afterwards is safe). The calling thread asks keep_going between slabs.
#pragma once

#include <atomic>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "problem.hpp"

namespace tinypyr {

constexpr i64 bytes_worth_a_thread = i64{1} << 18;
constexpr i64 bytes_of_a_slab = i64{1} << 26;
constexpr i64 ranges_of_a_thread = 8;

// begin() is called by every thread: what it returns is called with every part that this thread makes, one after the
// other, and may keep its memory from one to the next.
template <class Begin>
Status in_parallel(const Problem& whole, const Options& options, Begin begin) {
  i64 threads = options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  threads = std::min(threads, std::max<i64>(1, whole.bytes() / bytes_worth_a_thread));
  const bool one_part = threads == 1 && (options.keep_going == nullptr || whole.bytes() <= bytes_of_a_slab);
  if (one_part) return begin()(whole);

  int axis = whole.ndim - 1;
  const auto blocks_along = [&](int candidate) { return whole.top().extent[candidate]; };
  for (int other = whole.ndim - 2; other >= 0; --other)
    if (blocks_along(axis) < threads && blocks_along(other) > blocks_along(axis)) axis = other;
  const i64 blocks = blocks_along(axis);
  threads = std::min(threads, blocks);
  const i64 bytes_of_a_block = std::max<i64>(1, whole.bytes() / blocks);
  // Several ranges for each thread, for whoever is late; none so small that to start on it is felt.
  const i64 bytes_of_a_range =
      threads == 1 ? bytes_of_a_slab
                   : std::clamp(whole.bytes() / (threads * ranges_of_a_thread), bytes_worth_a_thread, bytes_of_a_slab);
  const i64 range = std::max<i64>(1, bytes_of_a_range / bytes_of_a_block);

  std::atomic<int> result{static_cast<int>(Status::ok)};
  const auto share = [&](i64 number) { return blocks * number / threads; };
  const std::unique_ptr<std::atomic<i64>[]> next(new (std::nothrow)
                                                     std::atomic<i64>[static_cast<std::size_t>(threads)]);
  if (!next) return Status::out_of_memory;
  for (i64 number = 0; number < threads; ++number) next[number] = share(number);
  const auto still_ok = [&] { return result.load(std::memory_order_relaxed) == static_cast<int>(Status::ok); };
  const auto settle = [&](Status status) {
    int ok = static_cast<int>(Status::ok);
    if (status != Status::ok) result.compare_exchange_strong(ok, static_cast<int>(status));
  };
  std::atomic<i64> done{0};  // bytes, by all threads
  i64 asked_at = 0;
  const auto ask = [&] {
    if (options.keep_going == nullptr || done - asked_at < bytes_of_a_slab || !still_ok()) return;
    asked_at = done;
    if (!options.keep_going(options.context)) settle(Status::interrupted);
  };
  const auto worker = [&](i64 number) {
    auto work = begin();
    const std::unique_ptr<Problem> part = Problem::allocate();
    for (i64 finished = 0; finished < threads && still_ok();) {  // shares, its own first
      const i64 whose = (number + finished) % threads;
      const i64 first = next[whose].fetch_add(range, std::memory_order_relaxed);
      const i64 taken = std::min(range, share(whose + 1) - first);
      if (taken <= 0) {
        ++finished;
        continue;
      }
      if (part) {
        *part = whole;
        part->restrict_to(axis, first, taken);
      }
      settle(part ? work(*part) : Status::out_of_memory);
      done += taken * bytes_of_a_block;
      if (number == 0) ask();
    }
    if (number == 0) ask();
  };

  std::vector<std::thread> others;
  try {
    others.reserve(static_cast<std::size_t>(threads - 1));
    for (i64 started = 1; started < threads; ++started) others.emplace_back(worker, started);
  } catch (const std::bad_alloc&) {  // fewer threads than asked for: this one does the rest
  } catch (const std::system_error&) {
  }
  worker(0);
  for (std::thread& other : others) other.join();
  return static_cast<Status>(result.load());
}

}  // namespace tinypyr
