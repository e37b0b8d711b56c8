#include "fuzz.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "harness.hpp"
#include "oracle_checks.hpp"
#include "random_volumes.hpp"

namespace tinypyr_tests {

namespace {

// Reads numbers from bytes; zeros after their end.
class ByteReader {
 public:
  ByteReader(const unsigned char* data, std::size_t size) : data_(data), size_(size) {}

  u64 bits(int byte_count) {
    u64 value = 0;
    for (int i = 0; i < byte_count; ++i) value = value << 8 | (at_ < size_ ? data_[at_++] : 0u);
    return value;
  }
  i64 below(i64 n) { return static_cast<i64>(bits(n > 256 ? 8 : 1) % static_cast<u64>(n)); }
  int below(int n) { return static_cast<int>(below(i64{n})); }
  bool at_end() const { return at_ >= size_; }

 private:
  const unsigned char* data_;
  std::size_t size_, at_ = 0;
};

Shape read_shape(ByteReader& reader) {
  Shape shape;
  for (int axes = reader.below(5); axes > 0; --axes) {
    const i64 most = 12000 / std::max<i64>(product(shape), 1);
    const bool is_long = reader.below(4) == 0;
    shape.push_back(std::min<i64>(most, reader.below(is_long ? 200 : 20)));
  }
  return shape;
}

i64 read_factor(ByteReader& reader) {
  const int kind = reader.below(16);
  if (kind < 9) return 1 + kind / 5;
  return kind == 15 ? 1 + reader.below(i64{1} << 61) : kind - 7;
}

// Read all parameters but the ignored value, which is chosen among the voxels.
Pooling read_pooling(Dtype dtype, std::size_t ndim, ByteReader& reader) {
  Pooling pooling;
  pooling.method = methods[reader.below(static_cast<int>(std::size(methods)))];
  if (!is_float(dtype) && reader.below(2) == 0) pooling.rounding = Rounding::floor;
  if (reader.below(2) != 0) pooling.ties = Ties::lowest;
  pooling.has_ignore = reader.below(3) == 0;
  for (int levels = 1 + reader.below(most_levels); levels > 0; --levels) {
    Shape factor;
    for (std::size_t axis = 0; axis < ndim; ++axis) factor.push_back(read_factor(reader));
    pooling.factors.push_back(factor);
  }
  const bool has_offset = reader.below(2) == 0;
  for (std::size_t axis = 0; axis < ndim; ++axis) {
    const i64 range = reader.below(8) == 0 ? (i64{1} << 61) - 399 : 64;
    pooling.voxel_offset.push_back(has_offset ? reader.below(range) - range / 2 : 0);
  }
  return pooling;
}

// Read voxels from the bytes, or generate random ones with a seed from the bytes.
Volume read_volume(Dtype dtype, const Shape& shape, Method method, ByteReader& reader, Random& random, int kind) {
  Volume volume{dtype, shape, {}};
  for (i64 i = 0, count = product(shape); i < count; ++i) {
    const bool from_bytes = kind == content_count && !reader.at_end();
    u64 voxel = from_bytes ? reader.bits(width_of(dtype))
                           : random_voxel(dtype, static_cast<Content>(kind % content_count), random);
    if (from_bytes && is_boolean(dtype)) voxel &= 1;
    // At most 1,024 labels, because modes among more need not be exact.
    if (i >= 1024 && method == Method::mode) voxel = volume.voxels[static_cast<std::size_t>(random.below(1024))];
    volume.voxels.push_back(voxel);
  }
  return volume;
}

void check_case(ByteReader reader) {
  const auto dtype = static_cast<Dtype>(reader.below(dtype_count));
  const Shape shape = read_shape(reader);
  Pooling pooling = read_pooling(dtype, shape.size(), reader);
  const auto layout = static_cast<Layout>(reader.below(layout_count));
  const int threads = reader.below(8) == 0 ? 2 : 1;
  const int case_number = reader.below(256);
  const int kind = reader.below(content_count + 1);
  Random random(reader.bits(4));
  const Volume volume = read_volume(dtype, shape, pooling.method, reader, random, kind);
  if (pooling.has_ignore) pooling.ignore = random_ignore(volume, random);
  check_volume("fuzz", volume, pooling, case_number, {layout}, {threads});
}

}  // namespace

void check_random_bytes(int seconds, std::uint64_t seed) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::printf("fuzz: seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  std::uint64_t rounds = 0;
  for (; std::chrono::steady_clock::now() < end && failure_count() == 0; ++rounds) {
    Random random(seed + rounds);
    unsigned char bytes[512];
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random.below(256));
    check_case(ByteReader(bytes, static_cast<std::size_t>(random.below(static_cast<int>(sizeof bytes)))));
  }
  std::printf("fuzz: %llu rounds\n", static_cast<unsigned long long>(rounds));
}

}  // namespace tinypyr_tests

// The entry point of libFuzzer.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size);
int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  tinypyr_tests::check_case(tinypyr_tests::ByteReader(data, size));
  if (tinypyr_tests::failure_count() > 0) std::abort();
  return 0;
}
