// The sampler's loops compiled once per instruction set, and the way of a call from checked views to the sampler.

#include <cstring>

#include "isa/regions.hpp"
#include "sample/combiner.hpp"
#include "tinypyr.hpp"

namespace tinypyr {

TINYPYR_BASE_REGION
namespace base {
#if defined(__SSE4_1__) || defined(__aarch64__)
static constexpr bool rounds = true;
#else
static constexpr bool rounds = false;
#endif
#include "kernels/basics.inl"
#include "kernels/samples.inl"
// (after it)
#include "kernels/combine.inl"
}  // namespace base
TINYPYR_BASE_REGION_END

#if TINYPYR_X86
TINYPYR_REGION(TINYPYR_AVX2)
namespace avx2 {
static constexpr bool rounds = true;
#include "kernels/basics.inl"
#include "kernels/samples.inl"
// (after it)
#include "kernels/combine.inl"
}  // namespace avx2
TINYPYR_REGION_END

TINYPYR_REGION(TINYPYR_AVX512)
namespace avx512 {
static constexpr bool rounds = true;
#include "kernels/basics.inl"
#include "kernels/samples.inl"
// (after it)
#include "kernels/combine.inl"
}  // namespace avx512
TINYPYR_REGION_END
#endif

namespace {

struct Loops {
  const SampleKernels* samples;
  const CombineKernels* combines;
};

// Which machines have which is known in dispatch.cpp alone.
Loops loops_of(int isa) {
  int count = 0;
  [[maybe_unused]] const char* const* names = instruction_sets(&count);
  if (isa < 0) isa = chosen_instruction_set();
  if (isa < 0 || isa >= count) return {nullptr, nullptr};
#if TINYPYR_X86
  if (std::strcmp(names[isa], "avx512") == 0) return {&avx512::samples, &avx512::combines};
  if (std::strcmp(names[isa], "avx2") == 0) return {&avx2::samples, &avx2::combines};
#endif
  return {&base::samples, &base::combines};
}

template <class Sample>
Status sample(const View& in, const View& out, const Sampling& how, Sample sample) {
  const SampleKernels* kernels = loops_of(how.isa).samples;
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
  const CombineKernels* kernels = loops_of(how.isa).combines;
  if (kernels == nullptr) return Status::bad_isa;
  Status status = check(full);
  if (status == Status::ok) status = check(out);
  if (status != Status::ok || is_empty(out)) return status;
  View value = out;  // of which only the dtype counts
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
