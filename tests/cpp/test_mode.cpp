// The mode of several levels, with more labels in a footprint than the library counts.

#include <cstddef>
#include <map>

#include "harness.hpp"
#include "pyramid_calls.hpp"
#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

constexpr u64 favourite = 7;
constexpr int top = 5;  // the level that is one voxel

struct LabelVolume {
  HeapArray array;
  std::map<u64, i64> votes;
  u64 winner;  // the most frequent label, of equally frequent ones the first with axis 0 fastest
};

// Create labels: one voxel in `favourite_interval` has the favourite label, the others one of label_count labels.
LabelVolume random_labels(const Shape& shape, Layout layout, i64 label_count, i64 favourite_interval, Random& random) {
  LabelVolume volume{heap_array(Dtype::uint32, shape, layout), {}, 0};
  std::vector<char>& bytes = volume.array.bytes;
  for (std::size_t i = 0; i < bytes.size(); i += 4) {
    const bool is_favourite = random.below(favourite_interval) == 0;
    const u64 label = is_favourite ? favourite : static_cast<u64>(1000 + random.below(label_count));
    put_bits(bytes.data() + i, label, 4);
    ++volume.votes[label];
  }
  i64 most = 0;
  for_each_position(shape, [&](const Shape& position) {
    std::ptrdiff_t offset = 0;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) offset += position[axis] * volume.array.view.strides[axis];
    const u64 label = get_bits(bytes.data() + offset, 4);
    if (volume.votes[label] <= most) return;
    most = volume.votes[label];
    volume.winner = label;
  });
  return volume;
}

}  // namespace

// The volumes differ in the number of labels and in the lead of the favourite, so that some winners can be proven and
// others cannot.
TEST(mode, proven_winners_are_exact_and_all_winners_are_present) {
  const LevelBox box{{0, 0, 0}, {64, 64, 16}};
  const std::vector<Shape> halvings(top + 1, Shape{2, 2, 2});
  const std::vector<Shape> one_step = {{64, 64, 16}};
  const i64 label_counts[] = {900, 3000, 20000, 100000};
  const i64 favourite_intervals[] = {2, 40, 20000};
  Options options;
  options.method = Method::mode;
  Random random(5);
  int proven_count = 0, unproven_count = 0;
  for (int round = 0; round < 24; ++round) {
    const i64 label_count = label_counts[round % 4], favourite_interval = favourite_intervals[round / 4 % 3];
    const Layout layout = round % 2 == 0 ? Layout::fortran : Layout::c;
    LabelVolume volume = random_labels(box.shape, layout, label_count, favourite_interval, random);
    const std::vector<HeapArray> levels = heap_levels(Dtype::uint32, box, halvings, Layout::c);
    i64 unproven[max_levels];
    set_context("mode: round %d", round);
    CHECK(call_pyramid(volume.array.view, halvings, levels, options, unproven) == Status::ok);
    CHECK(levels[top].bytes.size() == 4);
    const u64 label = get_bits(levels[top].bytes.data(), 4);
    CHECK(unproven[top] == 0 || unproven[top] == 1);
    CHECK(unproven[top] == 1 || label == volume.winner);
    CHECK(volume.votes.count(label) == 1);
    // Modes of up to 1,024 labels are always proven; footprints of the first three levels have at most 512 voxels.
    CHECK(label_count > 1024 || unproven[top] == 0);
    for (int k = 0; k < 3; ++k) CHECK(unproven[k] == 0);
    (unproven[top] == 0 ? proven_count : unproven_count) += 1;
    // A single step counts all labels exactly.
    const std::vector<HeapArray> level = heap_levels(Dtype::uint32, box, one_step, Layout::c);
    CHECK(call_pyramid(volume.array.view, one_step, level, options, unproven) == Status::ok);
    CHECK(get_bits(level[0].bytes.data(), 4) == volume.winner);
  }
  set_context("mode: proven and unproven winners");
  CHECK(proven_count > 0);
  CHECK(unproven_count > 0);
}

}  // namespace tinypyr_tests
