// The mode at several levels in one pass: carried label lists.
//
// A voxel's list holds (label, votes, first position) of every label below it, sorted by label. The list of a voxel is
// its children's lists merged: votes add, first positions take the smaller, so the mode of every level is that of the
// base, ties included. A list of more than 1,024 labels keeps the 1,024 with the most votes on its way up, and
// remembers how many votes any one label may have lost; a winner that this could have changed is counted as not proven.
//
// Levels of halves up to footprints of 4,096 voxels need no lists: nearly all modes are proven by bounds (mode/vote_bounds.hpp). Of
// others, the levels of small footprints are made a block at a time (mode/rank_blocks.hpp), which leaves one list per block; lists
// start from single voxels only where a block holds many labels.
#pragma once

#include <algorithm>

#include "../core/fetcher.hpp"
#include "../core/problem.hpp"
#include "../reduce/small_footprints.hpp"
#include "../select/selection.hpp"
#include "rank_blocks.hpp"
#include "vote_bounds.hpp"

namespace tinypyr {

constexpr i64 max_labels = 1024;

class LabelList {
 public:
  LabelList() = default;
  LabelList(const LabelList&) = delete;
  LabelList& operator=(const LabelList&) = delete;

  void clear() { size_ = lost_ = 0; }
  i64 size() const { return size_; }
  i64 lost() const { return lost_; }
  const Label* begin() const { return labels(); }
  const Label* end() const { return labels() + size_; }

  bool append(const Label& label) {
    if (!room(size_ + 1)) return false;
    labels()[size_++] = label;
    return true;
  }

  void sort() {
    std::sort(labels(), labels() + size_, [](const Label& a, const Label& b) { return a.key < b.key; });
  }

  // Sort labels by key, equal keys by position, and make one of equal keys.
  void collect() {
    std::sort(labels(), labels() + size_,
              [](const Label& a, const Label& b) { return a.key != b.key ? a.key < b.key : a.position < b.position; });
    i64 kept = 0;
    for (i64 i = 0; i < size_; ++i) {
      if (kept > 0 && labels()[kept - 1].key == labels()[i].key)
        labels()[kept - 1].votes += labels()[i].votes;
      else
        labels()[kept++] = labels()[i];
    }
    size_ = kept;
  }

  bool merge(const LabelList& child) {
    lost_ += child.lost_;
    if (child.size_ == 1 && size_ == 1 && labels()[0].key == child.labels()[0].key) {
      labels()[0].votes += child.labels()[0].votes;
      labels()[0].position = std::min(labels()[0].position, child.labels()[0].position);
      return true;
    }
    if (!spare_.reserve((size_ + child.size_) * static_cast<i64>(sizeof(Label)))) return false;
    Label* merged = reinterpret_cast<Label*>(spare_.data());
    const Label *a = begin(), *b = child.begin();
    i64 count = 0;
    while (a != end() || b != child.end()) {
      if (b == child.end() || (a != end() && a->key < b->key)) {
        merged[count++] = *a++;
      } else if (a == end() || b->key < a->key) {
        merged[count++] = *b++;
      } else {
        merged[count++] = {a->key, a->votes + b->votes, std::min(a->position, b->position)};
        ++a;
        ++b;
      }
    }
    memory_.swap(spare_);
    size_ = count;
    if (size_ > 8 * max_labels) truncate();
    return true;
  }

  void truncate() {
    if (size_ <= max_labels) return;
    std::nth_element(labels(), labels() + max_labels, labels() + size_, [](const Label& a, const Label& b) {
      return a.votes != b.votes ? a.votes > b.votes : a.position < b.position;
    });
    lost_ += labels()[max_labels].votes;  // the most of all that are dropped
    size_ = max_labels;
    std::sort(labels(), labels() + size_, [](const Label& a, const Label& b) { return a.key < b.key; });
  }

 private:
  Label* labels() const { return reinterpret_cast<Label*>(memory_.data()); }

  // Space for this many labels, keeping those that are there.
  bool room(i64 count) {
    const i64 bytes = count * static_cast<i64>(sizeof(Label));
    if (bytes <= memory_.size()) return true;
    if (!spare_.reserve(2 * bytes)) return false;
    std::copy(begin(), end(), reinterpret_cast<Label*>(spare_.data()));
    memory_.swap(spare_);
    return true;
  }

  Arena memory_, spare_;
  i64 size_ = 0, lost_ = 0;
};

class ModeDriver {
 public:
  ModeDriver(const Options& options, u64 ignore_key)
      : options_(options), ignore_(ignore_key), blocks_(options, ignore_key), bounds_(options), choose_(options) {}

  // A tile of last-level voxels at a time: first all its blocks, then, above them, lists. Modes that are not proven are
  // added to unproven, by level.
  Status run(const Problem& problem, i64* unproven) {
    problem_ = &problem;
    unproven_ = unproven;
    const Level& top = problem.level[problem.levels - 1];
    // The first level has loops of its own where its footprints are small; the tile is still in the cache afterwards.
    SmallFootprints halves(problem.rows().mode[options_.ties == Ties::lowest][options_.has_ignore].small, true,
                           ignore_);
    halved_ = halves.fits(problem);
    block_levels_ = blocks_.plan(problem, halved_);
    i64 tile[max_ndim], first[max_ndim] = {}, blocks_per_voxel = 1;
    for (int axis = 0; axis < problem.ndim && block_levels_ > 0; ++axis)
      blocks_per_voxel *= std::min(top.total[axis] / problem.level[block_levels_ - 1].total[axis] + 1,
                                   problem.level[block_levels_ - 1].extent[axis]);
    if (blocks_per_voxel > max_blocks) block_levels_ = 0;
    if (block_levels_ == 0) halved_ = false;
    if (block_levels_ == 0 && problem.levels == 1) return choose_.run(problem, ignore_);
    i64 group[max_ndim];
    for (int axis = 0; axis < problem.ndim; ++axis)
      group[axis] = block_levels_ == problem.levels ? blocks_.group(axis) : 1;
    bool bounded = halved_ && BoundsDriver::fits(problem, options_);
    i64 voxels = block_levels_ == 0 ? 1 : blocks_per_voxel * blocks_.voxels(), bytes = tile_bytes;
    if (bounded) {
      voxels = 1;
      i64 planes = 1;
      for (int axis = 0; axis < problem.ndim; ++axis) {
        voxels *= top.total[axis] * group[axis];
        if (axis > 1) planes *= std::min(top.total[axis], problem.extent[axis]);
      }
      // (long runs of every plane are worth more than a tile in the second-level cache)
      bytes = std::min(std::max(planes * plane_bytes, tile_bytes / 2), 2 * tile_bytes);
    }
    i64 room = std::max<i64>(1, bytes / (voxels * problem.codec.width));
    for (int axis = 0; axis < problem.ndim; ++axis) {
      tile[axis] = std::min(room * group[axis], top.extent[axis]);
      room = std::max<i64>(1, room / ceil_div(tile[axis], group[axis]));
    }
    if (block_levels_ > 0) {
      i64 cells[max_ndim];  // of a tile: no more than there are, whatever the factor
      for (int axis = 0; axis < problem.ndim; ++axis) {
        const Level& first_level = problem.level[0];
        const i64 ratio = top.total[axis] / first_level.total[axis];
        cells[axis] =
            std::min(first_level.extent[axis],
                     ratio > first_level.extent[axis] / tile[axis] ? first_level.extent[axis] : tile[axis] * ratio);
      }
      if (!blocks_.allocate(cells)) return Status::out_of_memory;
    }
    part_ = Problem::allocate();
    const std::unique_ptr<Problem> soon = Problem::allocate();
    if (!part_ || !soon) return Status::out_of_memory;
    int many_labels = 0;
    for (bool last = false; !last;) {
      i64 count[max_ndim], at[max_ndim];
      for (int axis = 0; axis < problem.ndim; ++axis)
        count[axis] = std::min(tile[axis], top.extent[axis] - first[axis]);
      std::copy(first, first + problem.ndim, at);
      int axis = 0;
      for (; axis < problem.ndim; ++axis) {
        if ((first[axis] += tile[axis]) < top.extent[axis]) break;
        first[axis] = 0;
      }
      last = axis >= problem.ndim;
      if (halved_) {
        restrict_to(*part_, at, count);
        const Status status = halves.run(*part_, blocks_.mode_votes(), blocks_.agreeing_stride());
        if (status != Status::ok) return status;
        if (bounded) {
          const BoundsDriver::Outcome outcome = bounds_.run(*part_, blocks_.mode_votes(), blocks_.agreeing_stride());
          if (outcome == BoundsDriver::Outcome::out_of_memory) return Status::out_of_memory;
          if (outcome == BoundsDriver::Outcome::made) continue;
          bounded = ++many_labels <= worth_trying;
        }
        blocks_.start_tile(part_->level[0].voxel_offset);
        if (!last) {  // while the processor is busy with blocks, memory need not be idle
          i64 next[max_ndim];
          for (axis = 0; axis < problem.ndim; ++axis) next[axis] = std::min(tile[axis], top.extent[axis] - first[axis]);
          restrict_to(*soon, first, next);
          fetcher_.start(*soon);
        }
      }
      if (!make(at, count)) return Status::out_of_memory;
      fetcher_.stop();
    }
    return Status::ok;
  }

 private:
  // The tile of `count` voxels of the last level from `first` on.
  bool make(const i64* first, const i64* count) {
    const Problem& p = *problem_;
    const int top = p.levels - 1;
    i64 end[max_ndim], step[max_ndim];
    std::fill(step, step + p.ndim, i64{1});
    for (int axis = 0; axis < p.ndim; ++axis) end[axis] = first[axis] + count[axis];
    if (block_levels_ == p.levels) {
      for (int axis = 0; axis < p.ndim; ++axis) step[axis] = blocks_.group(axis);
      const auto nobody_asks = [](const Label*, int) {};
      bool many = false;
      const bool made = each(first, end, step, at_[top], [&] {
        fetcher_.some<2>(blocks_.voxels() * p.codec.width);
        if (blocks_.add(at_[top], nobody_asks)) return true;
        many = p.levels == 1;
        return !many && one_by_one(at_[top], end, step);
      });
      if (!many) return made;
      // Where one block has many labels others have, and one level of them all is sooner made of all voxels.
      restrict_to(*part_, first, count);
      return choose_.run(*part_, ignore_) == Status::ok;
    }
    if (block_levels_ > 0) {
      const Level &last = p.level[top], &level = p.level[block_levels_ - 1];
      i64 blocks = 1, tile_end[max_ndim];
      for (int axis = 0; axis < p.ndim; ++axis) {
        const i64 ratio = last.total[axis] / level.total[axis];
        const i64 start = (last.voxel_offset[axis] + first[axis]) * ratio - level.voxel_offset[axis];
        tile_first_[axis] = std::max<i64>(0, start);
        tile_end[axis] = std::min(level.extent[axis], start + count[axis] * ratio);
        tile_count_[axis] = tile_end[axis] - tile_first_[axis];
        blocks *= tile_count_[axis];
      }
      if (!found_.start(blocks)) return false;
      i64 slot = 0;
      const bool made = each(tile_first_, tile_end, step, at_[block_levels_ - 1], [&] {
        bool enough = true;
        fetcher_.some<2>(blocks_.voxels() * p.codec.width);
        const auto keep = [&](const Label* labels, int number) { enough = found_.keep(slot, labels, number); };
        if (!blocks_.add(at_[block_levels_ - 1], keep)) found_.many(slot);
        ++slot;
        return enough;
      });
      if (!made) return false;
    }
    return each(first, end, step, at_[top], [&] { return list(top); });
  }

  // The voxels of a block of many labels, which starts at this one of the last level.
  bool one_by_one(const i64* block, const i64* end, const i64* size) {
    const Problem& p = *problem_;
    const int top = p.levels - 1;
    i64 first[max_ndim], last[max_ndim], step[max_ndim];
    for (int axis = 0; axis < p.ndim; ++axis) {
      first[axis] = block[axis];
      last[axis] = std::min(end[axis], block[axis] + size[axis]);
      step[axis] = 1;
    }
    const bool enough = each(first, last, step, at_[top], [&] { return list(top); });
    std::copy(first, first + p.ndim, at_[top]);
    return enough;
  }

  // part: `count` voxels of the last level from `first` on.
  void restrict_to(Problem& part, const i64* first, const i64* count) const {
    part = *problem_;
    for (int axis = 0; axis < problem_->ndim; ++axis) part.restrict_to(axis, first[axis], count[axis]);
  }

  // Visit coordinates of a box in steps, axis 0 fastest, until visit says no.
  template <class Visit>
  bool each(const i64* first, const i64* end, const i64* step, i64* at, Visit visit) const {
    const int ndim = problem_->ndim;
    std::copy(first, first + ndim, at);
    for (;;) {
      if (!visit()) return false;
      int axis = 0;
      for (; axis < ndim; ++axis) {
        if ((at[axis] += step[axis]) < end[axis]) break;
        at[axis] = first[axis];
      }
      if (axis >= ndim) return true;
    }
  }

  // Labels of the tile's blocks, by slot.
  class Found {
   public:
    bool start(i64 blocks) {
      labels_ = 0;
      return at_.reserve(blocks * static_cast<i64>(sizeof(Slot)));
    }
    bool keep(i64 slot, const Label* labels, int count) {
      const i64 bytes = (labels_ + count) * static_cast<i64>(sizeof(Label));
      if (bytes > memory_.size()) {
        Arena larger;
        if (!larger.reserve(2 * bytes)) return false;
        std::copy(all(), all() + labels_, reinterpret_cast<Label*>(larger.data()));
        memory_.swap(larger);
      }
      std::copy(labels, labels + count, all() + labels_);
      slots()[slot] = {labels_, count};
      labels_ += count;
      return true;
    }
    void many(i64 slot) { slots()[slot] = {0, -1}; }
    bool is_many(i64 slot) const { return slots()[slot].count < 0; }
    const Label* begin(i64 slot) const { return all() + slots()[slot].first; }
    const Label* end(i64 slot) const { return begin(slot) + slots()[slot].count; }

   private:
    struct Slot {
      i64 first;
      int count;
    };
    Slot* slots() const { return reinterpret_cast<Slot*>(at_.data()); }
    Label* all() const { return reinterpret_cast<Label*>(memory_.data()); }
    Arena at_, memory_;
    i64 labels_ = 0;
  };

  // Fill lists_[k] for the voxel at_[k] of level k, writing that voxel and all below it.
  bool list(int k) {
    LabelList& list = lists_[k];
    list.clear();
    if (k == block_levels_ - 1 && block_levels_ < problem_->levels) {
      i64 slot = 0;
      for (int axis = problem_->ndim - 1; axis >= 0; --axis)
        slot = slot * tile_count_[axis] + at_[k][axis] - tile_first_[axis];
      if (!found_.is_many(slot)) {  // written, and its labels are known
        for (const Label* label = found_.begin(slot); label != found_.end(slot); ++label)
          if (!list.append(*label)) return false;
        list.sort();
        return true;
      }
    }
    if (k == 0 ? !leaf(list) : !merge_children(k, list)) return false;
    write(k, list);
    list.truncate();
    return true;
  }

  bool merge_children(int k, LabelList& parent) {
    const Problem& p = *problem_;
    const Level &level = p.level[k], &below = p.level[k - 1];
    i64 first[max_ndim], end[max_ndim];
    i64* child = at_[k - 1];
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 start = (level.voxel_offset[axis] + at_[k][axis]) * level.factor[axis] - below.voxel_offset[axis];
      first[axis] = std::max<i64>(0, start);
      end[axis] = std::min(below.extent[axis], start + level.factor[axis]);
      child[axis] = first[axis];
    }
    for (;;) {
      if (!list(k - 1) || !parent.merge(lists_[k - 1])) return false;
      int axis = 0;
      for (; axis < p.ndim; ++axis) {
        if (++child[axis] < end[axis]) break;
        child[axis] = first[axis];
      }
      if (axis >= p.ndim) return true;
    }
  }

  bool leaf(LabelList& list) {
    const Problem& p = *problem_;
    const Level& level = p.level[0];
    i64 size[max_ndim], position = 0, count = 1;
    const char* in = p.in;
    for (int axis = 0; axis < p.ndim; ++axis) {
      const i64 block = (level.voxel_offset[axis] + at_[0][axis]) * level.total[axis];
      const i64 start = p.base_index(axis, block);
      size[axis] = p.present(level, axis, at_[0][axis]);
      in += start * p.stride[axis];
      position += start * p.weight[axis];
      count *= size[axis];
    }
    // Voxels of the same bits are one label: few footprints need more than this comparison.
    const int width = p.codec.width;
    u64 bits = 0;
    std::memcpy(&bits, in, static_cast<std::size_t>(width));
    bool uniform = true;
    each_voxel(in, size, [&](const char* voxel, i64) {
      uniform = std::memcmp(voxel, &bits, static_cast<std::size_t>(width)) == 0;
      return uniform;
    });
    if (uniform) {
      const u64 key = key_at(in);
      return (options_.has_ignore && key == ignore_) || list.append({key, count, position});
    }
    bool enough = true;
    each_voxel(in, size, [&](const char* voxel, i64 offset) {
      const u64 key = key_at(voxel);
      if (!options_.has_ignore || key != ignore_) enough = list.append({key, 1, position + offset});
      if (list.size() == most_of_a_leaf) {
        list.collect();
        if (list.size() > most_of_a_leaf / 2) list.truncate();
      }
      return enough;
    });
    list.collect();
    return enough;
  }

  // Visit the voxels of a footprint with their positions relative to its first, until visit says no.
  template <class Visit>
  void each_voxel(const char* in, const i64* size, Visit visit) const {
    const Problem& p = *problem_;
    i64 index[max_ndim] = {};
    i64 offset = 0;
    for (;;) {
      if (!visit(in, offset)) return;
      int axis = 0;
      for (; axis < p.ndim; ++axis) {
        in += p.stride[axis];
        offset += p.weight[axis];
        if (++index[axis] < size[axis]) break;
        in -= size[axis] * p.stride[axis];
        offset -= size[axis] * p.weight[axis];
        index[axis] = 0;
      }
      if (axis >= p.ndim) return;
    }
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
        i64 rival = 0;
        for (const Label& label : list) rival = &label == best ? rival : std::max(rival, label.votes);
        unproven_[k] += best->votes <= rival + list.lost();
      }
    }
    if (!p.codec.is_identity()) p.rows().decode(&key, 1, p.codec);
    std::memcpy(out, &key, static_cast<std::size_t>(p.codec.width));
  }

  const Options& options_;
  const u64 ignore_;
  i64* unproven_ = nullptr;
  const Problem* problem_ = nullptr;
  i64 at_[max_levels][max_ndim];
  LabelList lists_[max_levels];
  Blocks blocks_;
  BoundsDriver bounds_;
  SelectionDriver choose_;
  std::unique_ptr<Problem> part_;
  int block_levels_ = 0;                             // levels that blocks make
  i64 tile_first_[max_ndim], tile_count_[max_ndim];  // blocks of the tile at hand
  Found found_;
  Fetcher fetcher_;
  bool halved_ = false;
  static constexpr i64 most_of_a_leaf = i64{1} << 15;  // labels held
  static constexpr i64 max_blocks = 4096, tile_bytes = i64{1} << 19, plane_bytes = i64{1} << 16;
  static constexpr int worth_trying = 16;  // tiles of too many labels
};

}  // namespace tinypyr
