// Iteration over the indices of an n-dimensional box: the one multi-dimensional counter of the library.
//
//   i64 index[max_ndim];
//   const IndexRange range{AxisRange{0, ndim}, extent};      // [0, extent) in steps of 1, axis 0 fastest
//   range.each(index, [&] { use(index); });
//
// A loop that follows the index with pointers, or that needs the index in between, is written out:
//
//   range.start(index);
//   do use(index, from);
//   while (range.next(index, [&](int axis, i64 n) { from += n * stride[axis]; }));
//
// The index belongs to the caller, because some are members that recursive functions share. Everything inlines to the
// loop one would write by hand: null pointers and steps of 1 are constants that the compiler removes.
#pragma once

#include <type_traits>

#include "integers.hpp"

namespace tinypyr {

// Axes begin, begin + 1, ..., end - 1, from fastest to slowest.
struct AxisRange {
  int begin, end;
  TINYPYR_INLINE int size() const { return end - begin; }
  TINYPYR_INLINE int operator[](int i) const { return begin + i; }
};

// Axes in any order, from fastest to slowest. The numbers must outlive the list.
struct AxisList {
  const int* axes;
  int count;
  TINYPYR_INLINE int size() const { return count; }
  TINYPYR_INLINE int operator[](int i) const { return axes[i]; }
};

// The indices from `begin` (null: all 0) to below `end`, in steps of `step` (null: all 1), along some axes; entries of
// the index along other axes are left alone. Arrays have one entry per axis of the array, whichever axes are visited,
// and must outlive the range. The first index is always visited, so an empty box is the caller's to exclude.
template <class Axes>
struct IndexRange {
  Axes axes;
  const i64* end;
  const i64* begin = nullptr;
  const i64* step = nullptr;

  TINYPYR_INLINE i64 first(int axis) const { return begin == nullptr ? 0 : begin[axis]; }

  // Set the index to the first position.
  TINYPYR_INLINE void start(i64* index) const {
    for (int i = 0; i < axes.size(); ++i) index[axes[i]] = first(axes[i]);
  }

  // Set the index to the next position; after the last one, to the first again, and return false. move(axis, n) is
  // called for every axis along which the index changes, by n. `fastest` is a step of the fastest axis alone, which may
  // differ from call to call.
  template <class Move>
  TINYPYR_INLINE bool next(i64* index, Move move, i64 fastest = 1) const {
    if (axes.size() == 0) return false;
    // (the fastest axis by itself, because it is nearly always the one that moves)
    if (advance(index, axes[0], step == nullptr ? fastest : fastest * step[axes[0]], move)) return true;
    for (int i = 1; i < axes.size(); ++i)
      if (advance(index, axes[i], step == nullptr ? 1 : step[axes[i]], move)) return true;
    return false;
  }
  TINYPYR_INLINE bool next(i64* index) const {
    return next(index, [](int, i64) {});
  }

  // Call visit() at every index in turn. If it returns bool, false ends the loop, and is returned.
  template <class Visit>
  TINYPYR_INLINE bool each(i64* index, Visit visit) const {
    start(index);
    do {
      if constexpr (std::is_void_v<decltype(visit())>)
        visit();
      else if (!visit())
        return false;
    } while (next(index));
    return true;
  }

  // Move along one axis: on, or back to the first position and return false.
  template <class Move>
  TINYPYR_INLINE bool advance(i64* index, int axis, i64 by, Move& move) const {
    const i64 old = index[axis];
    if (old + by < end[axis]) {
      index[axis] = old + by;
      move(axis, by);
      return true;
    }
    index[axis] = first(axis);
    move(axis, first(axis) - old);
    return false;
  }
};
template <class Axes, class... Arrays>
IndexRange(Axes, Arrays...) -> IndexRange<Axes>;

}  // namespace tinypyr
