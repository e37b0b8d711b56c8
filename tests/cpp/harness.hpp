// Registration of tests, and checks inside tests.
//
//   TEST(pooling, levels_match_the_oracle) {
//     set_context("levels of %d axes", ndim);
//     CHECK(status == Status::ok);
//   }
//
// A failed check does not end its test. The first 20 failures are printed, each with the latest context.
#pragma once

#include <vector>

namespace tinypyr_tests {

struct Test {
  const char* group;  // the subject, which is also the name of the file: test_<group>.cpp
  const char* name;   // the assertion
  void (*run)();
};

// Return all tests, sorted by group and name.
std::vector<Test> sorted_tests();

// Adds a test to the list before main() starts.
class Registration {
 public:
  Registration(const char* group, const char* name, void (*run)());
};

#define TEST(group, name)                                                                                     \
  static void group##_##name();                                                                               \
  static const ::tinypyr_tests::Registration registration_of_##group##_##name(#group, #name, group##_##name); \
  static void group##_##name()

// Tests with many cases run one in case_interval() cases, so that slow builds (sanitizers, emulation) finish.
int case_interval();
void set_case_interval(int interval);

// Describe the current case for the messages of failed checks and of faults.
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
void set_context(const char* format, ...);
const char* context();

// Record a failure if the condition is false. Not thread-safe: other threads must report to the thread of the test.
void check(bool condition, const char* file, int line, const char* text);
long long check_count();
long long failure_count();
// Return false once so many checks have failed that further messages add nothing.
bool failures_are_printed();

#define CHECK(condition) ::tinypyr_tests::check((condition), __FILE__, __LINE__, #condition)

// From this call on, a memory or arithmetic fault prints the context and ends the program with status 3.
void report_faults();

}  // namespace tinypyr_tests
