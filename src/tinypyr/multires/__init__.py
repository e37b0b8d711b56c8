"""Multi-resolution processing: compute a field at low resolution, apply it at full resolution, block by block.

An algorithm consists of two functions. ``lowres_func`` gets the whole volume at low resolution, and returns a field of
it: a bias, a background, a mask. The field is interpolated at the centres of the voxels of full resolution, and
``highres_func`` applies it to the volume, one block at a time. The result has no seams, and does not depend on the
blocks or on the engine.
"""

from .applied import Applied
from .built_in import BackgroundSubtraction, GaussianBiasFieldCorrection, PercentileNormalization
from .n4 import N4BiasFieldCorrection
from .plugins import Field, PluginError, ScaledProcessingPlugin
from .processing import apply_scaled_processing

__all__ = [
    "Applied",
    "BackgroundSubtraction",
    "Field",
    "GaussianBiasFieldCorrection",
    "N4BiasFieldCorrection",
    "PercentileNormalization",
    "PluginError",
    "ScaledProcessingPlugin",
    "apply_scaled_processing",
]
