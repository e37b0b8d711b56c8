// A valid call of sample_affine() or of combine_affine() with one voxel, for tests that invalidate one argument.
#pragma once

#include "library.hpp"

namespace tinypyr_tests {

struct OneVoxelCall {
  static constexpr std::uint8_t unwritten_result = 7;

  double matrix = 1, offset = 0;
  std::uint8_t voxel = 5, result = unwritten_result;
  i64 extent = 1, first = 0;
  View input, volume, output;
  Operation operation = Operation::divide;
  Sampling options;

  OneVoxelCall() {
    input.ndim = 1;
    input.shape[0] = input.strides[0] = 1;
    output = input;
    input.data = reinterpret_cast<char*>(&voxel);
    output.data = reinterpret_cast<char*>(&result);
    volume = input;
    options.extent = &extent;
    options.first = &first;
  }
  // The views point into the object.
  OneVoxelCall(const OneVoxelCall&) = delete;
  OneVoxelCall& operator=(const OneVoxelCall&) = delete;

  Status sample() const { return sample_affine(input, &matrix, &offset, &first, output, options); }
  Status combine() const { return combine_affine(input, &matrix, &offset, &first, volume, operation, output, options); }
};

// Return true if the call fails with this status and writes nothing after spoil(call) has changed its arguments.
template <class Spoil>
bool is_refused(Status (OneVoxelCall::*run)() const, Status status, Spoil spoil) {
  OneVoxelCall call;
  spoil(call);
  return (call.*run)() == status && call.result == OneVoxelCall::unwritten_result;
}

}  // namespace tinypyr_tests
