// The multi-level mode by label lists, from voxels (or blocks) up to the last level: the strategy that applies to every
// problem.
//
// The list of a voxel holds each label of its footprint with its votes and the position of its first voxel. It is
// merged from the lists of the voxels below, so the mode of every level is that of the base, including ties.
//
// Assumes: nothing about dtypes, factors, strides or labels. If BlockLabels are passed, their level and the levels
// below it are already written, except for blocks that have too many labels.
// Guarantees: every level of the box is written. Modes are exact if no footprint has more than max_labels labels.
// Otherwise a list keeps the max_labels labels with the most votes, and each voxel whose mode the dropped labels could
// have changed is counted in `unproven`.
#pragma once

#include <algorithm>
#include <cstring>

#include "../core/index.hpp"
#include "../core/problem.hpp"
#include "block_labels.hpp"
#include "label_list.hpp"

namespace tinypyr {

// Computes modes by lists. Call start once per problem, then make for any box.
class LabelLists {
 public:
  LabelLists(const Options& options, u64 ignore) : options_(options), ignore_(ignore) {}

  // unproven: counts by level, which are incremented.
  void start(const Problem& problem, i64* unproven) {
    problem_ = &problem;
    unproven_ = unproven;
  }

  // Compute the voxels in [first, end) of the last level, and all voxels below them. Return false if memory runs out.
  bool make(const i64* first, const i64* end, const BlockLabels* blocks = nullptr) {
    blocks_ = blocks;
    const int top = problem_->levels - 1;
    return IndexRange{axes(), end, first}.each(at_[top], [&] { return make_list(top); });
  }

 private:
  AxisRange axes() const { return {0, problem_->ndim}; }

  // Fill lists_[k] for the voxel at_[k] of level k, and write this voxel and all voxels below it.
  bool make_list(int k) {
    LabelList& list = lists_[k];
    list.clear();
    if (blocks_ != nullptr && k == blocks_->level()) {
      const i64 block = blocks_->block(at_[k]);
      if (!blocks_->has_too_many(block)) return copy_block(block, list);
    }
    if (k == 0 ? !count_voxels(list) : !merge_children(k, list)) return false;
    write(k, list);
    list.truncate();
    return true;
  }

  bool copy_block(i64 block, LabelList& list) const {
    for (const Label* label = blocks_->begin(block); label != blocks_->end(block); ++label)
      if (!list.append(*label)) return false;
    list.sort();
    return true;
  }

  bool merge_children(int k, LabelList& parent) {
    const Problem& p = *problem_;
    const Level &level = p.level[k], &below = p.level[k - 1];
    i64 first[max_ndim], end[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 start = (level.voxel_offset[axis] + at_[k][axis]) * level.factor[axis] - below.voxel_offset[axis];
      first[axis] = std::max<i64>(0, start);
      end[axis] = std::min(below.extent[axis], start + level.factor[axis]);
    }
    return IndexRange{axes(), end, first}.each(at_[k - 1],
                                               [&] { return make_list(k - 1) && parent.merge(lists_[k - 1]); });
  }

  // Fill the list of a voxel of the first level.
  bool count_voxels(LabelList& list) {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    i64 size[max_ndim], position = 0, count = 1;
    const char* in = p.in;
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 start = p.base_index(axis, (level.voxel_offset[axis] + at_[0][axis]) * level.total[axis]);
      size[axis] = p.present(level, axis, at_[0][axis]);
      in += start * p.stride[axis];
      position += start * p.weight[axis];
      count *= size[axis];
    }
    p.report(count * p.codec.width);
    if (is_uniform(in, size)) {
      const u64 key = key_at(in);
      return (options_.has_ignore && key == ignore_) || list.append({key, count, position});
    }
    bool has_memory = true;
    each_voxel(in, size, [&](const char* voxel, i64 offset) {
      const u64 key = key_at(voxel);
      if (!options_.has_ignore || key != ignore_) has_memory = list.append({key, 1, position + offset});
      if (list.size() == max_appended) {
        p.report(max_appended * p.codec.width);
        list.merge_equal();
        if (list.size() > max_appended / 2) list.truncate();
      }
      return has_memory;
    });
    list.merge_equal();
    return has_memory;
  }

  // Return true if all voxels have the same bits, as in most footprints.
  bool is_uniform(const char* in, const i64* size) const {
    const std::size_t width = static_cast<std::size_t>(problem_->codec.width);
    u64 bits = 0;
    std::memcpy(&bits, in, width);
    bool uniform = true;
    each_voxel(in, size, [&](const char* voxel, i64) {
      uniform = std::memcmp(voxel, &bits, width) == 0;
      return uniform;
    });
    return uniform;
  }

  // Call visit(voxel, position relative to the first) for the voxels of a footprint until it returns false.
  template <class Visit>
  void each_voxel(const char* in, const i64* size, Visit visit) const {
    const Problem& p = *problem_;
    const IndexRange range{axes(), size};
    i64 index[max_ndim], offset = 0;
    range.start(index);
    do
      if (!visit(in, offset)) return;
    while (range.next(index, [&](int axis, i64 n) {
      in += n * p.stride[axis];
      offset += n * p.weight[axis];
    }));
  }

  u64 key_at(const char* voxel) const {
    u64 key = 0;
    std::memcpy(&key, voxel, static_cast<std::size_t>(problem_->codec.width));
    if (!problem_->codec.is_identity()) problem_->rows().encode(&key, &key, 1, problem_->codec);
    return key;
  }

  void write(int k, const LabelList& list) {
    const Problem& p = *problem_;
    char* out = p.level[k].out;
    for (int axis = 0; axis < p.ndim; ++axis) out += at_[k][axis] * p.level[k].stride[axis];
    u64 key = ignore_;
    if (list.size() > 0) {
      const Label* best = list.begin();
      for (const Label* label = best + 1; label != list.end(); ++label) {
        const bool tie = label->votes == best->votes && options_.ties == Ties::first;
        if (label->votes > best->votes || (tie && label->position < best->position)) best = label;
      }
      key = best->key;
      if (list.lost() > 0) {
        i64 runner_up = 0;
        for (const Label& label : list) runner_up = &label == best ? runner_up : std::max(runner_up, label.votes);
        unproven_[k] += best->votes <= runner_up + list.lost();
      }
    }
    if (!p.codec.is_identity()) p.rows().decode(&key, 1, p.codec);
    std::memcpy(out, &key, static_cast<std::size_t>(p.codec.width));
  }

  static constexpr i64 max_appended = i64{1} << 15;  // labels of one footprint before equal ones are merged

  const Options& options_;
  const u64 ignore_;
  const Problem* problem_ = nullptr;
  i64* unproven_ = nullptr;
  const BlockLabels* blocks_ = nullptr;
  i64 at_[max_levels][max_ndim];  // the current voxel of each level
  LabelList lists_[max_levels];   // the labels of that voxel
};

}  // namespace tinypyr
