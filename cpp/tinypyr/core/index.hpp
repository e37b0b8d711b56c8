// Iteration over the indices of an n-dimensional box: the one multi-dimensional counter of the library.
//
//   i64 index[max_ndim];
//   const IndexRange range{AxisRange{0, ndim}, extent};      // [0, extent) in steps of 1, axis 0 fastest
//   range.each(index, [&] { use(index); });
//
// Code that advances pointers along with the index, or reads the index between steps, writes the loop out:
//
//   range.start(index);
//   do use(index, from);
//   while (range.next(index, [&](int axis, i64 n) { from += n * stride[axis]; }));
//
// The caller owns the index, because some indices are members that recursive functions share. Everything inlines to the
// equivalent of a hand-written loop: null pointers and steps of 1 are constants that the compiler removes.
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

// The indices in [begin, end) in steps of `step`, along some axes. A null `begin` means all 0, a null `step` all 1.
// Entries of the index along other axes do not change. The arrays have one entry per axis of the array, whichever axes
// are visited, and must outlive the range. The first index is always visited, so the caller must exclude empty boxes.
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

  // Advance the index to the next position. After the last position, reset it to the first and return false. move(axis,
  // n) is called for every axis along which the index changes, by n. `fastest` is an additional step of the fastest
  // axis, which may differ from call to call.
  template <class Move>
  TINYPYR_INLINE bool next(i64* index, Move move, i64 fastest = 1) const {
    if (axes.size() == 0) return false;
    // Handle the fastest axis separately, because it is nearly always the only one that changes.
    if (advance(index, axes[0], step == nullptr ? fastest : fastest * step[axes[0]], move)) return true;
    for (int i = 1; i < axes.size(); ++i)
      if (advance(index, axes[i], step == nullptr ? 1 : step[axes[i]], move)) return true;
    return false;
  }
  TINYPYR_INLINE bool next(i64* index) const {
    return next(index, [](int, i64) {});
  }

  // Call visit() at every index in turn. If visit returns bool, false ends the loop and is returned.
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

  // Advance along one axis. At its end, return to the first position and return false.
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
