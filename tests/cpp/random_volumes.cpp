#include "random_volumes.hpp"

#include <cmath>
#include <limits>

#include "voxels.hpp"

namespace tinypyr_tests {

namespace {

u64 sign_bit(Dtype dtype) { return u64{1} << (8 * width_of(dtype) - 1); }

u64 random_boolean(Content content, Random& random) {
  const bool any_byte = content == Content::special && random.below(8) == 0;
  return static_cast<u64>(random.below(any_byte ? 256 : 2));
}

u64 special_float(Dtype dtype, Random& random) {
  const u64 infinity = bits_of_float(dtype, std::numeric_limits<double>::infinity());
  switch (random.below(9)) {
    case 0:
      return sign_bit(dtype);  // -0.0
    case 1:
      return 0;
    case 2:
      return infinity;
    case 3:
      return infinity | sign_bit(dtype);
    case 4:
      return infinity | 1 | (random.bits() & sign_bit(dtype));  // a NaN other than the canonical one
    case 5:
      return 1 | (random.bits() & sign_bit(dtype));  // the smallest subnormal
    default:
      return bits_of_float(dtype, random.below(7) - 3);
  }
}

u64 random_float(Dtype dtype, Content content, Random& random) {
  if (content == Content::special) return special_float(dtype, random);
  if (content == Content::labels) return bits_of_float(dtype, (random.below(5) - 2) * 0.5);
  const double significand = random.below(1 << 20) - 500000;
  return bits_of_float(dtype, std::ldexp(significand, random.below(40) - 30));
}

u64 random_integer(Dtype dtype, Content content, Random& random) {
  const u64 all = largest_bits(dtype), top = sign_bit(dtype);
  if (content == Content::noise) return random.bits() & all;
  if (content == Content::labels) return static_cast<u64>(random.below(4)) * 85 & all;
  const u64 ends[] = {0, 1, all, all - 1, top, top - 1, top + 1};
  return random.element(ends) & all;
}

}  // namespace

u64 random_voxel(Dtype dtype, Content content, Random& random) {
  if (is_boolean(dtype)) return random_boolean(content, random);
  return is_float(dtype) ? random_float(dtype, content, random) : random_integer(dtype, content, random);
}

Volume random_volume(Dtype dtype, const Shape& shape, Content content, Random& random) {
  Volume volume{dtype, shape, {}};
  const i64 count = product(shape);
  for (i64 i = 0; i < count; ++i) volume.voxels.push_back(random_voxel(dtype, content, random));
  return volume;
}

u64 random_ignore(const Volume& volume, Random& random) {
  if (volume.voxels.empty() || random.below(6) == 0) return 0;
  return canonical(volume.dtype, random.element(volume.voxels));
}

Layout random_layout(Random& random) { return static_cast<Layout>(random.below(unswapped_layout_count)); }

}  // namespace tinypyr_tests
