// Execution of one call on several threads. One axis, the slowest with enough footprints of the last level for the
// threads (else the one with the most), is divided into ranges of whole footprints, so that no two threads share a footprint or an output voxel. Each thread has a share of the blocks; after its own
// share it takes ranges of other shares, because cores differ in speed and load. Threads are started and joined within
// each call, so a later fork is safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "../tinypyr.hpp"
#include "problem.hpp"
#include "progress.hpp"

namespace tinypyr {

constexpr i64 bytes_worth_a_thread = i64{1} << 18;
constexpr i64 bytes_of_a_slab = i64{1} << 26;
constexpr i64 bytes_of_a_short_call = i64{1} << 20;  // that is not interrupted
constexpr i64 ranges_of_a_thread = 8;

// The division of a problem into ranges.
struct Division {
  int axis;
  i64 blocks;   // number of blocks along the axis
  i64 threads;  // at most as many as blocks
  i64 range;    // number of blocks that a thread takes at a time
  i64 bytes_of_a_block;
};

inline Division divide(const Problem& whole, i64 threads) {
  Division cut;
  const auto blocks_along = [&](int axis) { return whole.top().extent[axis]; };
  cut.axis = whole.ndim - 1;
  for (int other = whole.ndim - 2; other >= 0; --other)
    if (blocks_along(cut.axis) < threads && blocks_along(other) > blocks_along(cut.axis)) cut.axis = other;
  cut.blocks = blocks_along(cut.axis);
  cut.threads = std::min(threads, cut.blocks);
  cut.bytes_of_a_block = std::max<i64>(1, whole.bytes() / cut.blocks);
  // Several ranges per thread, so that threads finish at about the same time; none so small that its overhead matters.
  const i64 bytes_of_a_range = cut.threads == 1 ? bytes_of_a_slab
                                                : std::clamp(whole.bytes() / (cut.threads * ranges_of_a_thread),
                                                             bytes_worth_a_thread, bytes_of_a_slab);
  cut.range = std::max<i64>(1, bytes_of_a_range / cut.bytes_of_a_block);
  return cut;
}

// Ranges that are not taken yet, and the threads that are still running.
class SharedWork {
 public:
  explicit SharedWork(const Division& cut)
      : cut_(cut), next_(new (std::nothrow) std::atomic<i64>[static_cast<std::size_t>(cut.threads)]) {
    for (i64 thread = 0; next_ && thread < cut.threads; ++thread) next_[index(thread)] = share(thread);
  }

  bool has_memory() const { return next_ != nullptr; }

  // Take a range of a thread's share: set *first, and return the number of blocks, 0 if none is left.
  i64 take(i64 thread, i64* first) {
    *first = next_[index(thread)].fetch_add(cut_.range, std::memory_order_relaxed);
    return std::max<i64>(0, std::min(cut_.range, share(thread + 1) - *first));
  }

  // Record that one more thread has finished.
  void leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++finished_;
    all_finished_.notify_one();
  }

  // Poll keep_going until this many threads have finished.
  void poll_until_finished(i64 threads, CallState& call) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (finished_ < threads) {
      all_finished_.wait_for(lock, std::chrono::milliseconds(100));
      lock.unlock();
      call.poll();
      lock.lock();
    }
  }

 private:
  i64 share(i64 thread) const { return cut_.blocks * thread / cut_.threads; }
  static std::size_t index(i64 thread) { return static_cast<std::size_t>(thread); }

  const Division& cut_;
  const std::unique_ptr<std::atomic<i64>[]> next_;  // next block of each share
  std::mutex mutex_;
  std::condition_variable all_finished_;
  i64 finished_ = 0;
};

// Run a part of a problem. Return its status, also after an exception.
template <class Work>
Status run_part(Work& work, const Problem& part) {
  try {
    return work(part);
  } catch (const Interrupted&) {
    return Status::interrupted;  // the reason is recorded already
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

// The ranges that one thread takes: first from its own share, then from the shares of others.
template <class Work>
void run_thread(const Problem& whole, const Division& cut, SharedWork& shared, CallState& call, i64 number, Work work) {
  std::unique_ptr<Problem> part;
  if (!Problem::reserve(part, whole.levels)) return call.settle(Status::out_of_memory);
  Progress progress(call, number == 0);
  for (i64 finished = 0; finished < cut.threads && call.is_ok();) {
    i64 first;
    const i64 blocks = shared.take((number + finished) % cut.threads, &first);
    if (blocks == 0) {
      ++finished;
      continue;
    }
    *part = whole;
    part->restrict_to(cut.axis, first, blocks);
    part->progress = &progress;
    progress.start_range();
    call.settle(run_part(work, *part));
    progress.finish_range(blocks * cut.bytes_of_a_block);
  }
}

// Run a problem on several threads. Every thread calls begin() once, and calls the returned function for each of its
// parts in turn, so that this function can reuse memory. The calling thread polls keep_going.
template <class Begin>
Status in_parallel(const Problem& whole, const Options& options, Begin begin) {
  i64 threads = options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  threads = std::min(threads, std::max<i64>(1, whole.bytes() / bytes_worth_a_thread));
  if (threads == 1 && (options.keep_going == nullptr || whole.bytes() <= bytes_of_a_short_call)) {
    auto work = begin();
    return run_part(work, whole);
  }
  const Division cut = divide(whole, threads);
  SharedWork shared(cut);
  CallState call(options);
  if (!shared.has_memory()) return Status::out_of_memory;
  const auto run = [&](i64 number) { run_thread(whole, cut, shared, call, number, begin()); };
  std::vector<std::thread> others;
  try {
    others.reserve(static_cast<std::size_t>(cut.threads - 1));
    for (i64 started = 1; started < cut.threads; ++started)
      others.emplace_back([&run, &shared, started] {
        run(started);
        shared.leave();
      });
  } catch (const std::bad_alloc&) {  // with fewer threads than requested, the calling thread does the remaining work
  } catch (const std::system_error&) {
  }
  run(0);
  if (call.can_be_interrupted()) shared.poll_until_finished(static_cast<i64>(others.size()), call);
  for (std::thread& other : others) other.join();
  call.poll();  // if the other threads were faster than the calling thread, it may not have polled yet
  return call.status();
}

}  // namespace tinypyr
