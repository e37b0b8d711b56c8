// Tests of the C++ library without Python and without a test framework.
//
//   cmake -S . -B build -DTINYPYR_CPP_TESTS=ON && cmake --build build && ctest --test-dir build
//
//   tinypyr_cpp_tests [n [test...]]          run one case in n of the large tests (sanitizers are slow; default 1), and
//                                            only the named tests: a group ("threads") or one test ("threads.name")
//   tinypyr_cpp_tests fuzz seconds [seed]    check calls derived from random bytes
//
// Exit status: 0 all checks passed, 1 a check failed, 2 no such test or no memory, 3 a memory or arithmetic fault.
//
// The expected values are computed independently, one output voxel after the other, by code that shares with the
// library only the types of its interface (pooling_oracle.hpp, sampling_oracle.hpp).

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>

#include "fuzz.hpp"
#include "harness.hpp"
#include "library.hpp"

namespace tinypyr_tests {

namespace {

static_assert(std::is_trivially_copyable<View>::value, "a View can be copied as bytes");

bool is_named(const Test& test, const std::string& argument) {
  return argument == test.group || argument == std::string(test.group) + "." + test.name;
}

// Run the named tests, or all. If an argument names no test, print a message and return false.
bool run_tests(int name_count, char** names) {
  const std::vector<Test> tests = sorted_tests();
  std::vector<bool> selected(tests.size(), name_count == 0);
  for (int i = 0; i < name_count; ++i) {
    bool exists = false;
    for (std::size_t t = 0; t < tests.size(); ++t) {
      if (!is_named(tests[t], names[i])) continue;
      exists = selected[t] = true;
    }
    if (exists) continue;
    std::printf("no test is named %s; the tests are\n", names[i]);
    for (const Test& test : tests) std::printf("  %s.%s\n", test.group, test.name);
    return false;
  }
  for (std::size_t t = 0; t < tests.size(); ++t) {
    set_context("%s.%s", tests[t].group, tests[t].name);
    if (selected[t]) tests[t].run();
  }
  return true;
}

int run(int argc, char** argv) {
  report_faults();
  unsetenv("TINYPYR_ISA");
  if (argc > 2 && std::string(argv[1]) == "fuzz") {
    const auto now = static_cast<u64>(std::chrono::system_clock::now().time_since_epoch().count());
    check_random_bytes(std::atoi(argv[2]), argc > 3 ? std::strtoull(argv[3], nullptr, 10) : now);
    return failure_count() > 0;
  }
  if (argc > 1) set_case_interval(std::atoi(argv[1]));
  if (!run_tests(argc > 2 ? argc - 2 : 0, argv + 2)) return 2;
  if (failure_count() > 0) {
    std::printf("%lld of %lld checks failed\n", failure_count(), check_count());
    return 1;
  }
  std::printf("%lld checks passed\n", check_count());
  return 0;
}

}  // namespace

}  // namespace tinypyr_tests

int main(int argc, char** argv) { return tinypyr_tests::run(argc, argv); }
