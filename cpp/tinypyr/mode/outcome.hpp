// How an attempt of a strategy to make a tile or a block of modes ended.
#pragma once

#include <cstdint>

namespace tinypyr {

enum class Outcome : std::uint8_t {
  done,             // every voxel of every level is written
  noise,            // bounds leave most modes undecided, so that counting takes less time
  too_many_labels,  // a footprint or a block holds more than max_ranks labels
  out_of_memory,
};

}  // namespace tinypyr
