// Results with several threads, calls from several threads, and interruption.

#include <algorithm>
#include <thread>

#include "harness.hpp"
#include "pyramid_calls.hpp"

namespace tinypyr_tests {

namespace {

struct Array {
  Dtype dtype;
  Shape shape;
};

// Check that 2, 8 and as many threads as cores compute the same levels as one thread.
void check_thread_counts(const View& input, const LevelBox& box, const std::vector<Shape>& factors, Layout layout,
                         Options options) {
  const std::vector<HeapArray> expected = heap_levels(input.dtype, box, factors, layout);
  options.threads = 1;
  CHECK(call_pyramid(input, factors, expected, options) == Status::ok);
  for (int threads : {2, 8, 0}) {
    const std::vector<HeapArray> outputs = heap_levels(input.dtype, box, factors, layout);
    options.threads = threads;
    CHECK(call_pyramid(input, factors, outputs, options) == Status::ok);
    for (std::size_t k = 0; k < factors.size(); ++k) CHECK(expected[k].bytes == outputs[k].bytes);
  }
}

struct PollCounter {
  int polls, most;
};

bool continue_until_most(void* context) {
  auto* counter = static_cast<PollCounter*>(context);
  return ++counter->polls <= counter->most;
}

}  // namespace

TEST(threads, their_number_does_not_change_the_levels) {
  const Array arrays[] = {{Dtype::uint8, {131, 128, 127}}, {Dtype::uint16, {9, 1031, 119}},
                          {Dtype::uint64, {65, 63, 66}},   {Dtype::float32, {127, 66, 65}},
                          {Dtype::uint8, {3000001}},       {Dtype::float64, {300007, 1, 1}},
                          {Dtype::int32, {2, 2, 140001}}};
  Random random(99);
  int number = 0;
  for (const Array& array : arrays) {
    const std::size_t ndim = array.shape.size();
    for (Method method : methods) {
      for (Layout layout : {Layout::c, Layout::fortran}) {
        if (!is_selected(++number, case_interval())) continue;
        HeapArray input = heap_array(array.dtype, array.shape, layout);
        fill_random(input, number % 3 == 0 ? Content::special : Content::labels, random);
        std::vector<Shape> factors(number % 2 == 0 ? 1 : 2, {2, 2, number % 3 == 0 ? 2 : 1});
        for (Shape& factor : factors) factor.resize(ndim);
        Shape offset = {number % 2, 1, -3};
        offset.resize(ndim);
        Options options;
        options.method = method;
        options.has_ignore = number % 4 == 0;
        set_voxel_offset(options, offset.data());
        set_context("threads: %s of %s, layout %s", name_of(method), name_of(array.dtype), name_of(layout));
        check_thread_counts(input.view, {offset, array.shape}, factors, layout, options);
      }
    }
  }
}

// Eight threads make a thousand calls each on the same input.
TEST(threads, concurrent_calls_do_not_change_the_levels) {
  constexpr int thread_count = 8, calls_per_thread = 1000;
  const std::vector<Shape> factors = {{2, 2, 1}, {2, 2, 2}};
  const LevelBox box{{1, 0, -3}, {41, 18, 7}};
  Random random(5);
  HeapArray input = heap_array(Dtype::uint32, box.shape, Layout::c);
  fill_random(input, Content::labels, random);
  std::vector<Options> options;
  std::vector<std::vector<HeapArray>> expected;
  for (Method method : methods) {
    options.emplace_back();
    options.back().method = method;
    set_voxel_offset(options.back(), box.voxel_offset.data());
    expected.push_back(heap_levels(Dtype::uint32, box, factors, Layout::c));
    set_context("concurrent calls: %s of one thread", name_of(method));
    CHECK(call_pyramid(input.view, factors, expected.back(), options.back()) == Status::ok);
  }
  set_context("concurrent calls");
  std::vector<int> wrong_calls(thread_count, 0);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < thread_count; ++thread)
    threads.emplace_back([&, thread] {
      for (int call = 0; call < calls_per_thread; ++call) {
        const std::size_t m = static_cast<std::size_t>(thread + call) % options.size();
        const std::vector<HeapArray> outputs = heap_levels(Dtype::uint32, box, factors, Layout::c);
        const Status status = call_pyramid(input.view, factors, outputs, options[m]);
        if (status != Status::ok || !are_equal(outputs, expected[m])) ++wrong_calls[static_cast<std::size_t>(thread)];
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (int wrong : wrong_calls) CHECK(wrong == 0);
}

// The input is a view of 256 MiB, all planes of which share the same 64 KiB.
TEST(threads, keep_going_interrupts_a_call) {
  HeapArray plane = heap_array(Dtype::uint8, {256, 256}, Layout::c);
  Random random(3);
  for (char& voxel : plane.bytes) voxel = static_cast<char>(random.below(9));
  View input = plane.view;
  input.ndim = 3;
  input.shape[2] = 4096;
  input.strides[2] = 0;
  const std::vector<Shape> factors = {{16, 16, 32}};
  const LevelBox box{{0, 0, 0}, {256, 256, 4096}};
  Options options;
  options.method = Method::stride;  // the method with the least work between two polls
  const std::vector<HeapArray> uninterrupted = heap_levels(Dtype::uint8, box, factors, Layout::c);
  set_context("keep_going: null");
  CHECK(call_pyramid(input, factors, uninterrupted, options) == Status::ok);
  PollCounter counter{};
  options.keep_going = continue_until_most;
  options.context = &counter;
  for (int threads : {1, 2}) {
    options.threads = threads;
    for (int most : {0, 1, 1000}) {
      set_context("keep_going: %d threads, false after %d polls", threads, most);
      counter = {0, most};
      const std::vector<HeapArray> outputs = heap_levels(Dtype::uint8, box, factors, Layout::c);
      const Status status = call_pyramid(input, factors, outputs, options);
      // Only the calling thread polls. With two threads it may do little of the work, and then polls only once.
      CHECK(counter.polls >= (threads == 1 ? std::min(most + 1, 2) : 1));
      CHECK(status == (counter.polls > most ? Status::interrupted : Status::ok));
      if (status == Status::ok) CHECK(are_equal(outputs, uninterrupted));
    }
  }
}

// Drivers report their work, so the shape of an array does not limit how soon a call ends: neither rows or footprints of
// all voxels nor few blocks of the last level.
TEST(threads, keep_going_is_polled_for_every_shape) {
  constexpr i64 voxels = 20'000'000;  // 160 MB
  struct Case {
    const char* name;
    Shape shape;
    std::vector<Shape> factors;
    bool has_ignore;
    bool stride_reads_all;
  };
  const Case cases[] = {
      {"two long rows", {2, voxels / 2}, {{2, 2}, {2, 2}, {2, 2}, {2, 2}}, false, false},
      {"two long rows, not pooled along them", {2, voxels / 2}, {{2, 1}}, true, true},
      {"two long rows, by 3", {2, voxels / 2}, {{1, 3}}, true, true},
      {"one footprint", {voxels}, {{voxels}}, true, false},
      {"one footprint of two axes", {4000, voxels / 4000}, {{4000, voxels / 4000}}, false, false},
      {"one footprint on the last level", {4000, voxels / 4000}, {{2, 2}, {2, 2}, {1000, 2000}}, false, false},
  };
  for (const Case& one : cases) {
    for (Layout layout : {Layout::c, Layout::fortran}) {
      HeapArray input = heap_array(Dtype::uint64, one.shape, layout);
      std::fill(input.bytes.begin(), input.bytes.end(), char{3});
      for (Method method : methods) {
        if (method == Method::stride && !one.stride_reads_all) continue;
        const LevelBox box{Shape(one.shape.size(), 0), one.shape};
        Options options;
        options.method = method;
        options.has_ignore = one.has_ignore;
        PollCounter counter{0, 1000};
        options.keep_going = continue_until_most;
        options.context = &counter;
        set_context("polls: %s, %s, %s", name_of(method), one.name, name_of(layout));
        const std::vector<HeapArray> outputs = heap_levels(Dtype::uint64, box, one.factors, layout);
        CHECK(call_pyramid(input.view, one.factors, outputs, options) == Status::ok);
        const bool is_one_loop = method == Method::mean && one.shape.size() == 1;  // a row that is read in place
        CHECK(counter.polls >= (is_one_loop ? 1 : 2));                             // after 64 and 128 MiB
        for (int threads : {1, 2}) {
          set_context("interruption: %s, %s, %s, %d threads", name_of(method), one.name, name_of(layout), threads);
          counter = {0, 0};
          options.threads = threads;
          const std::vector<HeapArray> partial = heap_levels(Dtype::uint64, box, one.factors, layout);
          CHECK(call_pyramid(input.view, one.factors, partial, options) == Status::interrupted);
          CHECK(counter.polls == 1);
          // The last voxel is not reached.
          if (threads == 1) CHECK(!are_equal(partial, outputs));
        }
      }
    }
  }
}

}  // namespace tinypyr_tests
