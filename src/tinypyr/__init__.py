"""Image pyramids for connectomics and bioimaging: exact at every level, at memory speed."""

import importlib
from typing import TYPE_CHECKING, Any

from ._sources import register_reader
from .errors import Error
from .grid import Grid
from .pooling import (
    downsample,
    downsample_segmentation,
    downsample_with_averaging,
    downsample_with_max_pooling,
    downsample_with_min_pooling,
    downsample_with_striding,
    instruction_sets,
    pyramid,
)
from .resampling import Resampled, resample, resample_like
from .volume import Volume, open

if TYPE_CHECKING:
    from . import compat as compat
    from . import multires as multires
    from . import ndinterp as ndinterp
    from . import store as store

__version__ = "0.1.0"

__all__ = [
    "Error",
    "Grid",
    "Resampled",
    "Volume",
    "__version__",
    "downsample",
    "downsample_segmentation",
    "downsample_with_averaging",
    "downsample_with_max_pooling",
    "downsample_with_min_pooling",
    "downsample_with_striding",
    "instruction_sets",
    "open",
    "pyramid",
    "register_reader",
    "resample",
    "resample_like",
]

#: Sub-packages that need optional dependencies, so that they are imported on first use.
_LAZY = ("compat", "multires", "ndinterp", "store")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LAZY])
