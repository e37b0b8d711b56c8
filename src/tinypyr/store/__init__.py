"""The pyramid of a volume that does not fit in memory.

``build`` reads a volume block by block and writes its levels, with the metadata of the format, beside it or into a new
store; ``plan`` says beforehand what that will read, write and hold. TensorStore reads and writes, in files, S3, GCS and
HTTP (``pip install "tinypyr[store]"``).

A plan numbers its blocks. Blocks share no chunk, so any number of them run at once, each ends with what it alone has
written, and running one again changes nothing; what single blocks cannot write whole is merged at the end. So ``build``
is ``plan``, ``run`` and ``finalize`` in one, and on a cluster the parts of ``run`` are jobs of their own.
"""

from ..errors import StoreError
from .checking import check
from .lazy_levels import Level, levels
from .planning import load, plan
from .plans import Plan
from .previews import preview
from .running import BuildError, Progress, Report, build, finalize, run

__all__ = [
    "BuildError",
    "Level",
    "Plan",
    "Progress",
    "Report",
    "StoreError",
    "build",
    "check",
    "finalize",
    "levels",
    "load",
    "plan",
    "preview",
    "run",
]
