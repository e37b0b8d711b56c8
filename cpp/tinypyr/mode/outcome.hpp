// The result of an attempt to compute a tile or a block of modes by one strategy.
#pragma once

#include <cstdint>

namespace tinypyr {

enum class Outcome : std::uint8_t {
  done,             // every voxel of every level is written
  noise,            // bounds leave most modes undecided, so that counting is faster
  too_many_labels,  // a footprint or a block holds more than max_ranks labels
  out_of_memory,
};

}  // namespace tinypyr
