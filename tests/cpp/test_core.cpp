// Tests of the C++ library by itself: no Python, no test framework, no dependency.
//
//   cmake -S . -B build -DTINYPYR_CPP_TESTS=ON && cmake --build build && ctest --test-dir build
//
// What a value should be is computed here a second time, one output voxel after the other, in loops that share nothing
// with the library but its view and its dtype table. Every array lies against a page that cannot be touched, below it
// or above it, and inputs lie in pages that cannot be written, so a stray access ends the program at once.
//
//   tinypyr_cpp_tests [n [test...]]
//
// runs every n-th case of the large tests only (sanitizers are slow; 1 is the default), or the named tests alone.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "tinypyr/tinypyr.hpp"

namespace {

using namespace tinypyr;
using i64 = std::int64_t;
using u64 = std::uint64_t;
__extension__ typedef __int128 i128;

// --- checking ------------------------------------------------------------------------------------------------------

long long checks = 0, failures = 0;
char where[512] = "start";  // the case under way, for failures and for faults

#define CHECK(condition)                                                                    \
  do {                                                                                      \
    ++checks;                                                                               \
    if (!(condition) && ++failures <= 20)                                                   \
      std::printf("%s:%d: not so: %s\n    in %s\n", __FILE__, __LINE__, #condition, where); \
  } while (false)

void on_fault(int number) {
  const char* what = number == SIGFPE ? "arithmetic fault in " : "memory fault in ";
  const auto put = [](const char* text) { return write(2, text, std::strlen(text)); };
  const bool told = put(what) >= 0 && put(where) >= 0 && put("\n") >= 0;
  _exit(told ? 3 : 4);
}

// The same numbers on every machine (Knuth's MMIX generator, high bits).
class Random {
 public:
  explicit Random(u64 seed) : state_(seed) {}
  u64 bits() { return static_cast<u64>(next()) << 32 | next(); }
  i64 below(i64 n) { return static_cast<i64>(bits() % static_cast<u64>(n)); }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices[static_cast<std::size_t>(below(static_cast<i64>(choices.size())))];
  }

 private:
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  u64 state_;
};

// --- memory between two pages that cannot be touched ---------------------------------------------------------------

class Arena {
 public:
  explicit Arena(std::size_t bytes) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = (bytes + page - 1) / page * page;
    void* all = mmap(nullptr, bytes_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    low_ = static_cast<char*>(all) + page;
    if (all == MAP_FAILED || mprotect(low_, bytes_, PROT_READ | PROT_WRITE) != 0) {
      std::perror("mmap");
      std::exit(2);
    }
  }
  char* low() const { return low_; }
  char* high() const { return low_ + bytes_; }
  void writable(bool yes) const {
    if (mprotect(low_, bytes_, yes ? PROT_READ | PROT_WRITE : PROT_READ) != 0) std::abort();
  }

 private:
  char* low_;
  std::size_t bytes_;
};

constexpr int most_levels = 4;
constexpr unsigned char untouched = 0xa5;

struct Arenas {
  Arena in{std::size_t{4} << 20};
  Arena out[most_levels] = {Arena{std::size_t{4} << 20}, Arena{std::size_t{2} << 20}, Arena{std::size_t{2} << 20},
                            Arena{std::size_t{2} << 20}};
};

// --- arrays --------------------------------------------------------------------------------------------------------

using Shape = std::vector<i64>;

struct Volume {
  Dtype dtype;
  Shape shape;
  std::vector<u64> voxels;  // bits, axis 0 fastest

  i64 count() const { return static_cast<i64>(voxels.size()); }
};

i64 product(const Shape& shape) { return std::accumulate(shape.begin(), shape.end(), i64{1}, std::multiplies<i64>()); }

// All coordinates of a box from `first` up to `end`, axis 0 fastest.
template <class Visit>
void each(const Shape& first, const Shape& end, Visit visit) {
  for (std::size_t axis = 0; axis < first.size(); ++axis)
    if (first[axis] >= end[axis]) return;
  Shape at = first;
  for (;;) {
    visit(at);
    std::size_t axis = 0;
    for (; axis < at.size(); ++axis) {
      if (++at[axis] < end[axis]) break;
      at[axis] = first[axis];
    }
    if (axis == at.size()) return;
  }
}

enum class Layout { c, fortran, negative, gapped, unaligned, permuted, swapped, count };
const char* const layout_names[] = {"C", "Fortran", "negative", "gapped", "unaligned", "permuted", "swapped"};

Shape strides_of(Layout layout, const Shape& shape, i64 width) {
  const int ndim = static_cast<int>(shape.size());
  std::vector<int> order(shape.size());  // fastest first
  for (int i = 0; i < ndim; ++i) order[i] = layout == Layout::fortran ? i : ndim - 1 - i;
  if (layout == Layout::permuted && ndim > 1) std::swap(order[0], order[1]);
  Shape strides(shape.size());
  i64 step = layout == Layout::gapped ? 2 * width : width;
  for (int axis : order) {
    strides[axis] = layout == Layout::negative ? -step : step;
    step *= std::max<i64>(shape[axis], 1);
    if (layout == Layout::gapped) step += 3 * width;
    if (layout == Layout::unaligned) step += 1;
  }
  return strides;
}

struct Placed {
  View view;
  char* first = nullptr;  // of the bytes that the array spans
  i64 bytes = 0;
  std::vector<i64> offsets;  // of the voxels, axis 0 fastest
};

Placed place(const Arena& arena, Dtype dtype, const Shape& shape, const Shape& strides, bool swapped, bool high) {
  Placed placed;
  View& view = placed.view;
  view.ndim = static_cast<int>(shape.size());
  view.dtype = dtype;
  view.swapped = swapped;
  i64 low = 0, end = row(dtype).width;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    view.shape[axis] = shape[axis];
    view.strides[axis] = strides[axis];
    if (shape[axis] < 2) continue;
    (strides[axis] < 0 ? low : end) += (shape[axis] - 1) * strides[axis];
  }
  placed.bytes = product(shape) == 0 ? 0 : end - low;
  if (placed.bytes > arena.high() - arena.low()) {
    std::printf("the arena is too small for %s\n", where);
    std::exit(2);
  }
  placed.first = high ? arena.high() - placed.bytes : arena.low();
  view.data = placed.first - low;
  placed.offsets.reserve(static_cast<std::size_t>(product(shape)));
  each(Shape(shape.size(), 0), shape, [&](const Shape& at) {
    i64 offset = 0;
    for (std::size_t axis = 0; axis < at.size(); ++axis)
      if (at[axis] != 0) offset += at[axis] * strides[axis];
    placed.offsets.push_back(offset);
  });
  return placed;
}

void put_bits(char* to, u64 bits, int width, bool swapped) {
  for (int byte = 0; byte < width; ++byte)
    to[swapped ? width - 1 - byte : byte] = static_cast<char>(bits >> 8 * byte & 0xff);
}

u64 get_bits(const char* from, int width, bool swapped) {
  u64 bits = 0;
  for (int byte = 0; byte < width; ++byte)
    bits |= u64{static_cast<unsigned char>(from[swapped ? width - 1 - byte : byte])} << 8 * byte;
  return bits;
}

// --- what every value means, voxel by voxel ------------------------------------------------------------------------

double float_of(Dtype dtype, u64 bits) {
  if (dtype == Dtype::float64) {
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
  }
  const auto narrow = static_cast<std::uint32_t>(bits);
  float value;
  std::memcpy(&value, &narrow, 4);
  return static_cast<double>(value);
}

u64 bits_of_float(Dtype dtype, double value) {
  u64 bits = 0;
  if (dtype == Dtype::float64) {
    std::memcpy(&bits, &value, 8);
  } else {
    const float narrow = static_cast<float>(value);
    std::uint32_t narrow_bits;
    std::memcpy(&narrow_bits, &narrow, 4);
    bits = narrow_bits;
  }
  return bits;
}

i128 integer_of(Dtype dtype, u64 bits) {
  const int width = row(dtype).width;
  if (row(dtype).kind == Kind::boolean) return bits != 0;
  if (row(dtype).kind == Kind::signed_integer && (bits >> (8 * width - 1) & 1) != 0)
    return static_cast<i128>(bits) - (static_cast<i128>(1) << 8 * width);
  return static_cast<i128>(bits);
}

u64 bits_of_integer(Dtype dtype, i128 value) {
  return static_cast<u64>(value) & (~u64{0} >> (64 - 8 * row(dtype).width));
}

bool is_float(Dtype dtype) { return row(dtype).kind == Kind::floating; }
bool is_nan(Dtype dtype, u64 bits) { return is_float(dtype) && std::isnan(float_of(dtype, bits)); }

// One pattern per value: what is compared, and what every method but mean and stride returns.
u64 canonical(Dtype dtype, u64 bits) {
  if (row(dtype).kind == Kind::boolean) return bits != 0;
  if (!is_float(dtype)) return bits;
  const double value = float_of(dtype, bits);
  if (std::isnan(value)) return bits_of_float(dtype, std::numeric_limits<double>::quiet_NaN());
  return value == 0 ? 0 : bits;
}

bool less(Dtype dtype, u64 a, u64 b) {
  if (!is_float(dtype)) return integer_of(dtype, a) < integer_of(dtype, b);
  if (is_nan(dtype, a) || is_nan(dtype, b)) return !is_nan(dtype, a) && is_nan(dtype, b);  // NaN above all
  return float_of(dtype, a) < float_of(dtype, b);
}

bool same(Dtype dtype, u64 a, u64 b) { return a == b || (is_nan(dtype, a) && is_nan(dtype, b)); }

i64 floor_of(i128 a, i128 b) { return static_cast<i64>(a >= 0 ? a / b : -((-a + b - 1) / b)); }

struct Work {
  Method method;
  Rounding rounding = Rounding::half_even;
  Ties ties = Ties::first;
  bool has_ignore = false;
  u64 ignore = 0;
  std::vector<Shape> factors;  // per level, from the level before
  Shape origin;
};

u64 pool_one(const Volume& volume, const std::vector<u64>& footprint, const Work& work) {
  const Dtype dtype = volume.dtype;
  std::vector<u64> kept;
  for (u64 voxel : footprint)
    if (!work.has_ignore || canonical(dtype, voxel) != canonical(dtype, work.ignore)) kept.push_back(voxel);
  if (kept.empty()) return work.ignore;
  if (work.method == Method::stride) {
    const bool as_it_is = !work.has_ignore || row(dtype).kind != Kind::boolean;
    return as_it_is ? kept[0] : canonical(dtype, kept[0]);
  }
  if (work.method == Method::mean) {  // of integers; see float_means
    i128 sum = 0;
    for (u64 voxel : kept) sum += integer_of(dtype, voxel);
    const i128 count = static_cast<i128>(kept.size());
    i128 mean = sum >= 0 ? sum / count : -((-sum + count - 1) / count);
    const i128 twice = 2 * (sum - mean * count);
    if (work.rounding == Rounding::half_even && (twice > count || (twice == count && mean % 2 != 0))) ++mean;
    return bits_of_integer(dtype, mean);
  }
  for (u64& voxel : kept) voxel = canonical(dtype, voxel);
  if (work.method == Method::mode) {
    std::map<u64, i64> votes;
    for (u64 voxel : kept) ++votes[voxel];
    u64 best = kept[0];
    for (u64 voxel : kept) {  // in raster order: a later one must have more
      const bool lower = work.ties == Ties::lowest && less(dtype, voxel, best);
      if (votes[voxel] > votes[best] || (votes[voxel] == votes[best] && lower)) best = voxel;
    }
    return best;
  }
  std::sort(kept.begin(), kept.end(), [&](u64 a, u64 b) { return less(dtype, a, b); });
  if (is_nan(dtype, kept.back())) return kept.back();
  if (work.method == Method::min) return kept.front();
  if (work.method == Method::max) return kept.back();
  return kept[(kept.size() - 1) / 2];
}

struct Geometry {
  Shape origin, shape;  // of a level
};

Geometry coarser(const Geometry& fine, const Shape& factor) {
  Geometry coarse = fine;
  for (std::size_t axis = 0; axis < factor.size(); ++axis) {
    const i128 begin = fine.origin[axis], end = begin + fine.shape[axis];
    coarse.origin[axis] = floor_of(begin, factor[axis]);
    coarse.shape[axis] = fine.shape[axis] == 0 ? 0 : floor_of(end - 1, factor[axis]) + 1 - coarse.origin[axis];
  }
  return coarse;
}

// The voxels [first, end) of `fine` below voxel `at` of `coarse`.
void below(const Geometry& fine, const Geometry& coarse, const std::vector<i128>& factor, const Shape& at, Shape& first,
           Shape& end) {
  for (std::size_t axis = 0; axis < at.size(); ++axis) {
    const i128 block = static_cast<i128>(coarse.origin[axis]) + at[axis], start = fine.origin[axis];
    first[axis] = static_cast<i64>(std::max<i128>(block * factor[axis] - start, 0));
    end[axis] = static_cast<i64>(std::min<i128>((block + 1) * factor[axis] - start, fine.shape[axis]));
  }
}

i64 index_in(const Shape& shape, const Shape& at) {
  i64 index = 0;
  for (std::size_t axis = shape.size(); axis-- > 0;) index = index * shape[axis] + at[axis];
  return index;
}

struct Sum {
  double total;
  i64 count;
};

// Doubles are added along axis 0 first, in sequence, then along axis 1, and so on.
Sum sum_box(const std::vector<Sum>& fine, const Shape& shape, int axis, Shape& at, const Shape& first,
            const Shape& end) {
  if (axis < 0) return fine[static_cast<std::size_t>(index_in(shape, at))];
  Sum sum{0, 0};
  for (at[axis] = first[axis]; at[axis] < end[axis]; ++at[axis]) {
    const i64 here = at[axis];
    const Sum part = sum_box(fine, shape, axis - 1, at, first, end);
    at[axis] = here;
    sum = here == first[axis] ? part : Sum{sum.total + part.total, sum.count + part.count};
  }
  return sum;
}

// A voxel left out adds -0.0, the one number that changes no sum. Each level adds the sums of the level before.
std::vector<Volume> float_means(const Volume& volume, const Work& work) {
  std::vector<Sum> sums;
  for (u64 voxel : volume.voxels) {
    const bool out = work.has_ignore && canonical(volume.dtype, voxel) == canonical(volume.dtype, work.ignore);
    sums.push_back(out ? Sum{-0.0, 0} : Sum{float_of(volume.dtype, voxel), 1});
  }
  std::vector<Volume> levels;
  Geometry fine{work.origin, volume.shape};
  for (const Shape& factor : work.factors) {
    const Geometry coarse = coarser(fine, factor);
    const std::vector<i128> wide(factor.begin(), factor.end());
    std::vector<Sum> next;
    Volume level{volume.dtype, coarse.shape, {}};
    const int last = static_cast<int>(factor.size()) - 1;
    Shape first(factor.size()), end(factor.size()), walk(factor.size());
    each(Shape(factor.size(), 0), coarse.shape, [&](const Shape& at) {
      below(fine, coarse, wide, at, first, end);
      next.push_back(sum_box(sums, fine.shape, last, walk, first, end));
      const Sum& sum = next.back();
      const bool empty = sum.count == 0;
      level.voxels.push_back(empty ? work.ignore
                                   : bits_of_float(volume.dtype, sum.total / static_cast<double>(sum.count)));
    });
    levels.push_back(level);
    sums = next;
    fine = coarse;
  }
  return levels;
}

std::vector<Volume> expected(const Volume& volume, const Work& work) {
  if (work.method == Method::mean && is_float(volume.dtype)) return float_means(volume, work);
  std::vector<Volume> levels;
  const std::size_t ndim = volume.shape.size();
  std::vector<i128> total(ndim, 1);
  const Geometry base{work.origin, volume.shape};
  Geometry coarse = base;
  for (const Shape& factor : work.factors) {
    coarse = coarser(coarse, factor);
    // cut where a product no longer fits; every block then reaches beyond every array
    for (std::size_t axis = 0; axis < ndim; ++axis)
      total[axis] = std::min<i128>(total[axis] * factor[axis], static_cast<i128>(1) << 62);
    Volume level{volume.dtype, coarse.shape, {}};
    Shape first(ndim), end(ndim);
    each(Shape(ndim, 0), coarse.shape, [&](const Shape& at) {
      std::vector<u64> footprint;
      below(base, coarse, total, at, first, end);
      each(first, end, [&](const Shape& voxel) {
        footprint.push_back(volume.voxels[static_cast<std::size_t>(index_in(volume.shape, voxel))]);
      });
      level.voxels.push_back(pool_one(volume, footprint, work));
    });
    levels.push_back(level);
  }
  return levels;
}

// --- running the library on the same -------------------------------------------------------------------------------

struct Factors {
  i64 of[max_levels][max_ndim];
};

void fill(Factors& factors, const std::vector<Shape>& from) {
  for (std::size_t level = 0; level < from.size(); ++level) {
    std::fill(factors.of[level], factors.of[level] + max_ndim, 1);
    std::copy(from[level].begin(), from[level].end(), factors.of[level]);
  }
}

Options options_of(const Work& work) {
  Options options;
  options.method = work.method;
  options.rounding = work.rounding;
  options.ties = work.ties;
  options.has_ignore = work.has_ignore;
  options.ignore = work.ignore;
  options.voxel_offset = work.origin.data();
  return options;
}

Placed place_input(const Arena& arena, const Volume& volume, Layout layout, bool high) {
  const int width = row(volume.dtype).width;
  const bool swapped = layout == Layout::swapped;
  arena.writable(true);
  Placed in = place(arena, volume.dtype, volume.shape, strides_of(layout, volume.shape, width), swapped, high);
  std::memset(in.first, untouched, static_cast<std::size_t>(in.bytes));
  for (std::size_t i = 0; i < in.offsets.size(); ++i)
    put_bits(in.view.data + in.offsets[i], volume.voxels[i], width, swapped);
  arena.writable(false);
  return in;
}

// The voxels are the wanted ones, and no other byte of the span was written.
bool holds(const Placed& out, const Volume& want) {
  const int width = row(want.dtype).width;
  bool right = true;
  for (std::size_t i = 0; i < out.offsets.size(); ++i) {
    char* voxel = out.view.data + out.offsets[i];
    const u64 got = get_bits(voxel, width, out.view.swapped);
    if (right && !same(want.dtype, got, want.voxels[i]) && failures < 20)
      std::printf("voxel %zu: got %#llx, want %#llx\n", i, static_cast<unsigned long long>(got),
                  static_cast<unsigned long long>(want.voxels[i]));
    right = right && same(want.dtype, got, want.voxels[i]);
    std::memset(voxel, untouched, static_cast<std::size_t>(width));
  }
  for (i64 i = 0; i < out.bytes; ++i) right = right && static_cast<unsigned char>(out.first[i]) == untouched;
  return right;
}

void compare(const Arenas& arenas, const Placed& in, const std::vector<Volume>& want, const Work& work, Layout layout,
             bool high, int isa, int threads) {
  Placed outs[most_levels];
  View views[most_levels];
  const int levels = static_cast<int>(want.size());
  for (int k = 0; k < levels; ++k) {
    const i64 width = row(want[k].dtype).width;
    outs[k] = place(arenas.out[k], want[k].dtype, want[k].shape, strides_of(layout, want[k].shape, width),
                    in.view.swapped, high);
    std::memset(outs[k].first, untouched, static_cast<std::size_t>(outs[k].bytes));
    views[k] = outs[k].view;
  }
  Factors factors;
  fill(factors, work.factors);
  Options options = options_of(work);
  options.isa = isa;
  options.threads = threads;
  i64 unproven[max_levels];
  const Status status = pyramid(in.view, levels, factors.of, views, options, unproven);
  CHECK(status == Status::ok);
  for (int k = 0; k < levels; ++k) {
    CHECK(holds(outs[k], want[k]));
    CHECK(unproven[k] == 0);
  }
}

const std::vector<Method> methods = {Method::mean, Method::mode, Method::median,
                                     Method::min,  Method::max,  Method::stride};
const char* const method_names[] = {"mean", "mode", "median", "min", "max", "stride"};

const char* isa_name(int isa) {
  int count = 0;
  return instruction_sets(&count)[isa];
}

int isa_count() {
  int count = 0;
  instruction_sets(&count);
  return count;
}

void describe(const char* what, const Volume& volume, const Work& work, Layout layout, int isa, int threads) {
  std::string text =
      std::string(what) + ": " + method_names[static_cast<int>(work.method)] + " of " + row(volume.dtype).name + " ";
  const auto list = [&](const Shape& numbers) {
    text += "(";
    for (i64 number : numbers) text += std::to_string(number) + ",";
    text += ") ";
  };
  list(volume.shape);
  text += "factors ";
  for (const Shape& factor : work.factors) list(factor);
  text += "origin ";
  list(work.origin);
  if (work.has_ignore) text += "ignore " + std::to_string(work.ignore) + " ";
  text += work.rounding == Rounding::floor ? "floor " : "";
  text += work.ties == Ties::lowest ? "lowest " : "";
  text += std::string(layout_names[static_cast<int>(layout)]) + " " + isa_name(isa);
  text += " threads " + std::to_string(threads);
  std::snprintf(where, sizeof where, "%s", text.c_str());
}

// --- what arrays are made of ---------------------------------------------------------------------------------------

enum class Flavour { labels, noise, special };

u64 random_voxel(Dtype dtype, Flavour flavour, Random& random) {
  const int width = row(dtype).width;
  const u64 mask = ~u64{0} >> (64 - 8 * width);
  const u64 top = u64{1} << (8 * width - 1);
  if (row(dtype).kind == Kind::boolean)
    return flavour == Flavour::special && random.below(8) == 0 ? static_cast<u64>(random.below(256))
                                                               : static_cast<u64>(random.below(2));
  if (is_float(dtype)) {
    const double infinity = std::numeric_limits<double>::infinity();
    if (flavour == Flavour::labels) return bits_of_float(dtype, static_cast<double>(random.below(5) - 2) * 0.5);
    if (flavour == Flavour::noise)
      return bits_of_float(dtype, std::ldexp(static_cast<double>(random.below(1 << 20)) - 500000.0,
                                             static_cast<int>(random.below(40)) - 30));
    switch (random.below(9)) {
      case 0:
        return top;  // -0.0
      case 1:
        return 0;
      case 2:
        return bits_of_float(dtype, infinity);
      case 3:
        return bits_of_float(dtype, -infinity);
      case 4:
        return (bits_of_float(dtype, infinity) | 1 | (random.bits() & top)) & mask;  // a NaN that is not the usual one
      case 5:
        return 1 | (random.bits() & top);  // the smallest number
      default:
        return bits_of_float(dtype, static_cast<double>(random.below(7)) - 3.0);
    }
  }
  if (flavour == Flavour::noise) return random.bits() & mask;
  if (flavour == Flavour::labels) return static_cast<u64>(random.below(4)) * 85 & mask;
  const std::vector<u64> ends = {0, 1, mask, mask - 1, top, top - 1, top + 1};
  return random.of(ends) & mask;
}

Volume random_volume(Dtype dtype, const Shape& shape, Flavour flavour, Random& random) {
  Volume volume{dtype, shape, {}};
  const i64 count = product(shape);
  for (i64 i = 0; i < count; ++i) volume.voxels.push_back(random_voxel(dtype, flavour, random));
  return volume;
}

// A value to leave out: one that is there more often than not. Only +0.0 and the usual NaN, as the interface asks.
u64 random_ignore(const Volume& volume, Random& random) {
  if (volume.voxels.empty() || random.below(6) == 0) return 0;
  return canonical(volume.dtype, random.of(volume.voxels));
}

// One case in `every`, and not in step with what the cases take turns in.
bool chosen(int number, int every) {
  return static_cast<std::uint32_t>(number) * 2654435761u / 65536 % static_cast<std::uint32_t>(every) == 0;
}

// --- the grid ------------------------------------------------------------------------------------------------------

void compare_everywhere(const Arenas& arenas, const Volume& volume, const Work& work, const char* what, int number,
                        const std::vector<Layout>& layouts, const std::vector<int>& threads) {
  const std::vector<Volume> want = expected(volume, work);
  for (Layout layout : layouts) {
    const bool high = (number + static_cast<int>(layout)) % 2 == 0;
    const Placed in = place_input(arenas.in, volume, layout, high);
    // the answer in the same layout, or in another one
    Layout answer = layout;
    if (number % 3 == 0 && layout != Layout::swapped)
      answer = static_cast<Layout>((static_cast<int>(layout) + number / 3) % static_cast<int>(Layout::swapped));
    for (int isa = 0; isa < isa_count(); ++isa) {
      for (int count : threads) {
        describe(what, volume, work, layout, isa, count);
        compare(arenas, in, want, work, answer, high, isa, count);
      }
    }
  }
}

std::vector<Layout> all_layouts() {
  std::vector<Layout> layouts;
  for (int i = 0; i < static_cast<int>(Layout::count); ++i) layouts.push_back(static_cast<Layout>(i));
  return layouts;
}

void test_grid(const Arenas& arenas, int every) {
  const std::vector<Shape> shapes = {
      {},      {1},        {2},        {9},        {67},        {0},           {3, 0, 2},         {1, 1, 1},
      {5, 3},  {33, 5, 2}, {2, 5, 33}, {17, 7, 3}, {8, 8, 4},   {1, 9, 65},    {65, 1, 5},        {7, 2, 5, 3},
      {64, 4}, {4, 64},    {31, 6, 4}, {131, 3},   {2, 129, 2}, {16, 2, 8, 2}, {3, 2, 2, 3, 2, 2}};
  const std::vector<Shape> steps = {{2, 2, 1}, {2, 2, 2}, {1, 2, 2}, {2, 1, 1},    {1, 1, 2},           {3, 2, 1},
                                    {1, 1, 1}, {4, 4, 1}, {5, 1, 3}, {6, 10, 4},   {1, 3, 2},           {2, 2, 1},
                                    {2, 2, 2}, {8, 1, 1}, {1, 1, 7}, {70, 100, 3}, {1, i64{1} << 61, 2}};
  const std::vector<i64> origins = {0, 1, -1, 2, -3, 5, 7, 1000003, -(i64{1} << 60), (i64{1} << 60) - 200};
  Random random(2024);
  int number = 0;
  for (int dtype = 0; dtype < dtype_count; ++dtype) {
    for (Method method : methods) {
      for (std::size_t s = 0; s < 2 * shapes.size(); ++s) {
        const Shape& shape = shapes[s / 2];
        const bool integers = row(static_cast<Dtype>(dtype)).kind != Kind::floating;
        const Flavour flavour = random.below(3) == 0                             ? Flavour::special
                                : method == Method::mode || random.below(3) == 0 ? Flavour::labels
                                                                                 : Flavour::noise;
        const Volume volume = random_volume(static_cast<Dtype>(dtype), shape, flavour, random);
        Work work;
        work.method = method;
        work.rounding = integers && random.below(3) == 0 ? Rounding::floor : Rounding::half_even;
        work.ties = random.below(2) == 0 ? Ties::first : Ties::lowest;
        work.has_ignore = random.below(2) == 0;
        work.ignore = work.has_ignore ? random_ignore(volume, random) : 0;
        const int levels = s % 2 == 0 ? 1 : 1 + static_cast<int>(random.below(most_levels));
        const bool alike = random.below(2) == 0;
        for (int k = 0; k < levels; ++k) {
          Shape factor = k > 0 && alike ? work.factors[0] : random.of(steps);
          factor.resize(shape.size(), k % 2 == 0 ? 1 : 2);
          work.factors.push_back(factor);
        }
        work.origin.assign(shape.size(), 0);
        if (random.below(2) == 0)
          for (i64& start : work.origin) start = random.of(origins);
        if (chosen(++number, every)) compare_everywhere(arenas, volume, work, "grid", number, all_layouts(), {1});
      }
    }
  }
}

// Rows longer than what the drivers take at a time, and footprints for which every width of sum is needed.
void test_long_rows(const Arenas& arenas, int every) {
  const std::vector<Shape> shapes = {{40000}, {3, 9001, 2}, {17000, 1, 2}, {2, 3, 5001}};
  const std::vector<Shape> steps = {{2, 2, 1}, {1, 2, 2}, {2, 2, 2}, {300, 1, 1}, {3, 3, 3}, {70000, 70000, 70000}};
  Random random(7);
  int number = 0;
  for (int dtype = 0; dtype < dtype_count; ++dtype) {
    for (Method method : methods) {
      for (const Shape& shape : shapes) {
        Work work;
        work.method = method;
        const Flavour flavour = number % 4 == 0 ? Flavour::special : Flavour::labels;
        const Volume volume = random_volume(static_cast<Dtype>(dtype), shape, flavour, random);
        for (int k = 0; k < 1 + number % 2; ++k) {
          work.factors.push_back(random.of(steps));
          work.factors.back().resize(shape.size(), 1);
        }
        work.origin.assign(shape.size(), number % 3);
        work.has_ignore = number % 5 == 0;
        ++number;
        // a share of what is long already; a small share where the program is slowed down by a sanitizer
        if (chosen(number, 2 * every))
          compare_everywhere(arenas, volume, work, "long rows", number, {Layout::c, Layout::fortran, Layout::gapped},
                             {1, 3});
      }
    }
  }
}

// The largest sums: all voxels at the top of the range, as many of them as each accumulator takes.
void test_largest_sums(const Arenas& arenas) {
  for (Dtype dtype : {Dtype::uint8, Dtype::uint16, Dtype::int16, Dtype::uint32, Dtype::uint64, Dtype::int64}) {
    for (i64 count : {2, 255, 256, 257, 258, 4096, 65535, 65536, 65537, 262144}) {
      const u64 top = ~u64{0} >> (64 - 8 * row(dtype).width);
      Volume volume{dtype, {count}, std::vector<u64>(static_cast<std::size_t>(count), top)};
      volume.voxels.back() = top - 1;
      for (int variant = 0; variant < 4; ++variant) {
        Work work;
        work.method = Method::mean;
        work.rounding = variant % 2 == 0 ? Rounding::half_even : Rounding::floor;
        work.has_ignore = variant >= 2;
        work.factors = {{count}};
        work.origin = {0};
        const std::vector<Volume> want = expected(volume, work);
        const Placed in = place_input(arenas.in, volume, Layout::c, true);
        for (int isa = 0; isa < isa_count(); ++isa) {
          describe("largest sums", volume, work, Layout::c, isa, 1);
          compare(arenas, in, want, work, Layout::c, true, isa, 1);
        }
      }
    }
  }
}

// A factor far beyond the array, where several rows are read in place: no size may be made of the factor alone.
void test_huge_factors(const Arenas& arenas) {
  Random random(17);
  for (Dtype dtype : {Dtype::uint8, Dtype::uint16, Dtype::float32, Dtype::uint64}) {
    for (i64 factor : {i64{1} << 57, i64{1} << 58, i64{1} << 59, i64{1} << 60, i64{1} << 61, INT64_MAX}) {
      const i64 width = row(dtype).width;
      const Shape shape = {2, 3000, 3};
      Work work;
      work.origin = {0, 0, 0};
      work.factors = {{factor, 1, 1}, {2, 2, factor}};
      const Volume volume = random_volume(dtype, shape, Flavour::labels, random);
      // rows of one axis in memory as they are needed, with a gap after each plane
      arenas.in.writable(true);
      const Placed in = place(arenas.in, dtype, shape, {width, 2 * width, 2 * 3001 * width}, false, factor % 3 == 0);
      for (std::size_t i = 0; i < in.offsets.size(); ++i)
        put_bits(in.view.data + in.offsets[i], volume.voxels[i], static_cast<int>(width), false);
      arenas.in.writable(false);
      for (Method method : methods) {
        work.method = method;
        const std::vector<Volume> want = expected(volume, work);
        for (int isa = 0; isa < isa_count(); ++isa) {
          describe("huge factors", volume, work, Layout::fortran, isa, 1);
          compare(arenas, in, want, work, Layout::fortran, true, isa, 1);
        }
      }
    }
  }
}

// --- threads -------------------------------------------------------------------------------------------------------

// Rows of voxels in memory of their own, for what is too large for the arenas.
struct Buffer {
  std::vector<char> bytes;
  View view;
};

Buffer make_buffer(Dtype dtype, const Shape& shape, Layout layout) {
  Buffer buffer;
  const i64 width = row(dtype).width;
  buffer.bytes.assign(static_cast<std::size_t>(product(shape) * width), static_cast<char>(untouched));
  buffer.view.data = buffer.bytes.data();
  buffer.view.ndim = static_cast<int>(shape.size());
  buffer.view.dtype = dtype;
  const Shape strides = strides_of(layout, shape, width);
  std::copy(shape.begin(), shape.end(), buffer.view.shape);
  std::copy(strides.begin(), strides.end(), buffer.view.strides);
  return buffer;
}

std::vector<Buffer> make_levels(Dtype dtype, const Geometry& base, const std::vector<Shape>& factors, Layout layout) {
  std::vector<Buffer> levels;
  Geometry at = base;
  for (const Shape& factor : factors) {
    at = coarser(at, factor);
    levels.push_back(make_buffer(dtype, at.shape, layout));
  }
  return levels;
}

Status run(const View& in, const std::vector<Shape>& factors, std::vector<Buffer>& outs, const Options& options,
           i64* unproven = nullptr) {
  std::vector<View> views;
  for (const Buffer& out : outs) views.push_back(out.view);
  Factors table;
  fill(table, factors);
  return pyramid(in, static_cast<int>(factors.size()), table.of, views.data(), options, unproven);
}

void test_threads(int every) {
  struct Case {
    Dtype dtype;
    Shape shape;
  };
  const std::vector<Case> cases = {{Dtype::uint8, {131, 128, 127}}, {Dtype::uint16, {9, 1031, 119}},
                                   {Dtype::uint64, {65, 63, 66}},   {Dtype::float32, {127, 66, 65}},
                                   {Dtype::uint8, {3000001}},       {Dtype::float64, {300007, 1, 1}},
                                   {Dtype::int32, {2, 2, 140001}}};
  Random random(99);
  int number = 0;
  for (const Case& one : cases) {
    for (Method method : methods) {
      for (Layout layout : {Layout::c, Layout::fortran}) {
        if (!chosen(++number, every)) continue;
        Buffer in = make_buffer(one.dtype, one.shape, layout);
        const int width = row(one.dtype).width;
        const Flavour flavour = number % 3 == 0 ? Flavour::special : Flavour::labels;
        for (std::size_t i = 0; i < in.bytes.size(); i += static_cast<std::size_t>(width))
          put_bits(in.bytes.data() + i, random_voxel(one.dtype, flavour, random), width, false);
        std::vector<Shape> factors(1 + static_cast<std::size_t>(number % 2), {2, 2, number % 3 == 0 ? 2 : 1});
        for (Shape& factor : factors) factor.resize(one.shape.size());
        const Shape origin = {number % 2, 1, -3};
        Options options;
        options.method = method;
        options.voxel_offset = origin.data();
        options.has_ignore = number % 4 == 0;
        const Geometry base{Shape(origin.begin(), origin.begin() + static_cast<std::ptrdiff_t>(one.shape.size())),
                            one.shape};
        std::vector<Buffer> alone = make_levels(one.dtype, base, factors, layout);
        std::snprintf(where, sizeof where, "threads: %s of %s, layout %s", method_names[static_cast<int>(method)],
                      row(one.dtype).name, layout_names[static_cast<int>(layout)]);
        CHECK(run(in.view, factors, alone, options) == Status::ok);
        for (int threads : {2, 8, 0}) {
          std::vector<Buffer> together = make_levels(one.dtype, base, factors, layout);
          options.threads = threads;
          CHECK(run(in.view, factors, together, options) == Status::ok);
          for (std::size_t k = 0; k < factors.size(); ++k) CHECK(alone[k].bytes == together[k].bytes);
        }
      }
    }
  }
}

// Eight threads of the caller's, a thousand calls each, on one input.
void test_many_callers() {
  const Shape shape = {41, 18, 7};
  Random random(5);
  Buffer in = make_buffer(Dtype::uint32, shape, Layout::c);
  for (std::size_t i = 0; i < in.bytes.size(); i += 4)
    put_bits(in.bytes.data() + i, random_voxel(Dtype::uint32, Flavour::labels, random), 4, false);
  const std::vector<Shape> factors = {{2, 2, 1}, {2, 2, 2}};
  const Shape origin = {1, 0, -3};
  const Geometry base{origin, shape};
  std::vector<std::vector<Buffer>> alone;
  std::vector<Options> options(methods.size());
  for (std::size_t m = 0; m < methods.size(); ++m) {
    options[m].method = methods[m];
    options[m].voxel_offset = origin.data();
    alone.push_back(make_levels(Dtype::uint32, base, factors, Layout::c));
    CHECK(run(in.view, factors, alone[m], options[m]) == Status::ok);
  }
  std::snprintf(where, sizeof where, "eight callers");
  std::vector<int> wrong(8, 0);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller)
    callers.emplace_back([&, caller] {
      for (int call = 0; call < 1000; ++call) {
        const std::size_t m = static_cast<std::size_t>(caller + call) % methods.size();
        std::vector<Buffer> outs = make_levels(Dtype::uint32, base, factors, Layout::c);
        bool right = run(in.view, factors, outs, options[m]) == Status::ok;
        for (std::size_t k = 0; k < factors.size(); ++k) right = right && outs[k].bytes == alone[m][k].bytes;
        wrong[static_cast<std::size_t>(caller)] += !right;
      }
    });
  for (std::thread& caller : callers) caller.join();
  for (int count : wrong) CHECK(count == 0);
}

// --- stopping ------------------------------------------------------------------------------------------------------

struct Patience {
  int asked = 0, patience = 0;
};

bool while_patient(void* context) {
  Patience& own = *static_cast<Patience*>(context);
  return ++own.asked <= own.patience;
}

void test_keep_going() {
  // 256 MiB of voxels, all of them the same 64 KiB
  Buffer page = make_buffer(Dtype::uint8, {256, 256}, Layout::c);
  Random random(3);
  for (char& voxel : page.bytes) voxel = static_cast<char>(random.below(9));
  View in = page.view;
  in.ndim = 3;
  in.shape[2] = 4096;
  in.strides[2] = 0;
  const std::vector<Shape> factors = {{16, 16, 32}};
  const Geometry base{{0, 0, 0}, {256, 256, 4096}};
  Options options;
  options.method = Method::stride;  // the least work per slab
  std::vector<Buffer> undisturbed = make_levels(Dtype::uint8, base, factors, Layout::c);
  std::snprintf(where, sizeof where, "keep_going: null");
  CHECK(run(in, factors, undisturbed, options) == Status::ok);
  Patience patience;
  options.keep_going = while_patient;
  options.context = &patience;
  for (int threads : {1, 2}) {
    options.threads = threads;
    for (int most : {0, 1, 1000}) {
      std::snprintf(where, sizeof where, "keep_going: %d threads, patience %d", threads, most);
      patience = {0, most};
      std::vector<Buffer> outs = make_levels(Dtype::uint8, base, factors, Layout::c);
      const Status status = run(in, factors, outs, options);
      // (of two threads the one that asks may do little of the work, and so ask but once)
      CHECK(patience.asked >= (threads == 1 ? std::min(most + 1, 2) : 1));
      CHECK(status == (patience.asked > most ? Status::interrupted : Status::ok));
      if (status == Status::ok) CHECK(outs[0].bytes == undisturbed[0].bytes);
    }
  }
}

// --- more labels than are carried ----------------------------------------------------------------------------------

void test_label_rule() {
  Random random(5);
  int proven = 0, unproven_count = 0;
  for (int round = 0; round < 24; ++round) {
    // one voxel at the top level, so that the counts say which winners are proven; a favourite that is hardly ahead in
    // some rounds and far ahead in others, among few labels or very many
    const i64 labels = std::vector<i64>{900, 3000, 20000, 100000}[static_cast<std::size_t>(round % 4)];
    const i64 favourite_share = std::vector<i64>{2, 40, 20000}[static_cast<std::size_t>(round / 4 % 3)];
    Buffer in = make_buffer(Dtype::uint32, {64, 64, 16}, round % 2 == 0 ? Layout::fortran : Layout::c);
    std::map<u64, i64> votes;
    std::vector<u64> raster;
    for (std::size_t i = 0; i < in.bytes.size(); i += 4) {
      const u64 label = random.below(favourite_share) == 0 ? 7 : static_cast<u64>(1000 + random.below(labels));
      put_bits(in.bytes.data() + i, label, 4, false);
      ++votes[label];
    }
    for (i64 z = 0; z < 16; ++z)
      for (i64 y = 0; y < 64; ++y)
        for (i64 x = 0; x < 64; ++x)
          raster.push_back(get_bits(
              in.bytes.data() + x * in.view.strides[0] + y * in.view.strides[1] + z * in.view.strides[2], 4, false));
    u64 exact = raster[0];
    for (u64 label : raster)
      if (votes[label] > votes[exact]) exact = label;
    const std::vector<Shape> factors(6, Shape{2, 2, 2});
    Options options;
    options.method = Method::mode;
    std::vector<Buffer> outs = make_levels(Dtype::uint32, {{0, 0, 0}, {64, 64, 16}}, factors, Layout::c);
    i64 unproven[max_levels];
    std::snprintf(where, sizeof where, "label rule: round %d", round);
    CHECK(run(in.view, factors, outs, options, unproven) == Status::ok);
    const u64 got = get_bits(outs[5].bytes.data(), 4, false);
    CHECK(outs[5].bytes.size() == 4);
    CHECK(unproven[5] == 0 || unproven[5] == 1);
    CHECK(unproven[5] == 1 || got == exact);
    CHECK(votes.count(got) == 1);  // never a label that is not there
    CHECK(labels > 1024 || unproven[5] == 0);
    for (int k = 0; k < 3; ++k) CHECK(unproven[k] == 0);  // no more than 512 voxels each
    (unproven[5] == 0 ? proven : unproven_count) += 1;
    // in one step nothing is carried: exact, whatever the labels
    std::vector<Buffer> one = make_levels(Dtype::uint32, {{0, 0, 0}, {64, 64, 16}}, {{64, 64, 16}}, Layout::c);
    CHECK(run(in.view, {{64, 64, 16}}, one, options, unproven) == Status::ok);
    CHECK(get_bits(one[0].bytes.data(), 4, false) == exact);
  }
  std::snprintf(where, sizeof where, "label rule: both kinds occur");
  CHECK(proven > 0);
  CHECK(unproven_count > 0);
}

// --- refusals ------------------------------------------------------------------------------------------------------

void test_huge_footprints() {
  char voxel[8] = {};
  View in;
  in.data = voxel;
  in.dtype = Dtype::uint64;
  View out = in;
  const auto status_of = [&](const Shape& shape, const Shape& factor) {
    in.ndim = out.ndim = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), in.shape);
    const Geometry coarse = coarser({Shape(shape.size(), 0), shape}, factor);
    std::copy(coarse.shape.begin(), coarse.shape.end(), out.shape);
    Factors factors;
    fill(factors, {factor});
    for (Method method : methods) {
      Options options;
      options.method = method;
      CHECK(pyramid(in, 1, factors.of, &out, options) == Status::footprint);
    }
  };
  std::snprintf(where, sizeof where, "huge footprints");
  status_of({(i64{1} << 31) + 1}, {i64{1} << 32});
  status_of({i64{1} << 40}, {(i64{1} << 31) + 1});
  status_of({1 << 16, 1 << 16}, {1 << 16, 1 << 16});
  status_of({1 << 16, 1, 1 << 15, 2}, {1 << 16, 9, 1 << 15, 2});
  status_of({i64{1} << 60, 2}, {INT64_MAX, INT64_MAX});
  status_of({i64{1} << 30, i64{1} << 30}, {i64{1} << 30, i64{1} << 30});
}

void test_isa_names() {
  Arena arena(64);
  const Shape shape = {2};
  View in = place(arena, Dtype::uint8, shape, {1}, false, true).view;
  char made = 0;
  View out = in;
  out.data = &made;
  out.shape[0] = 1;
  Factors factors;
  fill(factors, {{2}});
  in.data[0] = 1;
  in.data[1] = 5;
  const auto status_with = [&](int isa) {
    Options options;
    options.isa = isa;
    made = 0;
    return pyramid(in, 1, factors.of, &out, options);
  };
  int count = 0;
  const char* const* names = instruction_sets(&count);
  std::snprintf(where, sizeof where, "instruction sets");
  CHECK(count >= 1);
  CHECK(std::strcmp(names[count - 1], "scalar") == 0 || std::strcmp(names[count - 1], "neon") == 0);
  for (int i = 0; i < count; ++i) {
    setenv("TINYPYR_ISA", names[i], 1);
    CHECK(chosen_instruction_set() == i);
    CHECK(status_with(-1) == Status::ok);
    CHECK(made == 3);
    setenv("TINYPYR_ISA", "nonsense", 1);  // a number in the options goes before the environment
    CHECK(status_with(i) == Status::ok);
    CHECK(made == 3);
  }
  for (const char* wrong : {"nonsense", "AVX2", "scalar ", " ", "sse2,scalar", "0"}) {
    setenv("TINYPYR_ISA", wrong, 1);
    CHECK(chosen_instruction_set() == -1);
    CHECK(status_with(-1) == Status::bad_isa);
    CHECK(made == 0);
  }
  setenv("TINYPYR_ISA", "", 1);
  CHECK(chosen_instruction_set() == 0);
  unsetenv("TINYPYR_ISA");
  CHECK(chosen_instruction_set() == 0);
  CHECK(status_with(count) == Status::bad_isa);
  CHECK(status_with(INT32_MAX) == Status::bad_isa);
  CHECK(made == 0);
}

// Views that nobody should make. Either a status refuses them and nothing is written, or the memory that they span is
// there, between its guard pages, and the answer is right.
void test_hostile_views(const Arenas& arenas) {
  constexpr i64 largest = INT64_MAX, smallest = INT64_MIN, one = 1;
  const std::vector<i64> extremes = {0,
                                     1,
                                     2,
                                     3,
                                     -1,
                                     -2,
                                     7,
                                     8,
                                     one << 31,
                                     -(one << 31),
                                     (one << 31) - 1,
                                     one << 32,
                                     one << 60,
                                     (one << 60) + 1,
                                     one << 61,
                                     -(one << 60),
                                     one << 62,
                                     -(one << 62),
                                     largest,
                                     smallest,
                                     smallest + 1};
  const std::vector<i64> mild = {0, 1, 1, 2, 3, 3, 5, 9};
  Random random(11);
  i64 answered = 0, refused = 0;
  for (int number = 0; number < 10000; ++number) {
    std::snprintf(where, sizeof where, "hostile view %d", number);
    // how much of it is wild: nothing, some or everything
    const i64 wildness = random.below(4) * random.below(2) + random.below(2);
    const auto wild = [&] { return random.below(8) < 2 * wildness; };
    const int levels =
        wild() && wild() ? static_cast<int>(random.below(68)) - 1 : 1 + static_cast<int>(random.below(4));
    const int made_levels = std::clamp(levels, 1, most_levels);
    const int ndim = wild() ? static_cast<int>(random.below(35)) - 1 : static_cast<int>(random.below(5));
    const std::size_t axes = static_cast<std::size_t>(std::clamp(ndim, 0, max_ndim));
    const int code = wild() && random.below(4) == 0 ? static_cast<int>(random.below(256))
                                                    : static_cast<int>(random.below(dtype_count));
    const bool known = code < dtype_count;
    const Dtype dtype = static_cast<Dtype>(code);
    const i64 width = known ? row(dtype).width : 1;

    Shape shape(axes), strides(axes), origin(axes, 0);
    for (std::size_t axis = 0; axis < axes; ++axis) {
      shape[axis] = wild() ? random.of(extremes) : axes > 4 ? 1 + i64{axis < 3} : random.of(mild);
      if (wild()) origin[axis] = random.of(extremes);
    }
    std::vector<Shape> factors(static_cast<std::size_t>(made_levels), Shape(axes));
    for (Shape& factor : factors)
      for (i64& f : factor) f = wild() ? random.of(extremes) : 1 + random.below(3);

    // Is everything about the numbers in range, and is there no voxel?
    const auto in_range = [](i128 value, i128 least, i128 most) { return value >= least && value <= most; };
    bool sane = in_range(levels, 1, max_levels) && known && in_range(ndim, 0, max_ndim);
    bool empty = false, small = true;
    i128 voxels = 1;
    for (std::size_t axis = 0; axis < axes; ++axis) {
      sane = sane && in_range(shape[axis], 0, one << 60) && in_range(origin[axis], -(one << 60), one << 60);
      for (const Shape& factor : factors) sane = sane && factor[axis] >= 1;
      empty = empty || shape[axis] == 0;
      small = small && in_range(shape[axis], 0, 4096);
      if (small && shape[axis] > 0) voxels *= shape[axis];
      small = small && voxels <= 4096;
    }
    // Strides for memory that is there, or wild ones. Where an axis has no second voxel its stride means nothing.
    const bool wild_strides = wild();
    if (small) strides = strides_of(static_cast<Layout>(random.below(6)), shape, width);
    bool there = small && sane && levels == made_levels;
    for (std::size_t axis = 0; axis < axes; ++axis) {
      if (!(wild_strides && random.below(2) == 0)) continue;
      strides[axis] = random.of(extremes);
      if (shape[axis] > 1 || strides[axis] == smallest) there = false;
    }

    Volume volume{known ? dtype : Dtype::uint8, there ? shape : Shape(), {}};
    View in;
    if (there) {
      if (!empty) volume = random_volume(dtype, shape, Flavour::labels, random);
      arenas.in.writable(true);
      const Placed placed = place(arenas.in, dtype, shape, strides, false, number % 2 == 0);
      for (std::size_t i = 0; i < placed.offsets.size(); ++i)
        put_bits(placed.view.data + placed.offsets[i], volume.voxels[i], static_cast<int>(width), false);
      arenas.in.writable(false);
      in = placed.view;
    } else {
      in.data = sane && !empty ? nullptr : arenas.in.low();  // what is not there has no address
      in.ndim = ndim;
      in.dtype = dtype;
      std::copy(shape.begin(), shape.end(), in.shape);
      std::copy(strides.begin(), strides.end(), in.strides);
    }
    if (random.below(20) == 0) in.data = nullptr;

    // Outputs of the right extents where these can be said, else of any.
    View outs[max_levels];
    Placed placed_outs[most_levels];
    Geometry at{origin, shape};
    bool outs_right = there && in.data != nullptr;
    for (int k = 0; k < most_levels; ++k)
      std::memset(arenas.out[k].low(), untouched, 8192), std::memset(arenas.out[k].high() - 8192, untouched, 8192);
    for (int k = 0; k < made_levels && there; ++k) {
      at = coarser(at, factors[static_cast<std::size_t>(k)]);
      Shape steps = strides_of(static_cast<Layout>(random.below(6)), at.shape, width);
      for (std::size_t axis = 0; axis < axes; ++axis)
        if (at.shape[axis] < 2 && wild_strides) {
          steps[axis] = random.of(extremes);
          outs_right = outs_right && steps[axis] != smallest;
        }
      placed_outs[k] = place(arenas.out[k], dtype, at.shape, steps, false, number % 2 == 1);
      if (placed_outs[k].bytes > 8192) std::abort();
      std::memset(placed_outs[k].first, untouched, static_cast<std::size_t>(placed_outs[k].bytes));
      outs[k] = placed_outs[k].view;
    }
    for (int k = there ? made_levels : 0; k < max_levels; ++k) {
      outs[k] = in;
      outs[k].data = arenas.out[0].low();
      for (std::size_t axis = 0; axis < axes; ++axis) {
        outs[k].shape[axis] = wild() ? random.of(extremes) : random.of(mild);
        outs[k].strides[axis] = wild() ? random.of(extremes) : 1;
      }
    }
    if (there && wild() && axes > 0) {  // one number wrong in one level
      View& out = outs[random.below(made_levels)];
      const i64 axis = random.below(static_cast<i64>(axes));
      switch (random.below(6)) {
        case 0:
          out.data = nullptr;
          outs_right = outs_right && empty;
          break;
        case 1:
          out.ndim += random.below(2) == 0 ? 1 : -1;
          outs_right = false;
          break;
        case 2:
          out.dtype = static_cast<Dtype>((code + 1) % 256);
          outs_right = false;
          break;
        case 3:
          out.swapped = true;
          outs_right = false;
          break;
        default:
          const i64 wrong = random.of(extremes);
          outs_right = outs_right && wrong == out.shape[axis];
          out.shape[axis] = wrong;
      }
    }

    Work work;
    work.method = random.of(methods);
    work.rounding = static_cast<Rounding>(random.below(2));
    work.ties = static_cast<Ties>(random.below(2));
    work.has_ignore = random.below(3) == 0;
    work.factors = factors;
    work.origin = origin;
    Options options = options_of(work);
    options.voxel_offset = axes == 0 ? nullptr : origin.data();
    options.threads = wild() ? static_cast<int>(random.of(extremes)) : 1;
    options.isa = static_cast<int>(random.below(isa_count()));
    if (there && wild() && random.below(8) == 0) {
      options.method = static_cast<Method>(random.below(256));  // whatever it does, it does between the guard pages
      work.method = options.method;
    }
    Factors table;
    fill(table, factors);
    for (int k = made_levels; k < max_levels; ++k) std::copy(table.of[0], table.of[0] + max_ndim, table.of[k]);

    const Status status = pyramid(in, levels, table.of, outs, options);
    CHECK(status == Status::ok || status == Status::bad_view || status == Status::bad_factor ||
          status == Status::bad_voxel_offset || status == Status::bad_out);
    CHECK(status != Status::ok || there || (sane && empty));
    if (outs_right) CHECK(status == Status::ok);
    if (status != Status::ok) {
      ++refused;
      bool clean = true;
      for (int k = 0; k < most_levels; ++k)
        for (i64 i = 0; i < 8192; ++i)
          clean = clean && static_cast<unsigned char>(arenas.out[k].low()[i]) == untouched &&
                  static_cast<unsigned char>(arenas.out[k].high()[-1 - i]) == untouched;
      CHECK(clean);
    } else if (there && static_cast<int>(work.method) < static_cast<int>(methods.size())) {
      ++answered;
      const std::vector<Volume> want = expected(volume, work);
      for (int k = 0; k < made_levels; ++k)
        if (outs[k].data != nullptr) CHECK(holds(placed_outs[k], want[static_cast<std::size_t>(k)]));
    }
  }
  std::snprintf(where, sizeof where, "hostile views: %lld answered, %lld refused", static_cast<long long>(answered),
                static_cast<long long>(refused));
  CHECK(answered > 1000);
  CHECK(refused > 1000);
}

// --- values between voxels ------------------------------------------------------------------------------------------

// The place along an axis of n voxels that stands for x, and the voxel that stands for one numbered `at` (below 0: none).
double folded(BoundaryMode extend, double x, double n) {
  const double last = n - 1;
  if (x >= 0 && x <= last) return x;
  const auto modulo = [](double a, double b) { return a - std::floor(a / b) * b; };
  if (extend == BoundaryMode::mirror && n > 1) {
    const double at = modulo(std::abs(x), 2 * last);
    return at >= (x < 0 ? last : n) ? 2 * last - at : at;
  }
  if (extend == BoundaryMode::reflect) {
    const double at = modulo(std::abs(x + 0.5), 2 * n);
    return (at > n ? 2 * n - at : at) - 0.5;
  }
  if (extend == BoundaryMode::wrap && n > 1) return x < 0 ? last - modulo(-x, last) : modulo(x, last);
  if (extend == BoundaryMode::grid_wrap) return modulo(x, n);
  return extend == BoundaryMode::mirror || extend == BoundaryMode::wrap ? 0 : x;
}

i64 stands_for(BoundaryMode extend, i64 at, i64 n) {
  if (at >= 0 && at < n) return at;
  if (extend == BoundaryMode::grid_constant) return -1;
  if (extend == BoundaryMode::nearest || n == 1) return at < 0 ? 0 : n - 1;
  if (extend == BoundaryMode::grid_wrap) return ((at % n) + n) % n;
  const i64 period = extend == BoundaryMode::reflect ? 2 * n : 2 * n - 2, place = ((at % period) + period) % period;
  return place < n ? place : extend == BoundaryMode::reflect ? 2 * n - 1 - place : period - place;
}

struct Sampled {
  double value = 0;
  u64 bits = 0;  // of order 0
  bool incomplete = false;
};

// Nearest and linear, one voxel at a time, from the whole array; which part of it is at hand matters to `incomplete` alone.
Sampled sample_one(const Volume& whole, const Shape& first, const Shape& count, const Sampling& how, const double* x) {
  const std::size_t ndim = whole.shape.size();
  Sampled made;
  if (how.boundary_mode == BoundaryMode::constant)
    for (std::size_t h = 0; h < ndim; ++h)
      if (!(x[h] >= 0 && x[h] <= static_cast<double>(whole.shape[h] - 1))) return {how.fill, how.fill_bits, false};
  std::vector<i64> start(ndim);
  std::vector<double> fraction(ndim);
  for (std::size_t h = 0; h < ndim; ++h) {
    const i64 n = whole.shape[h];
    double at = folded(how.boundary_mode, x[h], static_cast<double>(n));
    if (how.boundary_mode == BoundaryMode::nearest) at = std::min(std::max(at, 0.0), static_cast<double>(n - 1));
    double middle = std::floor(how.order == 0 ? at + 0.5 : at);
    const bool before = how.boundary_mode == BoundaryMode::constant || how.boundary_mode == BoundaryMode::mirror ||
                        how.boundary_mode == BoundaryMode::wrap;
    if (how.order == 1 && before && at <= static_cast<double>(n - 1))
      middle = std::min(middle, static_cast<double>(std::max<i64>(n - 2, 0)));
    start[h] = static_cast<i64>(middle);
    fraction[h] = at - middle;
  }
  for (int corner = 0; corner < 1 << (how.order == 0 ? 0 : ndim); ++corner) {
    double weight = 1;
    i64 place = 0, step = 1;
    bool missing = false;
    for (std::size_t h = 0; h < ndim; ++h) {
      const int upper = corner >> h & 1;
      if (how.order == 1) weight *= upper ? fraction[h] : 1 - fraction[h];
      const i64 at = stands_for(how.boundary_mode, start[h] + upper, whole.shape[h]);
      missing = missing || at < 0;
      if (at >= 0 && (at - first[h] + whole.shape[h]) % whole.shape[h] >= count[h]) made.incomplete = true;
      place += at * step;
      step *= whole.shape[h];
    }
    const u64 bits = missing ? how.fill_bits : whole.voxels[static_cast<std::size_t>(place)];
    made.bits = bits;
    const double voxel = missing                 ? how.fill
                         : is_float(whole.dtype) ? float_of(whole.dtype, bits)
                                                 : static_cast<double>(integer_of(whole.dtype, bits));
    if (how.order == 1) made.value += weight * voxel;
  }
  return made;
}

// What an operation makes of one voxel and the field's value there, as bits of the output's dtype.
u64 combine_one(Operation operation, Dtype dtype, u64 voxel, double value, Dtype out_dtype) {
  if (operation == Operation::mask) return value >= 0.5 ? voxel : 0;
  const double full = is_float(dtype) ? float_of(dtype, voxel) : static_cast<double>(integer_of(dtype, voxel));
  const double made = operation == Operation::divide     ? (value == 0 ? full : full / value)
                      : operation == Operation::multiply ? full * value
                                                         : full - value;
  if (is_float(out_dtype)) return bits_of_float(out_dtype, made);
  const double whole = std::nearbyint(made);  // (halves to even, unless somebody has asked for something else)
  if (row(out_dtype).kind == Kind::boolean) return whole >= 1;
  const int bits = 8 * row(out_dtype).width - (row(out_dtype).kind == Kind::signed_integer);
  const i128 most = (static_cast<i128>(1) << bits) - 1;
  const i128 least = row(out_dtype).kind == Kind::signed_integer ? -most - 1 : 0;
  if (std::isnan(made)) return 0;
  if (whole >= std::ldexp(1.0, bits)) return bits_of_integer(out_dtype, most);
  if (whole <= static_cast<double>(least)) return bits_of_integer(out_dtype, least);
  return bits_of_integer(out_dtype, static_cast<i128>(whole));
}

// Voxels of some dtype combined with the field's values, which sample_affine has made one call earlier.
template <class Field>
void test_combine(const Arenas& arenas, int number, Random& random, const Shape& shape, int isas, Field field) {
  const auto operation = static_cast<Operation>(random.below(operation_count));
  Volume full{static_cast<Dtype>(random.below(dtype_count)), shape, {}};
  for (i64 i = 0; i < product(shape); ++i)
    full.voxels.push_back(is_float(full.dtype) ? bits_of_float(full.dtype, static_cast<double>(random.below(900)) / 7)
                                               : random_voxel(full.dtype, Flavour::labels, random));
  const auto out_dtype =
      operation == Operation::mask || random.below(2) == 0 ? full.dtype : static_cast<Dtype>(random.below(dtype_count));
  const auto layout = static_cast<Layout>(random.below(static_cast<i64>(Layout::permuted) + 1));
  const auto out_layout = static_cast<Layout>(random.below(static_cast<i64>(Layout::permuted) + 1));
  const int width = row(full.dtype).width, out_width = row(out_dtype).width;
  const bool high = random.below(2) == 0;
  const Shape ordered = strides_of(out_layout, shape, 8);
  const Placed value = place(arenas.out[1], Dtype::float64, shape, ordered, false, high);
  const Placed with = place(arenas.out[2], full.dtype, shape, strides_of(layout, shape, width), false, high);
  const Placed out = place(arenas.out[3], out_dtype, shape, strides_of(out_layout, shape, out_width), false, high);
  for (std::size_t i = 0; i < full.voxels.size(); ++i)
    put_bits(with.view.data + with.offsets[i], full.voxels[i], width, false);
  char before[sizeof(where)];
  std::memcpy(before, where, sizeof(where));
  std::snprintf(where, sizeof(where), "combine %d: %s, operation %d, to %s, %s with %s", number, row(full.dtype).name,
                static_cast<int>(operation), row(out_dtype).name, layout_names[static_cast<int>(layout)],
                layout_names[static_cast<int>(out_layout)]);
  for (int isa = 0; isa < isas; ++isa) {
    CHECK(field(isa, value.view, nullptr, operation) == Status::ok);
    std::memset(out.first, untouched, static_cast<std::size_t>(out.bytes));
    CHECK(field(isa, out.view, &with.view, operation) == Status::ok);
    bool right = true;
    for (std::size_t i = 0; i < full.voxels.size(); ++i) {
      double there;
      std::memcpy(&there, value.view.data + value.offsets[i], 8);
      const u64 got = get_bits(out.view.data + out.offsets[i], out_width, false);
      const u64 want = combine_one(operation, full.dtype, full.voxels[i], there, out_dtype);
      right = right && (got == want || (is_nan(out_dtype, got) && is_nan(out_dtype, want)));
    }
    CHECK(right);
  }
  std::memcpy(where, before, sizeof(where));
}

void test_sampler(const Arenas& arenas, int every) {
  Random random(77);
  int complete = 0, incomplete = 0;
  for (int number = 0; number < 6000; number += every) {
    const int ndim = static_cast<int>(1 + random.below(number % 8 == 0 ? 6 : 4));
    Volume whole{static_cast<Dtype>(random.below(dtype_count)), {}, {}};
    Shape out_shape, first, count;
    for (int axis = 0; axis < ndim; ++axis) {
      whole.shape.push_back(1 + random.below(ndim == 1 ? 300 : ndim == 2 ? 30 : ndim < 5 ? 9 : 3));
      if (ndim > 3 && axis == ndim - 1) whole.shape.back() += 24;
      out_shape.push_back(1 + random.below(ndim == 1 ? 400 : ndim == 2 ? 150 / (1 + axis * 9) : ndim < 5 ? 9 : 3));
      if (ndim > 3 && axis == ndim - 1) out_shape.back() += 24;  // (rows long enough for loops of their own)
      // often all of it, sometimes a part that may go round the end
      const bool all = random.below(3) > 0;
      first.push_back(all ? 0 : random.below(whole.shape.back()));
      count.push_back(all ? whole.shape.back() : random.below(whole.shape.back() + 1));
    }
    for (i64 i = 0; i < product(whole.shape); ++i)
      whole.voxels.push_back(is_float(whole.dtype)
                                 ? bits_of_float(whole.dtype, static_cast<double>(random.below(1000)) / 7)
                                 : random_voxel(whole.dtype, Flavour::labels, random));
    Sampling how;
    how.order = static_cast<int>(random.below(2));
    how.boundary_mode = static_cast<BoundaryMode>(random.below(7));
    how.fill = static_cast<double>(random.below(3));
    how.fill_bits = is_float(whole.dtype)                    ? bits_of_float(whole.dtype, how.fill)
                    : row(whole.dtype).kind == Kind::boolean ? how.fill >= 1
                                                             : static_cast<u64>(how.fill);
    how.extent = whole.shape.data();
    how.first = first.data();
    std::vector<double> matrix(static_cast<std::size_t>(ndim * ndim)), offset;
    const i64 kind = random.below(3);
    for (int h = 0; h < ndim; ++h) {
      offset.push_back(static_cast<double>(random.below(400)) / 16 - 6);
      for (int axis = 0; axis < ndim; ++axis) {
        const double entry = static_cast<double>(random.below(65)) / 16 - 2;  // (sums of sixteenths are exact)
        matrix[static_cast<std::size_t>(h * ndim + axis)] =
            kind == 0 || h == (kind == 1 ? axis : ndim - 1 - axis) ? entry : 0;
      }
    }
    const auto layout = static_cast<Layout>(random.below(static_cast<i64>(Layout::permuted) + 1));
    const auto out_layout = static_cast<Layout>(random.below(static_cast<i64>(Layout::permuted) + 1));
    std::snprintf(where, sizeof(where), "sampler %d: %s, %dd, order %d, mode %d, map %d, %s to %s", number,
                  row(whole.dtype).name, ndim, how.order, static_cast<int>(how.boundary_mode), static_cast<int>(kind),
                  layout_names[static_cast<int>(layout)], layout_names[static_cast<int>(out_layout)]);
    const int width = row(whole.dtype).width;
    const bool high = random.below(2) == 0;
    arenas.in.writable(true);
    const Placed in = place(arenas.in, whole.dtype, count, strides_of(layout, count, width), false, high);
    std::size_t filled = 0;
    each(Shape(count.size(), 0), count, [&](const Shape& at) {
      i64 from = 0, step = 1;
      for (std::size_t h = 0; h < at.size(); ++h) {
        from += (first[h] + at[h]) % whole.shape[h] * step;
        step *= whole.shape[h];
      }
      put_bits(in.view.data + in.offsets[filled++], whole.voxels[static_cast<std::size_t>(from)], width, false);
    });
    arenas.in.writable(false);
    const Placed out =
        place(arenas.out[0], whole.dtype, out_shape, strides_of(out_layout, out_shape, width), false, high);

    // what it should be, and the places one by one
    std::vector<Sampled> want;
    std::vector<double> places;
    bool lacking = false;
    const Shape start(out_shape.size(), number % 3);
    each(Shape(out_shape.size(), 0), out_shape, [&](const Shape& at) {
      double x[max_ndim];
      for (int h = 0; h < ndim; ++h) {
        x[h] = offset[static_cast<std::size_t>(h)];
        for (int axis = 0; axis < ndim; ++axis)
          x[h] += static_cast<double>(start[static_cast<std::size_t>(axis)] + at[static_cast<std::size_t>(axis)]) *
                  matrix[static_cast<std::size_t>(h * ndim + axis)];
        places.push_back(x[h]);
      }
      want.push_back(sample_one(whole, first, count, how, x));
      lacking = lacking || want.back().incomplete;
    });
    const auto compare_with = [&](const Placed& got) {
      bool right = true;
      for (std::size_t i = 0; i < want.size(); ++i) {
        const u64 bits = get_bits(got.view.data + got.offsets[i], width, false);
        if (how.order == 0) {
          right = right && bits == want[i].bits;
        } else if (row(whole.dtype).kind == Kind::boolean) {
          right = right && (std::abs(want[i].value - 1) < 1e-9 || (bits != 0) == (want[i].value >= 1));
        } else {
          const double value =
              is_float(whole.dtype) ? float_of(whole.dtype, bits) : static_cast<double>(integer_of(whole.dtype, bits));
          const double scale = std::max(1.0, std::abs(want[i].value));
          right =
              right && std::abs(value - want[i].value) <= (is_float(whole.dtype) ? 1e-6 * scale : 0.5 + 1e-9 * scale);
        }
      }
      return right;
    };
    std::string answers;
    for (int isa = 0; isa < isa_count(); ++isa) {
      how.isa = isa;
      std::memset(out.first, untouched, static_cast<std::size_t>(out.bytes));
      const Status status = sample_affine(in.view, matrix.data(), offset.data(), start.data(), out.view, how);
      CHECK(status == (lacking ? Status::incomplete : Status::ok));
      (lacking ? incomplete : complete)++;
      if (lacking) continue;
      CHECK(compare_with(out));
      std::string bytes;
      for (i64 at : out.offsets) bytes.append(out.view.data + at, static_cast<std::size_t>(width));
      if (isa == 0) answers = bytes;
      CHECK(bytes == answers);

      const i64 n = static_cast<i64>(want.size());
      const Placed given = place(arenas.out[1], Dtype::float64, {ndim, n}, {8, 8 * ndim}, false, high);
      std::memcpy(given.view.data, places.data(), places.size() * sizeof(double));
      const Placed listed = place(arenas.out[2], whole.dtype, {n}, {width}, false, high);
      CHECK(sample_points(in.view, given.view, listed.view, how) == Status::ok);
      CHECK(compare_with(listed));
    }
    if (lacking || (how.order == 0 && whole.dtype != Dtype::float64)) continue;
    test_combine(arenas, number, random, out_shape, isa_count(),
                 [&](int isa, const View& to, const View* with, Operation operation) {
                   how.isa = isa;
                   return with == nullptr ? sample_affine(in.view, matrix.data(), offset.data(), start.data(), to, how)
                                          : combine_affine(in.view, matrix.data(), offset.data(), start.data(), *with,
                                                           operation, to, how);
                 });
  }
  CHECK(complete > 100 && incomplete > 100);

  // nothing is done for what makes no sense
  double one = 1, zero = 0;
  std::uint8_t voxel = 5, made = 7;
  i64 extent = 1, origin = 0;
  View in, out;
  in.ndim = out.ndim = 1;
  in.shape[0] = out.shape[0] = in.strides[0] = out.strides[0] = 1;
  in.data = reinterpret_cast<char*>(&voxel);
  out.data = reinterpret_cast<char*>(&made);
  Sampling how;
  how.extent = &extent;
  how.first = &origin;
  const auto status_with = [&](auto change) {
    View bad_in = in, bad_out = out;
    Sampling bad = how;
    change(bad_in, bad_out, bad);
    return sample_affine(bad_in, &one, &zero, &origin, bad_out, bad);
  };
  CHECK(status_with([](View&, View&, Sampling& bad) { bad.order = 6; }) == Status::bad_view);
  CHECK(status_with([](View&, View&, Sampling& bad) { bad.order = -1; }) == Status::bad_view);
  CHECK(status_with([](View&, View&, Sampling& bad) { bad.order = 3; }) == Status::bad_out);
  CHECK(status_with([](View& bad, View&, Sampling&) { bad.swapped = true; }) == Status::bad_view);
  CHECK(status_with([](View& bad, View&, Sampling&) { bad.data = nullptr; }) == Status::bad_view);
  CHECK(status_with([](View& bad, View&, Sampling&) { bad.shape[0] = 2; }) == Status::bad_view);
  CHECK(status_with([](View&, View& bad, Sampling& other) { bad.dtype = Dtype::uint16, other.order = 0; }) ==
        Status::bad_out);
  CHECK(status_with([](View&, View&, Sampling& bad) { bad.isa = 99; }) == Status::bad_isa);
  how.order = 1;
  View with = in;
  CHECK(combine_affine(in, &one, &zero, &origin, with, Operation::divide, out, how) == Status::ok && made == 1);
  made = 7;
  with.shape[0] = 2;
  CHECK(combine_affine(in, &one, &zero, &origin, with, Operation::divide, out, how) == Status::bad_out);
  with.shape[0] = 1, with.ndim = 2;
  CHECK(combine_affine(in, &one, &zero, &origin, with, Operation::divide, out, how) == Status::bad_view);
  with.ndim = 1, with.swapped = true;
  CHECK(combine_affine(in, &one, &zero, &origin, with, Operation::divide, out, how) == Status::bad_view);
  with.swapped = false, with.dtype = Dtype::int8;
  CHECK(combine_affine(in, &one, &zero, &origin, with, Operation::mask, out, how) == Status::bad_out);
  how.order = 0;
  CHECK(combine_affine(in, &one, &zero, &origin, with, Operation::divide, out, how) == Status::bad_out);
  for (i64 bad_extent : {i64{0}, i64{-1}, INT64_MAX}) {
    extent = bad_extent;
    CHECK(status_with([](View&, View&, Sampling&) {}) == Status::bad_view);
  }
  extent = 1;
  CHECK(made == 7);
  for (double x : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300, -1e18}) {  // no voxel is anywhere near
    how.fill_bits = 9;
    for (int mode = 0; mode < 7; ++mode) {
      how.boundary_mode = static_cast<BoundaryMode>(mode);
      CHECK(sample_affine(in, &one, &x, &origin, out, how) == Status::ok);
      CHECK(how.boundary_mode == BoundaryMode::constant ? made == 9 : made == 9 || made == 5);
    }
  }
}

// --- cases out of a fuzzer's bytes ---------------------------------------------------------------------------------

class Bytes {
 public:
  Bytes(const unsigned char* data, std::size_t size) : data_(data), size_(size) {}
  u64 bits(int bytes) {
    u64 value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | (at_ < size_ ? data_[at_++] : 0u);
    return value;
  }
  i64 below(i64 n) { return static_cast<i64>(bits(n > 256 ? 8 : 1) % static_cast<u64>(n)); }
  bool ended() const { return at_ >= size_; }

 private:
  const unsigned char* data_;
  std::size_t size_, at_ = 0;
};

void fuzz(const Arenas& arenas, Bytes from) {
  const auto dtype = static_cast<Dtype>(from.below(dtype_count));
  const int width = row(dtype).width;
  Shape shape;
  for (i64 axes = from.below(5); axes > 0; --axes) {
    const i64 room = 12000 / std::max<i64>(product(shape), 1);
    shape.push_back(std::min(room, from.below(4) == 0 ? from.below(200) : from.below(20)));
  }
  Work work;
  work.method = methods[static_cast<std::size_t>(from.below(static_cast<i64>(methods.size())))];
  const bool integers = row(dtype).kind != Kind::floating;
  work.rounding = integers && from.below(2) == 0 ? Rounding::floor : Rounding::half_even;
  work.ties = from.below(2) == 0 ? Ties::first : Ties::lowest;
  work.has_ignore = from.below(3) == 0;
  for (i64 levels = 1 + from.below(most_levels); levels > 0; --levels) {
    Shape factor;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      const i64 kind = from.below(16);
      factor.push_back(kind < 9 ? 1 + kind / 5 : kind == 15 ? 1 + from.below(i64{1} << 61) : kind - 7);
    }
    work.factors.push_back(factor);
  }
  const bool placed = from.below(2) == 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const i64 far = from.below(8) == 0 ? (i64{1} << 61) - 399 : 64;
    work.origin.push_back(placed ? from.below(far) - far / 2 : 0);
  }
  const auto layout = static_cast<Layout>(from.below(static_cast<i64>(Layout::count)));
  const int threads = from.below(8) == 0 ? 2 : 1, number = static_cast<int>(from.below(256));
  const i64 kind = from.below(4);
  Volume volume{dtype, shape, {}};
  Random random(from.bits(4));
  for (i64 i = 0, count = product(shape); i < count; ++i) {
    const bool raw = kind == 3 && !from.ended();
    u64 voxel = raw ? from.bits(width) : random_voxel(dtype, static_cast<Flavour>(kind % 3), random);
    if (raw && row(dtype).kind == Kind::boolean) voxel &= 1;
    // (a mode of more than 1,024 labels need not be proven)
    if (i >= 1024 && work.method == Method::mode) voxel = volume.voxels[static_cast<std::size_t>(random.below(1024))];
    volume.voxels.push_back(voxel);
  }
  work.ignore = work.has_ignore ? random_ignore(volume, random) : 0;
  compare_everywhere(arenas, volume, work, "fuzz", number, {layout}, {threads});
}

// The same of random bytes, for so many seconds; a number that is printed begins them.
void test_random_bytes(const Arenas& arenas, int seconds, u64 seed) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::printf("fuzz: seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  long long rounds = 0;
  for (; std::chrono::steady_clock::now() < end && failures == 0; ++rounds) {
    Random random(seed + static_cast<u64>(rounds));
    unsigned char bytes[512];
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random.below(256));
    fuzz(arenas, Bytes(bytes, static_cast<std::size_t>(random.below(sizeof(bytes)))));
  }
  std::printf("fuzz: %lld rounds\n", rounds);
}

}  // namespace

#ifdef TINYPYR_FUZZ
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const Arenas arenas;
  fuzz(arenas, Bytes(data, size));
  if (failures > 0) std::abort();
  return 0;
}
#else
int main(int argc, char** argv) {
  const int every = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(fault, on_fault);
  unsetenv("TINYPYR_ISA");
  static_assert(std::is_trivially_copyable<View>::value, "a view is plain data");
  const Arenas arenas;
  if (argc > 2 && std::strcmp(argv[1], "fuzz") == 0) {  // fuzz SECONDS [SEED]
    const auto now = static_cast<u64>(std::chrono::system_clock::now().time_since_epoch().count());
    test_random_bytes(arenas, std::atoi(argv[2]), argc > 3 ? std::strtoull(argv[3], nullptr, 10) : now);
    return failures > 0;
  }
  const auto run_test = [&](const char* name, auto test) {
    bool wanted = argc <= 2;
    for (int i = 2; i < argc; ++i) wanted = wanted || std::strcmp(argv[i], name) == 0;
    if (wanted) test();
  };
  run_test("instruction_sets", [&] { test_isa_names(); });
  run_test("huge_footprints", [&] { test_huge_footprints(); });
  run_test("huge_factors", [&] { test_huge_factors(arenas); });
  run_test("hostile_views", [&] { test_hostile_views(arenas); });
  run_test("sampler", [&] { test_sampler(arenas, every); });
  run_test("grid", [&] { test_grid(arenas, every); });
  run_test("largest_sums", [&] { test_largest_sums(arenas); });
  run_test("long_rows", [&] { test_long_rows(arenas, every); });
  run_test("label_rule", [&] { test_label_rule(); });
  run_test("keep_going", [&] { test_keep_going(); });
  run_test("threads", [&] { test_threads(every); });
  run_test("many_callers", [&] { test_many_callers(); });
  if (checks == 0) {
    std::printf("no such test\n");
    return 2;
  }
  if (failures > 0) {
    std::printf("%lld of %lld checks failed\n", failures, checks);
    return 1;
  }
  std::printf("%lld checks passed\n", checks);
  return 0;
}
#endif
