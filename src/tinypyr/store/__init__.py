"""Pyramids of volumes that do not fit in memory, written to stores.

``build`` reads a volume block by block and writes its levels with the metadata of the format, into the same store or
into a new one. ``plan`` reports beforehand what a build will read, write and hold in memory. TensorStore reads and
writes files, S3, GCS and HTTP (``pip install "tinypyr[store]"``).

A plan consists of numbered blocks. Blocks share no chunk, so any number of them can run at the same time, in any order,
and repeatedly. Chunks of coarse levels that span several blocks are merged at the end. ``build`` is ``plan``, ``run``
and ``finalize`` in one; on a cluster, every job runs a part of the plan.
"""

from ..errors import StoreError
from .checking import CheckResult, check
from .lazy_levels import Level, levels
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
