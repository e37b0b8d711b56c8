// Arguments of pyramid() that are rejected with a status: footprints that are too large, unknown instruction sets.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "harness.hpp"
#include "pyramid_calls.hpp"

namespace tinypyr_tests {

namespace {

// A call for the mean of two voxels on some instruction set.
class SmallCall {
 public:
  SmallCall()
      : input_(place_input({Dtype::uint8, {2}, {1, 5}}, Layout::c, Side::high)), factors_(std::vector<Shape>{{2}}) {}

  void check_success(int isa) const {
    char output = 0;
    CHECK(run(isa, &output) == Status::ok);
    CHECK(output == 3);
  }

  void check_refusal(int isa) const {
    char output = 0;
    CHECK(run(isa, &output) == Status::bad_isa);
    CHECK(output == 0);
  }

 private:
  Status run(int isa, char* output) const {
    Options options;
    options.isa = isa;
    View view = input_.view;
    view.data = output;
    view.shape[0] = 1;
    return pyramid(input_.view, 1, factors_.rows, &view, options);
  }

  PlacedArray input_;
  FactorTable factors_;
};

}  // namespace

TEST(arguments, footprints_beyond_the_limit_are_refused) {
  constexpr i64 largest = std::numeric_limits<i64>::max(), one = 1;
  struct Case {
    Shape shape, factor;
  };
  const Case cases[] = {
      {{(one << 31) + 1}, {one << 32}},         {{one << 40}, {(one << 31) + 1}},
      {{1 << 16, 1 << 16}, {1 << 16, 1 << 16}}, {{1 << 16, 1, 1 << 15, 2}, {1 << 16, 9, 1 << 15, 2}},
      {{one << 60, 2}, {largest, largest}},     {{one << 30, one << 30}, {one << 30, one << 30}},
  };
  set_context("footprints");
  for (const Case& footprint : cases) {
    char voxel[8] = {};  // never read
    View input;
    input.data = voxel;
    input.dtype = Dtype::uint64;
    input.ndim = static_cast<int>(footprint.shape.size());
    View output = input;
    const LevelBox level = coarser({Shape(footprint.shape.size(), 0), footprint.shape}, footprint.factor);
    std::copy(footprint.shape.begin(), footprint.shape.end(), input.shape);
    std::copy(level.shape.begin(), level.shape.end(), output.shape);
    const FactorTable factors(std::vector<Shape>{footprint.factor});
    for (Method method : methods) {
      Options options;
      options.method = method;
      CHECK(pyramid(input, 1, factors.rows, &output, options) == Status::footprint);
    }
  }
}

TEST(arguments, instruction_sets_are_chosen_by_number_or_by_environment) {
  int count = 0;
  const char* const* names = instruction_sets(&count);
  set_context("instruction sets");
  CHECK(count >= 1);
  CHECK(std::strcmp(names[count - 1], "scalar") == 0 || std::strcmp(names[count - 1], "neon") == 0);
  const SmallCall call;
  for (int i = 0; i < count; ++i) {
    set_context("instruction set %s", names[i]);
    setenv("TINYPYR_ISA", names[i], 1);
    CHECK(chosen_instruction_set() == i);
    call.check_success(-1);
    setenv("TINYPYR_ISA", "nonsense", 1);
    call.check_success(i);  // a number in the options takes precedence over the environment
  }
  setenv("TINYPYR_ISA", "", 1);
  CHECK(chosen_instruction_set() == 0);
  unsetenv("TINYPYR_ISA");
  CHECK(chosen_instruction_set() == 0);
}

TEST(arguments, unknown_instruction_sets_are_refused) {
  const SmallCall call;
  for (const char* name : {"nonsense", "AVX2", "scalar ", " ", "sse2,scalar", "0"}) {
    set_context("instruction set '%s'", name);
    setenv("TINYPYR_ISA", name, 1);
    CHECK(chosen_instruction_set() == -1);
    call.check_refusal(-1);
  }
  unsetenv("TINYPYR_ISA");
  for (int isa : {instruction_set_count(), std::numeric_limits<int>::max()}) {
    set_context("instruction set %d", isa);
    call.check_refusal(isa);
  }
}

}  // namespace tinypyr_tests
