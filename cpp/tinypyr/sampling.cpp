// Interpolation: the interface functions, and the sampler's kernels, compiled once per instruction set.

#include <cstring>
#include <memory>
#include <new>

#include "isa/list.hpp"
#include "sample/combiner.hpp"
#include "sample/sampler.hpp"
#include "tinypyr.hpp"

namespace tinypyr {

// clang-format off
// In each region, has_round is true if one instruction rounds a double. (Macros such as __SSE4_1__ do not reflect the
// target of a region.)
TINYPYR_BEGIN_base
#if defined(__SSE4_1__) || defined(__aarch64__)
static constexpr bool has_round = true;
#else
static constexpr bool has_round = false;
#endif
#include "kernels/basics.inl"
#include "kernels/samples.inl"
#include "kernels/combine.inl"
TINYPYR_END_base

#if TINYPYR_X86
TINYPYR_BEGIN_avx2
static constexpr bool has_round = true;
#include "kernels/basics.inl"
#include "kernels/samples.inl"
#include "kernels/combine.inl"
TINYPYR_END_avx2

TINYPYR_BEGIN_avx512
static constexpr bool has_round = true;
#include "kernels/basics.inl"
#include "kernels/samples.inl"
#include "kernels/combine.inl"
TINYPYR_END_avx512
#endif
// clang-format on

namespace {

struct SamplingKernels {
  const SampleKernels* samples;
  const CombineKernels* combines;
};

// Return the kernels for an index into instruction_sets(), or for the default if it is -1; null if the machine cannot
// run them.
SamplingKernels find_kernels(int isa) {
  int count = 0;
  const char* const* names = instruction_sets(&count);
  if (isa < 0) isa = chosen_instruction_set();
  if (isa < 0 || isa >= count) return {nullptr, nullptr};
#define TINYPYR_FIND_SET(id, name, is_supported, shortest_row) \
  if (std::strcmp(names[isa], name) == 0) return {&id::samples, &id::combines};
  TINYPYR_INSTRUCTION_SETS(TINYPYR_FIND_SET)
#undef TINYPYR_FIND_SET
  return {nullptr, nullptr};
}

template <class Sample>
Status sample(const View& in, const View& out, const Sampling& how, Sample sample) {
  const SampleKernels* kernels = find_kernels(how.isa).samples;
  if (kernels == nullptr) return Status::bad_isa;
  Status status = check(in);
  if (status == Status::ok) status = check(out);
  if (status != Status::ok || is_empty(out)) return status;
  const std::unique_ptr<Sampler> sampler(new (std::nothrow) Sampler(in, how, *kernels));
  if (!sampler) return Status::out_of_memory;
  status = sampler->plan(out);
  return status == Status::ok ? sample(*sampler) : status;
}

}  // namespace

Status sample_affine(const View& in, const double* matrix, const double* offset, const i64* start, const View& out,
                     const Sampling& how) noexcept {
  return sample(in, out, how, [&](Sampler& sampler) { return sampler.affine(matrix, offset, start, out); });
}

Status combine_affine(const View& in, const double* matrix, const double* offset, const i64* start, const View& full,
                      Operation operation, const View& out, const Sampling& how) noexcept {
  const CombineKernels* kernels = find_kernels(how.isa).combines;
  if (kernels == nullptr) return Status::bad_isa;
  Status status = check(full);
  if (status == Status::ok) status = check(out);
  if (status != Status::ok || is_empty(out)) return status;
  View value = out;  // only the dtype matters
  value.dtype = Dtype::float64;
  return sample(in, value, how, [&](Sampler& sampler) {
    return Combiner(full, operation, out, *kernels).run(start, [&](const i64* first, const View& tile) {
      return sampler.affine(matrix, offset, first, tile);
    });
  });
}

Status sample_points(const View& in, const View& coordinates, const View& out, const Sampling& how) noexcept {
  const Status status = check(coordinates);
  if (status != Status::ok) return status;
  if (coordinates.ndim != 2 || coordinates.dtype != Dtype::float64 || coordinates.swapped ||
      coordinates.shape[0] != in.ndim)
    return Status::bad_view;
  if (out.ndim != 1 || out.shape[0] != coordinates.shape[1]) return Status::bad_out;
  return sample(in, out, how, [&](Sampler& sampler) { return sampler.points(coordinates, out); });
}

}  // namespace tinypyr
