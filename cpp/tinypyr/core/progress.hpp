// Progress of a call and its interruption. Drivers report the bytes that they process; how a problem is divided into
// ranges therefore does not limit how soon a call is interrupted.
#pragma once

#include <atomic>
#include <chrono>

#include "../tinypyr.hpp"
#include "compiler.hpp"
#include "integers.hpp"

namespace tinypyr {

constexpr i64 bytes_between_polls = i64{1} << 26;

// Thrown by Progress::add if the call is to end, and caught where the thread began (core/threads.hpp). An exception
// needs no check in the drivers, whose objects are discarded.
struct Interrupted {};

// The state that the threads of one call share: the first failure, and the bytes that are done.
class CallState {
 public:
  explicit CallState(const Options& options) : options_(options), polled_(Clock::now()) {}

  Status status() const { return static_cast<Status>(result_.load()); }
  bool is_ok() const { return result_.load(std::memory_order_relaxed) == static_cast<int>(Status::ok); }
  bool can_be_interrupted() const { return options_.keep_going != nullptr; }

  // Record a failure, unless there is one already.
  void settle(Status status) {
    int ok = static_cast<int>(Status::ok);
    if (status != Status::ok) result_.compare_exchange_strong(ok, static_cast<int>(status));
  }

  void add(i64 bytes) { done_.fetch_add(bytes, std::memory_order_relaxed); }

  // Call keep_going if enough work has been done, or enough time has passed, since the last call. Only the calling
  // thread may call this.
  void poll() {
    if (options_.keep_going == nullptr || !is_ok()) return;
    const i64 done = done_.load(std::memory_order_relaxed);
    const Clock::time_point now = Clock::now();
    if (done - polled_at_ < bytes_between_polls && now - polled_ < std::chrono::milliseconds(100)) return;
    polled_at_ = done;
    polled_ = now;
    if (!options_.keep_going(options_.context)) settle(Status::interrupted);
  }

 private:
  using Clock = std::chrono::steady_clock;

  const Options& options_;
  std::atomic<int> result_{static_cast<int>(Status::ok)};
  std::atomic<i64> done_{0};
  i64 polled_at_ = 0;  // bytes
  Clock::time_point polled_;
};

// The progress of one thread.
class Progress {
 public:
  // polls: this is the calling thread.
  Progress(CallState& call, bool polls) : call_(call), polls_(polls) {}

  // Report bytes of the input that are processed next, or again. Throw Interrupted if the call is to end.
  TINYPYR_INLINE void add(i64 bytes) {
    pending_ += bytes;
    if (pending_ >= bytes_between_checks) check();
  }

  // Begin a range of the problem.
  void start_range() { range_ = -pending_; }
  // Account for the bytes of the range that drivers did not report.
  void finish_range(i64 bytes) {
    const i64 reported = range_ + pending_;
    if (reported < bytes) pending_ += bytes - reported;
    flush();
  }

 private:
  static constexpr i64 bytes_between_checks = i64{1} << 18;

  TINYPYR_NOINLINE void check() {
    flush();
    if (!call_.is_ok()) throw Interrupted{};
  }

  void flush() {
    call_.add(pending_);
    range_ += pending_;
    pending_ = 0;
    if (polls_) call_.poll();
  }

  CallState& call_;
  const bool polls_;
  i64 pending_ = 0, range_ = 0;
};

}  // namespace tinypyr
