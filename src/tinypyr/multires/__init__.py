"""Computed at low resolution, applied at full resolution: bias fields, backgrounds, masks; block by block, no seams.

An algorithm has two halves. ``lowres_func`` sees the whole volume at a coarse level and makes a field of it, voxel for
voxel. The field is then sampled where the voxels of full resolution lie (linear between the centres of its voxels, the
half voxel between levels included), and ``highres_func`` combines the two, a block at a time. What comes out does not
depend on how blocks are cut.
"""

from ._apply import Applied, apply_scaled_processing
from ._plugins import BackgroundSubtraction, GaussianBiasFieldCorrection, PluginError, ScaledProcessingPlugin

__all__ = [
    "Applied",
    "BackgroundSubtraction",
    "GaussianBiasFieldCorrection",
    "PluginError",
    "ScaledProcessingPlugin",
    "apply_scaled_processing",
]
