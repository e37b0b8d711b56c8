"""Computed at low resolution, applied at full resolution: bias fields, backgrounds, masks; block by block, no seams.

An algorithm has two halves. ``lowres_func`` sees the whole volume at a coarse level and makes a field of it, voxel for
voxel. The field is then sampled where the voxels of full resolution lie (linear between the centres of its voxels, the
half voxel between levels included), and ``highres_func`` combines the two, a block at a time. What comes out does not
depend on how blocks are cut, nor on who makes them.
"""

from .applied import Applied, apply_scaled_processing
from .built_in import BackgroundSubtraction, GaussianBiasFieldCorrection, PercentileNormalization
from .n4 import N4BiasFieldCorrection
from .plugins import Field, PluginError, ScaledProcessingPlugin

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
