// The one source file: kernels compiled once per instruction set, the choice among them, and the way of a call from
// checked views to a driver.

#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/distinct.hpp"
#include "core/threads.hpp"
#include "isa/regions.hpp"
#include "kernels/table.hpp"
#include "mode/mode_driver.hpp"
#include "reduce/reduction.hpp"
#include "reduce/streaming_reduction.hpp"
#include "select/selection.hpp"
#include "tinypyr.hpp"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the pair reads of kernels/kernels.inl and the ignored value's bits assume a little-endian machine"
#endif

namespace tinypyr {

// --- one stanza per instruction set --------------------------------------------------------------------------------

TINYPYR_BASE_REGION
namespace base {
#include "kernels/kernels.inl"
}  // namespace base
TINYPYR_BASE_REGION_END

#if TINYPYR_X86
TINYPYR_REGION(TINYPYR_AVX2)
namespace avx2 {
#include "kernels/kernels.inl"
}  // namespace avx2
TINYPYR_REGION_END

TINYPYR_REGION(TINYPYR_AVX512)
namespace avx512 {
#include "kernels/kernels.inl"
}  // namespace avx512
TINYPYR_REGION_END

// AVX-512, but for loops that do little besides waiting for memory: those are faster with vectors of half a cache line, of
// which fewer straddle two (bench/NOTES.md).
constexpr Kernels with_avx512() {
  Kernels kernels = avx512::table;
  kernels.minima = avx2::table.minima;
  kernels.maxima = avx2::table.maxima;
  for (int row = 0; row < 4; ++row) {
    kernels.rows[row].copy = avx2::table.rows[row].copy;
    for (int floats = 0; floats < 2; ++floats) kernels.rows[row].first[floats] = avx2::table.rows[row].first[floats];
  }
  return kernels;
}
constexpr Kernels avx512_table = with_avx512();
#endif

namespace {

struct Isas {
  int count = 0;
  const char* names[4];
  const Kernels* kernels[4];
  i64 shortest[4];  // bytes of rows below which the next one is faster: what is left of a row is done voxel by voxel

  Isas() {
#if TINYPYR_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2"))
      add("avx512", avx512_table, 192);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) add("avx2", avx2::table);
#endif
    add(TINYPYR_BASE, base::table);
  }

 private:
  void add(const char* name, const Kernels& table, i64 shortest_row = 0) {
    names[count] = name;
    kernels[count] = &table;
    shortest[count++] = shortest_row;
  }
};

const Isas& usable() {
  static const Isas isas;
  return isas;
}

// What TINYPYR_ISA says; null where it is unset or empty.
const char* wanted_isa() {
  const char* wanted = std::getenv("TINYPYR_ISA");
  return wanted == nullptr || *wanted == '\0' ? nullptr : wanted;
}

// --- from a checked problem to its driver -------------------------------------------------------------------------

Status pool(Problem& problem, const Options& options, i64* unproven) {
  const Method method = options.method;
  const bool extreme = method == Method::min || method == Method::max;
  Codec& codec = problem.codec;
  if (method == Method::stride && !options.has_ignore) codec.kind = Kind::unsigned_integer;  // bits, whatever they mean
  const bool floats = codec.kind == Kind::floating && method != Method::mode && method != Method::median;
  const bool ordered = method == Method::median || (method == Method::mode && options.ties == Ties::lowest);
  codec.encoding = floats || method == Method::mean || extreme ? Encoding::value
                   : ordered                                   ? Encoding::key
                                                               : Encoding::canonical;
  Codec of_ignored = codec;
  if (method == Method::stride)
    of_ignored.encoding = Encoding::canonical;  // compared as values, though voxels stay as they are
  const u64 ignore = options.has_ignore ? of_ignored.key(options.ignore & codec.mask()) : 0;
  if (options.has_ignore && ((extreme && !floats) || method == Method::median)) {
    codec.remap = method == Method::max ? IgnoreRemap::to_bottom : IgnoreRemap::to_top;
    codec.remapped = ignore;
  }

  if (method == Method::mean || extreme) {
    i64 footprint = 1;
    for (int axis = 0; axis < problem.ndim; ++axis)
      footprint *= std::min(problem.extent[axis], problem.top().total[axis]);
    const Kernels& kernels = *problem.kernels;
    const ReductionRow* rows = method == Method::mean  ? kernels.means
                               : method == Method::min ? kernels.minima
                                                       : kernels.maxima;
    // (sums are handed out in the lanes of the largest footprints)
    const Reduction& fold = pick(rows, codec, problem.lane_stride != 0 ? max_footprint : footprint, options.has_ignore);
    const Reduction& small = pick(rows, codec, max_small_footprint, options.has_ignore);
    const Reduction* widen = pick_widening(kernels.means, small, fold);
    const bool any_order = extreme || !floats;
    const bool half_even = options.rounding == Rounding::half_even;
    return in_parallel(problem, options, [&] {
      return
          [&, driver = ReductionDriver(fold, small, widen, any_order, half_even, ignore)](const Problem& part) mutable {
            bool fits;
            const Status status = driver.run(part, &fits);
            return fits ? status : StreamingReduction(driver, fold, half_even, ignore).run(part);
          };
    });
  }
  i64 first_footprint = 1;
  for (int axis = 0; axis < problem.ndim; ++axis)
    first_footprint *= std::min(problem.extent[axis], problem.level[0].total[axis]);
  if (options.method == Method::mode && (problem.levels > 1 || first_footprint > max_small_footprint)) {
    std::atomic<i64> total[max_levels];
    for (int k = 0; k < problem.levels; ++k) total[k] = 0;
    const Status status = in_parallel(problem, options, [&] {
      // (on the heap, as problems are)
      return [&, driver =
                     std::unique_ptr<ModeDriver>(new (std::nothrow) ModeDriver(options, ignore))](const Problem& part) {
        if (!driver) return Status::out_of_memory;
        i64 found[max_levels] = {};
        const Status made = driver->run(part, found);
        for (int k = 0; k < part.levels; ++k) total[k] += found[k];
        return made;
      };
    });
    for (int k = 0; k < problem.levels; ++k) unproven[k] = total[k];
    return status;
  }
  return in_parallel(problem, options, [&] {
    return
        [ignore, driver = SelectionDriver(options)](const Problem& part) mutable { return driver.run(part, ignore); };
  });
}

}  // namespace

// --- the interface ------------------------------------------------------------------------------------------------

const char* const* instruction_sets(int* count) noexcept {
  *count = usable().count;
  return usable().names;
}

int chosen_instruction_set() noexcept {
  const char* wanted = wanted_isa();
  if (wanted == nullptr) return 0;
  for (int i = 0; i < usable().count; ++i)
    if (std::strcmp(wanted, usable().names[i]) == 0) return i;
  return -1;
}

i64 distinct(const void* voxels, i64 n, int width, u64* found, i64 room) noexcept {
  KeySet seen;
  if (n <= 0) return 0;
  if (!seen.allocate(room)) return -1;
  return with_unsigned(
      width, [&](auto u) { return distinct_of(static_cast<const decltype(u)*>(voxels), n, found, room, seen); });
}

int sum_lanes(Dtype dtype, bool has_ignore) noexcept {
  const bool halves = row(dtype).width == 8 && row(dtype).kind != Kind::floating;
  return 1 + halves + has_ignore;
}

Status pyramid(const View& in, int levels, const i64 (*factors)[max_ndim], const View* outs, const Options& options,
               i64* unproven, const View* sums) noexcept {
  i64 ignored_counts[max_levels];
  if (levels < 1 || levels > max_levels) return Status::bad_factor;
  if (unproven == nullptr) unproven = ignored_counts;
  std::fill(unproven, unproven + levels, 0);
  const bool free_choice = options.isa < 0 && wanted_isa() == nullptr;
  int isa = options.isa < 0 ? chosen_instruction_set() : options.isa;
  if (isa < 0 || isa >= usable().count) return Status::bad_isa;

  Status status = check(in);
  for (int k = 0; k < levels && status == Status::ok; ++k) {
    status = check(outs[k]);
    if (outs[k].ndim != in.ndim || outs[k].dtype != in.dtype || outs[k].swapped != in.swapped) status = Status::bad_out;
  }
  if (status == Status::ok && sums != nullptr) {
    status = check(*sums);
    const bool floating = row(in.dtype).kind == Kind::floating;
    if (options.method != Method::mean || levels == max_levels || in.ndim == max_ndim || sums->ndim != in.ndim + 1 ||
        sums->dtype != (floating ? Dtype::float64 : Dtype::uint64) || sums->swapped ||
        sums->shape[0] != sum_lanes(in.dtype, options.has_ignore) || sums->strides[0] == 0)
      status = Status::bad_out;
  }
  if (status != Status::ok) return status;

  const std::unique_ptr<Problem> held = Problem::allocate();
  if (!held) return Status::out_of_memory;
  Problem& problem = *held;
  status = make_problem(in, levels, factors, outs, options.voxel_offset, sums, problem);
  if (status != Status::ok || is_empty(in)) return status;
  while (free_choice && problem.extent[0] * problem.codec.width < usable().shortest[isa]) ++isa;
  problem.kernels = usable().kernels[isa];
  return pool(problem, options, unproven);
}

}  // namespace tinypyr
