// All pooling kernels, in plain C++ that compilers vectorise. Included once per instruction set (kernels_base.cpp,
// ...), inside its namespace and a region compiled for it. The file ends with `all_kernels`, the table of the kernels.
//
// kernels/shuffle.inl must be included first, in the namespace or a region of its own.
//
// Kernels do not allocate, throw, or call library functions. A library template instantiated in such a region could be
// the copy that the linker keeps, and would then run on machines that lack the instructions.

#include "basics.inl"
#include "reductions.inl"
#include "selections.inl"
// (footprints.inl needs the structs above.)
#include "footprints.inl"
#include "pooling.inl"
// (The files below need those above.)
#include "encoding.inl"
#include "ranks.inl"
#include "vote_bounds.inl"

// --- functions of one type for every struct -----------------------------------------------------------------------

template <class M>
static void finish(const void* accumulators, i64 plane, void* out, i64 n, const Finish& params) {
  M::finish(static_cast<const typename M::Lane*>(accumulators), plane, static_cast<typename M::Voxel*>(out), n, params);
}

template <class M>
constexpr Reduction reduction_of() {
  Reduction reduction = {M::lanes, sizeof(typename M::Lane), pool<M>, pool<typename M::Part>, finish<M>, {}};
  if constexpr (M::has_small) reduction.small = shapes_of<PoolReduction<M>, M::ordered, true, true>();
  return reduction;
}

template <class M, class U>
static void select(const void* const* planes, int count, i64 n, void* out, const SelectParams& params) {
  M::select(reinterpret_cast<const U* const*>(planes), count, n, static_cast<U*>(out), params);
}

template <class M, class U>
constexpr SelectKernels selection_of() {
  SelectKernels selection = {select<M, U>, {}};
  if constexpr (M::has_small) selection.small = shapes_of<PoolSelection<M, U>, M::ordered, M::has_pairs, true>();
  return selection;
}

// --- the tables ---------------------------------------------------------------------------------------------------

template <class U>
constexpr RowKernels rows_of() {
  return {copy_strided<U>,
          encode<U>,
          decode<U>,
          rank_labels<U>,
          shapes_of<PoolModeVotes<U>, false, true, true>(),
          {{nullptr, prove_modes<U, 2, false>, prove_modes<U, 4, false>, prove_modes<U, 8, false>},
           {prove_modes<U, 1, true>, prove_modes<U, 2, true>, prove_modes<U, 4, true>, nullptr}},
          count_labels<U>,
          count_two_labels<U>,
          {{selection_of<Mode<U, false, false>, U>(), selection_of<Mode<U, false, true>, U>()},
           {selection_of<Mode<U, true, false>, U>(), selection_of<Mode<U, true, true>, U>()}},
          selection_of<Median<U>, U>(),
          {selection_of<First<U, false>, U>(), selection_of<First<U, true>, U>()}};
}

// {width, floating, largest footprint, {without ignore, with ignore}}; the narrowest sufficient accumulator comes
// first.
static constexpr ReductionRow means[] = {
    {1, false, 257, {reduction_of<Mean<u8, u16>>(), reduction_of<MeanWithIgnore<u8, u16>>()}},
    {1, false, i64{1} << 24, {reduction_of<Mean<u8, u32>>(), reduction_of<MeanWithIgnore<u8, u32>>()}},
    {1, false, max_footprint, {reduction_of<Mean<u8, u64>>(), reduction_of<MeanWithIgnore<u8, u64>>()}},
    {2, false, i64{1} << 16, {reduction_of<Mean<u16, u32>>(), reduction_of<MeanWithIgnore<u16, u32>>()}},
    {2, false, max_footprint, {reduction_of<Mean<u16, u64>>(), reduction_of<MeanWithIgnore<u16, u64>>()}},
    {4, false, max_footprint, {reduction_of<Mean<u32, u64>>(), reduction_of<MeanWithIgnore<u32, u64>>()}},
    {8, false, max_footprint, {reduction_of<WideMean<false>>(), reduction_of<WideMean<true>>()}},
    {4, true, max_footprint, {reduction_of<FloatMean<float, false>>(), reduction_of<FloatMean<float, true>>()}},
    {8, true, max_footprint, {reduction_of<FloatMean<double, false>>(), reduction_of<FloatMean<double, true>>()}},
};

// Keys need no loops for the ignored value, because its key has been remapped (core/codec.hpp); floats do.
template <bool largest>
constexpr ReductionRow extremes[] = {
    {1, false, max_footprint, {reduction_of<Extreme<u8, largest>>(), reduction_of<Extreme<u8, largest>>()}},
    {2, false, max_footprint, {reduction_of<Extreme<u16, largest>>(), reduction_of<Extreme<u16, largest>>()}},
    {4, false, max_footprint, {reduction_of<Extreme<u32, largest>>(), reduction_of<Extreme<u32, largest>>()}},
    {8, false, max_footprint, {reduction_of<Extreme<u64, largest>>(), reduction_of<Extreme<u64, largest>>()}},
    {4,
     true,
     max_footprint,
     {reduction_of<FloatExtreme<float, largest, false>>(), reduction_of<FloatExtreme<float, largest, true>>()}},
    {8,
     true,
     max_footprint,
     {reduction_of<FloatExtreme<double, largest, false>>(), reduction_of<FloatExtreme<double, largest, true>>()}},
};

static_assert(covers_dtypes(table_of(means)), "a dtype of core/dtypes.hpp has no row among the means");
static_assert(covers_widenings(table_of(means)), "sums of small footprints cannot be added to wider ones");
static_assert(covers_dtypes(table_of(extremes<false>)), "a dtype of core/dtypes.hpp has no row among the extremes");

static constexpr Kernels all_kernels = {
    {rows_of<u8>(), rows_of<u16>(), rows_of<u32>(), rows_of<u64>()},
    table_of(means),
    table_of(extremes<false>),
    table_of(extremes<true>),
    add_votes,
    most_votes,
    first_place,
    {run_shuffle, Permuter::vector, Permuter::needs_vbmi, Permuter::has_instruction}};
