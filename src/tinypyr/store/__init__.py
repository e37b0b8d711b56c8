"""Pyramids of volumes that do not fit in memory, written to stores.

``build`` reads a volume block by block and writes its levels with the metadata of the format, into the same store or
into a new one. ``plan`` reports beforehand what a build will read, write and hold in memory. TensorStore reads and
writes files, S3, GCS and HTTP (``pip install "tinypyr[store]"``).

A plan consists of numbered blocks. Blocks share no chunk, so any number of them can run at the same time, in any order,
and repeatedly. Chunks of coarse levels that span several blocks are merged at the end. ``build`` is ``plan``, ``run``
and ``finalize`` in one; on a cluster, every job runs a part of the plan.

Words of this package, where ``block`` has one meaning:

block
    The unit of work: a box of the base that one worker processes, and that an interruption can lose. ``number`` is one
    of them, ``blocks`` as an argument are the numbers of some, ``Plan.blocks`` is how many there are, the argument
    ``block`` is the approximate size of one in bytes, and ``Plan.block_shape`` its extents in voxels.
leaf
    A box of the base that is read at once. A block consists of leaves.
part
    The i-th of n equal shares of the blocks, which one job processes.
footprint
    The base voxels that one voxel of a level covers (not a block).
chunk, shard
    What the target stores together; ``Layout.unit`` is the shard if there are shards, otherwise the chunk. N5's
    metadata says block for chunk.
piece
    The voxels of a level above one block, which are merged with those of other blocks at the end.
region
    The part of level 0 that has changed, or the voxels of a level above a box.
"""

from ..errors import StoreError
from ..volume import Level
from .checking import CheckResult, check
from .opening import levels
from .planning import plan
from .plans import Plan
from .previews import preview
from .reports import BuildError, Progress, Report
from .running import build, finalize, run

__all__ = [
    "BuildError",
    "CheckResult",
    "Level",
    "Plan",
    "Progress",
    "Report",
    "StoreError",
    "build",
    "check",
    "finalize",
    "levels",
    "plan",
    "preview",
    "run",
]
