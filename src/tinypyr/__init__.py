"""Image pyramids for connectomics and bioimaging: exact at every level, at the speed of memory."""

import importlib
from typing import Any

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
from .resampling.resampled import Resampled, resample, resample_like

__version__ = "0.1.0"

__all__ = [
    "Grid",
    "Resampled",
    "__version__",
    "downsample",
    "downsample_segmentation",
    "downsample_with_averaging",
    "downsample_with_max_pooling",
    "downsample_with_min_pooling",
    "downsample_with_striding",
    "instruction_sets",
    "pyramid",
    "resample",
    "resample_like",
]


def __getattr__(name: str) -> Any:
    # these need more than numpy: when they are first asked for
    if name in ("compat", "multires", "ndinterp", "store"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
