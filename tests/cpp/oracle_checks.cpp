#include "oracle_checks.hpp"

#include <string>

#include "harness.hpp"
#include "pyramid_calls.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

std::string list_of(const Shape& numbers) {
  std::string text = "(";
  for (i64 number : numbers) text += std::to_string(number) + ",";
  return text + ")";
}

void describe(const char* subject, const Volume& volume, const Pooling& pooling, Layout layout,
              const Options& options) {
  std::string text = std::string(subject) + ": " + name_of(pooling.method) + " of " + name_of(volume.dtype) + " " +
                     list_of(volume.shape) + " factors";
  for (const Shape& factor : pooling.factors) text += " " + list_of(factor);
  text += " offset " + list_of(pooling.voxel_offset);
  if (pooling.has_ignore) text += " ignore " + std::to_string(pooling.ignore);
  if (pooling.rounding == Rounding::floor) text += " floor";
  if (pooling.ties == Ties::lowest) text += " lowest";
  set_context("%s %s %s threads %d", text.c_str(), name_of(layout), instruction_set_name(options.isa), options.threads);
}

// Check one call of pyramid().
void check_call(const View& input, const std::vector<Volume>& expected, const FactorTable& factors,
                const Options& options, const Execution& execution) {
  PlacedArray outputs[most_levels];
  View views[most_levels];
  i64 unproven[max_levels];
  const int levels = static_cast<int>(expected.size());
  for (int k = 0; k < levels; ++k) {
    const Volume& level = expected[static_cast<std::size_t>(k)];
    const Shape strides = strides_of(execution.output_layout, level.shape, width_of(level.dtype));
    outputs[k] = place(output_memory(k), level.dtype, level.shape, strides, execution.side, input.swapped);
    outputs[k].fill_unwritten();
    views[k] = outputs[k].view;
  }
  CHECK(pyramid(input, levels, factors.rows, views, options, unproven) == Status::ok);
  for (int k = 0; k < levels; ++k) {
    CHECK(holds(outputs[k], expected[static_cast<std::size_t>(k)]));
    CHECK(unproven[k] == 0);
  }
}

}  // namespace

void check_levels(const char* subject, const Volume& volume, const Pooling& pooling, const PlacedArray& input,
                  Layout input_layout, const std::vector<Volume>& expected, const Execution& execution) {
  const FactorTable factors(pooling.factors);
  Options options = options_of(pooling);
  options.threads = execution.threads;
  for (options.isa = 0; options.isa < instruction_set_count(); ++options.isa) {
    describe(subject, volume, pooling, input_layout, options);
    check_call(input.view, expected, factors, options, execution);
  }
}

void check_volume(const char* subject, const Volume& volume, const Pooling& pooling, int case_number,
                  const std::vector<Layout>& layouts, const std::vector<int>& thread_counts) {
  const std::vector<Volume> expected = expected_levels(volume, pooling);
  for (Layout layout : layouts) {
    const int layout_number = static_cast<int>(layout);
    Execution execution;
    execution.side = (case_number + layout_number) % 2 == 0 ? Side::high : Side::low;
    execution.output_layout = layout;
    if (case_number % 3 == 0 && layout != Layout::swapped)
      execution.output_layout = static_cast<Layout>((layout_number + case_number / 3) % unswapped_layout_count);
    const PlacedArray input = place_input(volume, layout, execution.side);
    for (int threads : thread_counts) {
      execution.threads = threads;
      check_levels(subject, volume, pooling, input, layout, expected, execution);
    }
  }
}

}  // namespace tinypyr_tests
