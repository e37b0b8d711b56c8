#include "harness.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace tinypyr_tests {

namespace {

constexpr int most_printed = 20;

int interval_of_cases = 1;
long long checks = 0, failures = 0;
char context_text[512] = "start";

// A static local, because registrations in other files may run before a global variable of this file is initialised.
std::vector<Test>& registered_tests() {
  static std::vector<Test> tests;
  return tests;
}

// This handler calls only functions that POSIX allows in a signal handler.
void on_fault(int number) {
  const auto put = [](const char* text) { return write(STDERR_FILENO, text, std::strlen(text)) >= 0; };
  const char* kind = number == SIGFPE ? "arithmetic fault in " : "memory fault in ";
  const bool written = put(kind) && put(context_text) && put("\n");
  _exit(written ? 3 : 4);
}

}  // namespace

Registration::Registration(const char* group, const char* name, void (*run)()) {
  registered_tests().push_back({group, name, run});
}

std::vector<Test> sorted_tests() {
  std::vector<Test> tests = registered_tests();
  std::sort(tests.begin(), tests.end(), [](const Test& a, const Test& b) {
    const int order = std::strcmp(a.group, b.group);
    return order != 0 ? order < 0 : std::strcmp(a.name, b.name) < 0;
  });
  return tests;
}

int case_interval() { return interval_of_cases; }
void set_case_interval(int interval) { interval_of_cases = std::max(interval, 1); }

void set_context(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(context_text, sizeof context_text, format, arguments);
  va_end(arguments);
}

const char* context() { return context_text; }

void check(bool condition, const char* file, int line, const char* text) {
  ++checks;
  if (condition) return;
  ++failures;
  if (failures <= most_printed) std::printf("%s:%d: check failed: %s\n    in %s\n", file, line, text, context_text);
}

long long check_count() { return checks; }
long long failure_count() { return failures; }
bool failures_are_printed() { return failures < most_printed; }

void report_faults() {
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(number, on_fault);
}

}  // namespace tinypyr_tests
