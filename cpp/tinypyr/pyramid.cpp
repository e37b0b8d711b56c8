// pyramid() and distinct(): checked views are converted to a problem in normal form, and the driver of the method runs
// it.

#include <cstdlib>
#include <cstring>

#include "core/distinct.hpp"
#include "core/normalize.hpp"
#include "core/threads.hpp"
#include "isa/instruction_sets.hpp"
#include "mode/mode_driver.hpp"
#include "reduce/reduction.hpp"
#include "reduce/streaming_reduction.hpp"
#include "select/selection.hpp"
#include "tinypyr.hpp"

namespace tinypyr {

namespace {

// Return the value of TINYPYR_ISA; null if it is unset or empty.
const char* requested_set() {
  const char* name = std::getenv("TINYPYR_ISA");
  return name == nullptr || *name == '\0' ? nullptr : name;
}

// Return the index of a set; -1 if this machine cannot run it.
int find_set(const char* name) {
  for (int i = 0; i < usable_sets().count; ++i)
    if (std::strcmp(name, usable_sets().names[i]) == 0) return i;
  return -1;
}

bool is_extreme(Method method) { return method == Method::min || method == Method::max; }

// Return true if the result is the mean of all voxels of a footprint, rounded half to even.
bool averages(const Options& options) {
  return options.method == Method::mean && options.rounding == Rounding::half_even && !options.has_ignore;
}

// --- from a problem to its driver ---------------------------------------------------------------------------------

// Set the encoding in which the kernels of a method compare or add voxels. Return the ignored value in that encoding.
u64 choose_encoding(Codec& codec, const Options& options) {
  const Method method = options.method;
  if (method == Method::stride && !options.has_ignore) codec.kind = Kind::unsigned_integer;  // copied bit by bit
  const bool floats = codec.kind == Kind::floating && method != Method::mode && method != Method::median;
  const bool needs_order = method == Method::median || (method == Method::mode && options.ties == Ties::lowest);
  codec.encoding = floats || method == Method::mean || is_extreme(method) ? Encoding::value
                   : needs_order                                          ? Encoding::key
                                                                          : Encoding::canonical;
  Codec of_ignored = codec;
  // (The voxels themselves are not converted, but a footprint of ignored voxels alone yields the canonical value.)
  if (method == Method::stride || floats) of_ignored.encoding = Encoding::canonical;
  const u64 ignore = options.has_ignore ? of_ignored.key(options.ignore & codec.mask()) : 0;
  if (options.has_ignore && ((is_extreme(method) && !floats) || method == Method::median)) {
    codec.remap = method == Method::max ? IgnoreRemap::to_bottom : IgnoreRemap::to_top;
    codec.remapped = ignore;
  }
  return ignore;
}

// Return the number of base voxels in the largest footprint of a level.
i64 largest_footprint(const Problem& problem, const Level& level) {
  i64 voxels = 1;
  for (int axis = 0; axis < problem.ndim; ++axis) voxels *= std::min(problem.extent[axis], level.total[axis]);
  return voxels;
}

// Run mean, min or max.
Status reduce(const Problem& problem, const Options& options, u64 ignore) {
  const Kernels& kernels = *problem.kernels;
  const ReductionTable& table = options.method == Method::mean  ? kernels.means
                                : options.method == Method::min ? kernels.minima
                                                                : kernels.maxima;
  // (The interface defines sums as the accumulators of the largest footprints.)
  const i64 footprint = problem.lane_stride != 0 ? max_footprint : largest_footprint(problem, problem.top());
  const Reduction* reduction = pick(table, problem.codec, footprint, options.has_ignore);
  const Reduction* small = pick(table, problem.codec, max_small_footprint, options.has_ignore);
  if (reduction == nullptr || small == nullptr) return Status::bad_view;
  const ReductionRule rule = {reduction,
                              small,
                              pick_widening(kernels.means, *small, *reduction),
                              is_extreme(options.method) || problem.codec.kind != Kind::floating,
                              options.rounding == Rounding::half_even,
                              ignore,
                              is_extreme(options.method) || reduction->lane_bytes != problem.codec.width ||
                                  problem.codec.kind != Kind::floating,
                              averages(options),
                              is_extreme(options.method)};
  return in_parallel(problem, options, [&] {
    return [rule, driver = ReductionDriver(rule)](const Problem& part) mutable {
      bool fits;
      const Status status = driver.run(part, &fits);
      return fits ? status : StreamingReduction(driver, rule).run(part);
    };
  });
}

// Run the mode of several levels, or of large footprints.
Status find_modes(const Problem& problem, const Options& options, u64 ignore, i64* unproven) {
  std::atomic<i64> total[max_levels];
  for (int k = 0; k < problem.levels; ++k) total[k] = 0;
  const Status status = in_parallel(problem, options, [&] {
    // (Drivers are on the heap, like problems, because of small stacks.)
    return
        [&, driver = std::unique_ptr<ModeDriver>(new (std::nothrow) ModeDriver(options, ignore))](const Problem& part) {
          if (!driver) return Status::out_of_memory;
          i64 of_part[max_levels] = {};
          const Status part_status = driver->run(part, of_part);
          for (int k = 0; k < part.levels; ++k) total[k] += of_part[k];
          return part_status;
        };
  });
  for (int k = 0; k < problem.levels; ++k) unproven[k] = total[k];
  return status;
}

Status run_driver(Problem& problem, const Options& options, i64* unproven) {
  const u64 ignore = choose_encoding(problem.codec, options);
  if (options.method == Method::mean || is_extreme(options.method)) return reduce(problem, options, ignore);
  if (options.method == Method::mode &&
      (problem.levels > 1 || largest_footprint(problem, problem.level[0]) > max_small_footprint))
    return find_modes(problem, options, ignore, unproven);
  return in_parallel(problem, options, [&] {
    return
        [ignore, driver = SelectionDriver(options)](const Problem& part) mutable { return driver.run(part, ignore); };
  });
}

// --- checks -------------------------------------------------------------------------------------------------------

Status check_outs(const View& in, int levels, const View* outs) {
  for (int k = 0; k < levels; ++k) {
    const Status status = check(outs[k]);
    if (outs[k].ndim != in.ndim || outs[k].dtype != in.dtype || outs[k].swapped != in.swapped) return Status::bad_out;
    if (status != Status::ok) return status;
  }
  return Status::ok;
}

Status check_sums(const View& in, int levels, const View& sums, const Options& options) {
  const bool is_floating = row(in.dtype).kind == Kind::floating;
  if (options.method != Method::mean || levels == max_levels || in.ndim == max_ndim || sums.ndim != in.ndim + 1 ||
      sums.dtype != (is_floating ? Dtype::float64 : Dtype::uint64) || sums.swapped ||
      sums.shape[0] != sum_lanes(in.dtype, options.has_ignore) || sums.strides[0] == 0)
    return Status::bad_out;
  return check(sums);
}

}  // namespace

// --- the interface ------------------------------------------------------------------------------------------------

const char* const* instruction_sets(int* count) noexcept {
  *count = usable_sets().count;
  return usable_sets().names;
}

int chosen_instruction_set() noexcept {
  const char* name = requested_set();
  return name == nullptr ? 0 : find_set(name);
}

i64 distinct(const void* voxels, i64 n, int width, u64* values, i64 room) noexcept {
  KeySet seen;
  if (n <= 0) return 0;
  if (!seen.allocate(room)) return -1;
  return with_unsigned(
      width, [&](auto u) { return distinct_of(static_cast<const decltype(u)*>(voxels), n, values, room, seen); });
}

int sum_lanes(Dtype dtype, bool has_ignore) noexcept {
  const bool has_halves = row(dtype).width == 8 && row(dtype).kind != Kind::floating;
  return 1 + has_halves + has_ignore;
}

Status pyramid(const View& in, int levels, const i64 (*factors)[max_ndim], const View* outs, const Options& options,
               i64* unproven, const View* sums) noexcept {
  i64 unused_counts[max_levels];
  if (levels < 1 || levels > max_levels) return Status::bad_factor;
  if (unproven == nullptr) unproven = unused_counts;
  std::fill(unproven, unproven + levels, 0);
  const InstructionSets& sets = usable_sets();
  const char* const requested = options.isa < 0 ? requested_set() : nullptr;
  const bool is_free_choice = options.isa < 0 && requested == nullptr;
  int isa = is_free_choice ? 0 : requested != nullptr ? find_set(requested) : options.isa;
  if (isa < 0 || isa >= sets.count) return Status::bad_isa;

  Status status = check(in);
  if (status == Status::ok) status = check_outs(in, levels, outs);
  if (status == Status::ok && sums != nullptr) status = check_sums(in, levels, *sums, options);
  if (status != Status::ok) return status;

  const Request request = {in, levels, factors, outs, options.voxel_offset, sums};
  std::unique_ptr<Problem> problem;
  if (!Problem::reserve(problem, request.all_levels())) return Status::out_of_memory;
  status = make_problem(request, *problem);
  if (status != Status::ok || is_empty(in)) return status;
  // The strategies for modes need long rows so much that rows along the next axis are worth a copy.
  if (options.method == Method::mode &&
      (levels > 1 || largest_footprint(*problem, problem->level[0]) > max_small_footprint) &&
      has_short_unpooled_axis(*problem))
    swap_fastest_axes(*problem);
  const bool compares_voxels = options.method == Method::mode || options.method == Method::median;
  const bool has_accumulators = options.method == Method::mean || is_extreme(options.method);
  // Short rows are faster with a narrower set, unless they may be joined or gathered into long ones (reduce/short_rows.hpp,
  // period_means.hpp, short_spans.hpp).
  const ShuffleKernel& shuffle = sets.kernels[isa].shuffle;
  const bool joins = levels == 1 ? has_short_rows(*problem, shuffle.vector, compares_voxels) ||
                                       (averages(options) && has_short_periods(*problem, shuffle))
                                 : has_accumulators && has_short_spans(*problem);
  if (is_free_choice && !joins)
    while (problem->extent[0] * problem->codec.width < sets.shortest_row[isa]) ++isa;
  problem->kernels = &sets.kernels[isa];
  return run_driver(*problem, options, unproven);
}

}  // namespace tinypyr
