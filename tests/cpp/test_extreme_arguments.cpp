// Calls of pyramid() with arguments that are wrong or extreme: extents, strides, offsets and factors near the limits of
// 64 bits, null pointers, outputs that do not fit their level. Either a call returns a status and writes nothing, or
// the memory that its views span exists, between guard pages, and the levels are those of the oracle.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <limits>

#include "harness.hpp"
#include "pyramid_calls.hpp"

namespace tinypyr_tests {

namespace {

constexpr i64 smallest = std::numeric_limits<i64>::min(), largest = std::numeric_limits<i64>::max();
// Powers of two.
constexpr i64 e31 = i64{1} << 31, e32 = i64{1} << 32, e60 = i64{1} << 60, e61 = i64{1} << 61, e62 = i64{1} << 62;
constexpr i64 extremes[] = {0,   1,   2,       3,   -1,   -2,  7,    8,       e31,      -e31,        e31 - 1,
                            e32, e60, e60 + 1, e61, -e60, e62, -e62, largest, smallest, smallest + 1};
constexpr i64 moderate[] = {0, 1, 1, 2, 3, 3, 5, 9};
constexpr std::size_t checked_bytes = 8192;  // at both ends of each output's memory, more than any output has

// Random decisions to replace a valid number by an extreme one. A call has no, some or almost only extreme numbers.
class Chance {
 public:
  explicit Chance(Random& random) {
    level_ = random.below(4);
    level_ *= random.below(2);
    level_ += random.below(2);
  }
  bool operator()(Random& random) const { return random.below(8) < 2 * level_; }

 private:
  int level_;
};

struct Arguments {
  int levels;         // as passed to pyramid(), 1 to most_levels if valid
  int actual_levels;  // levels for which there are factors and outputs
  int ndim;           // as passed to pyramid()
  std::size_t axes;   // axes for which there are numbers
  Dtype dtype;
  Shape shape, strides, voxel_offset;
  std::vector<Shape> factors;
};

// Properties of a call that follow from its arguments.
struct Properties {
  bool in_range = true;  // every number but the strides is one that pyramid() accepts
  bool has_voxels = true;
  bool in_memory = true;  // the arrays exist, in guarded memory
};

bool is_known(Dtype dtype) { return static_cast<int>(dtype) < dtype_count; }
bool is_between(i64 value, i64 least, i64 most) { return value >= least && value <= most; }

Arguments random_arguments(const Chance& chance, Random& random) {
  Arguments arguments;
  const bool many_levels = chance(random) && chance(random);
  arguments.levels = many_levels ? random.below(68) - 1 : 1 + random.below(4);
  arguments.actual_levels = std::clamp(arguments.levels, 1, most_levels);
  arguments.ndim = chance(random) ? random.below(35) - 1 : random.below(5);
  arguments.axes = static_cast<std::size_t>(std::clamp(arguments.ndim, 0, max_ndim));
  const bool any_dtype = chance(random) && random.below(4) == 0;
  arguments.dtype = static_cast<Dtype>(random.below(any_dtype ? 256 : dtype_count));
  for (std::size_t axis = 0; axis < arguments.axes; ++axis) {
    const i64 valid = arguments.axes <= 4 ? random.element(moderate) : axis < 3 ? 2 : 1;
    arguments.shape.push_back(chance(random) ? random.element(extremes) : valid);
    arguments.voxel_offset.push_back(chance(random) ? random.element(extremes) : 0);
  }
  for (int k = 0; k < arguments.actual_levels; ++k) {
    Shape factor;
    for (std::size_t axis = 0; axis < arguments.axes; ++axis)
      factor.push_back(chance(random) ? random.element(extremes) : 1 + random.below(3));
    arguments.factors.push_back(factor);
  }
  return arguments;
}

// Return all properties, as far as they do not depend on the strides.
Properties properties_of(const Arguments& arguments) {
  Properties properties;
  properties.in_range = is_between(arguments.levels, 1, max_levels) && is_known(arguments.dtype) &&
                        is_between(arguments.ndim, 0, max_ndim);
  bool is_small = true;
  i64 voxel_count = 1;
  for (std::size_t axis = 0; axis < arguments.axes; ++axis) {
    const i64 extent = arguments.shape[axis];
    properties.in_range =
        properties.in_range && is_between(extent, 0, e60) && is_between(arguments.voxel_offset[axis], -e60, e60);
    for (const Shape& factor : arguments.factors) properties.in_range = properties.in_range && factor[axis] >= 1;
    if (extent == 0) properties.has_voxels = false;
    is_small = is_small && is_between(extent, 0, 4096);
    if (is_small) voxel_count *= std::max<i64>(extent, 1);
    is_small = is_small && voxel_count <= 4096;
  }
  properties.in_memory = is_small && properties.in_range && arguments.levels == arguments.actual_levels;
  return properties;
}

// Choose strides that fit the guarded memory, or extreme ones, which are valid along an axis with one voxel.
void choose_strides(Arguments& arguments, Properties& properties, bool extreme_strides, Random& random) {
  arguments.strides.assign(arguments.axes, 0);
  if (properties.in_memory) {
    const Layout layout = random_layout(random);
    arguments.strides = strides_of(layout, arguments.shape, width_of(arguments.dtype));
  }
  if (!extreme_strides) return;
  for (std::size_t axis = 0; axis < arguments.axes; ++axis) {
    if (random.below(2) != 0) continue;
    arguments.strides[axis] = random.element(extremes);
    if (arguments.shape[axis] > 1 || arguments.strides[axis] == smallest) properties.in_memory = false;
  }
}

// Return an input without memory. Its address is null, unless its numbers must be rejected before it is read.
View view_without_memory(const Arguments& arguments, const Properties& properties) {
  View view;
  view.data = properties.in_range && properties.has_voxels ? nullptr : input_memory().low();
  view.ndim = arguments.ndim;
  view.dtype = arguments.dtype;
  std::copy(arguments.shape.begin(), arguments.shape.end(), view.shape);
  std::copy(arguments.strides.begin(), arguments.strides.end(), view.strides);
  return view;
}

struct Outputs {
  View views[max_levels];
  PlacedArray arrays[most_levels];
  bool are_valid = true;  // the call must succeed
};

// Place outputs with the right extents in guarded memory.
void place_outputs(const Arguments& arguments, bool extreme_strides, Side side, Random& random, Outputs& outputs) {
  const LevelBox input{arguments.voxel_offset, arguments.shape};
  const std::vector<LevelBox> boxes = coarser_levels(input, arguments.factors);
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    const Layout layout = random_layout(random);
    Shape strides = strides_of(layout, boxes[k].shape, width_of(arguments.dtype));
    for (std::size_t axis = 0; axis < arguments.axes; ++axis) {
      if (!extreme_strides || boxes[k].shape[axis] > 1) continue;
      strides[axis] = random.element(extremes);
      if (strides[axis] == smallest) outputs.are_valid = false;
    }
    outputs.arrays[k] = place(output_memory(static_cast<int>(k)), arguments.dtype, boxes[k].shape, strides, side);
    if (outputs.arrays[k].byte_count > checked_bytes) std::abort();
    outputs.views[k] = outputs.arrays[k].view;
  }
}

// Create outputs with random extents, from level `first` on.
void make_random_outputs(const View& input, int first, std::size_t axes, const Chance& chance, Random& random,
                         Outputs& outputs) {
  for (int k = first; k < max_levels; ++k) {
    View& view = outputs.views[k];
    view = input;
    view.data = output_memory(0).low();
    for (std::size_t axis = 0; axis < axes; ++axis) {
      view.shape[axis] = chance(random) ? random.element(extremes) : random.element(moderate);
      view.strides[axis] = chance(random) ? random.element(extremes) : 1;
    }
  }
}

// Change one property of one output.
void spoil_output(const Arguments& arguments, bool has_voxels, Random& random, Outputs& outputs) {
  View& view = outputs.views[random.below(arguments.actual_levels)];
  const int axis = random.below(static_cast<int>(arguments.axes));
  bool is_valid = false;
  switch (random.below(6)) {
    case 0:
      view.data = nullptr;
      is_valid = !has_voxels;
      break;
    case 1:
      view.ndim += random.below(2) == 0 ? 1 : -1;
      break;
    case 2:
      view.dtype = static_cast<Dtype>((static_cast<int>(view.dtype) + 1) % 256);
      break;
    case 3:
      view.swapped = true;
      break;
    default:
      const i64 extent = random.element(extremes);
      is_valid = view.shape[axis] == extent;
      view.shape[axis] = extent;
  }
  outputs.are_valid = outputs.are_valid && is_valid;
}

Pooling random_pooling(const Arguments& arguments, Random& random) {
  Pooling pooling;
  pooling.method = random.element(methods);
  pooling.rounding = static_cast<Rounding>(random.below(2));
  pooling.ties = static_cast<Ties>(random.below(2));
  pooling.has_ignore = random.below(3) == 0;
  pooling.factors = arguments.factors;
  pooling.voxel_offset = arguments.voxel_offset;
  return pooling;
}

// Return a table with as many rows as a call may have levels.
FactorTable full_table(std::vector<Shape> factors) {
  factors.resize(max_levels, factors[0]);
  return FactorTable(factors);
}

bool outputs_are_unwritten() {
  for (int k = 0; k < most_levels; ++k) {
    const GuardedMemory& memory = output_memory(k);
    if (!is_unwritten(memory.low(), checked_bytes) || !is_unwritten(memory.high() - checked_bytes, checked_bytes))
      return false;
  }
  return true;
}

class ExtremeCalls {
 public:
  void check_call(int number);
  int succeeded() const { return succeeded_; }
  int refused() const { return refused_; }

 private:
  void check_result(Status status, const Arguments& arguments, const Properties& properties, const Volume& volume,
                    const Pooling& pooling, const Outputs& outputs);

  Random random_{11};
  int succeeded_ = 0, refused_ = 0;
};

void ExtremeCalls::check_call(int number) {
  const Chance chance(random_);
  Arguments arguments = random_arguments(chance, random_);
  Properties properties = properties_of(arguments);
  const bool extreme_strides = chance(random_);
  choose_strides(arguments, properties, extreme_strides, random_);

  Volume volume{Dtype::uint8, {}, {}};
  View input = view_without_memory(arguments, properties);
  if (properties.in_memory) {
    volume = random_volume(arguments.dtype, arguments.shape, Content::labels, random_);
    input = place_input(volume, arguments.strides, number % 2 == 0 ? Side::high : Side::low).view;
  }
  if (random_.below(20) == 0) input.data = nullptr;

  Outputs outputs;
  outputs.are_valid = properties.in_memory && (input.data != nullptr || !properties.has_voxels);
  for (int k = 0; k < most_levels; ++k) {
    fill_unwritten(output_memory(k).low(), checked_bytes);
    fill_unwritten(output_memory(k).high() - checked_bytes, checked_bytes);
  }
  if (properties.in_memory)
    place_outputs(arguments, extreme_strides, number % 2 == 0 ? Side::low : Side::high, random_, outputs);
  const int placed_levels = properties.in_memory ? arguments.actual_levels : 0;
  make_random_outputs(input, placed_levels, arguments.axes, chance, random_, outputs);
  if (properties.in_memory && arguments.axes > 0 && chance(random_))
    spoil_output(arguments, properties.has_voxels, random_, outputs);

  Pooling pooling = random_pooling(arguments, random_);
  // An unknown method may have any result, but must not access memory outside the guard pages.
  if (properties.in_memory && chance(random_) && random_.below(8) == 0)
    pooling.method = static_cast<Method>(random_.below(256));
  Options options = options_of(pooling);
  if (arguments.axes == 0) set_voxel_offset(options, nullptr);
  options.threads = chance(random_) ? static_cast<int>(random_.element(extremes)) : 1;
  options.isa = random_.below(instruction_set_count());
  const FactorTable factors = full_table(arguments.factors);
  const Status status = pyramid(input, arguments.levels, factors.rows, outputs.views, options);
  check_result(status, arguments, properties, volume, pooling, outputs);
}

void ExtremeCalls::check_result(Status status, const Arguments& arguments, const Properties& properties,
                                const Volume& volume, const Pooling& pooling, const Outputs& outputs) {
  CHECK(status == Status::ok || status == Status::bad_view || status == Status::bad_factor ||
        status == status_bad_voxel_offset || status == Status::bad_out);
  CHECK(status != Status::ok || properties.in_memory || (properties.in_range && !properties.has_voxels));
  if (outputs.are_valid) CHECK(status == Status::ok);
  if (status != Status::ok) {
    ++refused_;
    CHECK(outputs_are_unwritten());
    return;
  }
  if (!properties.in_memory || static_cast<std::size_t>(pooling.method) >= std::size(methods)) return;
  ++succeeded_;
  const std::vector<Volume> expected = expected_levels(volume, pooling);
  for (int k = 0; k < arguments.actual_levels; ++k)
    if (outputs.views[k].data != nullptr) CHECK(holds(outputs.arrays[k], expected[static_cast<std::size_t>(k)]));
}

}  // namespace

TEST(extreme_arguments, are_refused_or_match_the_oracle) {
  ExtremeCalls calls;
  for (int number = 0; number < 10100; ++number) {
    set_context("extreme arguments, call %d", number);
    calls.check_call(number);
  }
  set_context("extreme arguments: %d calls succeeded, %d were refused", calls.succeeded(), calls.refused());
  CHECK(calls.succeeded() > 1000);
  CHECK(calls.refused() > 1000);
}

}  // namespace tinypyr_tests
