"""Resampling between grids: a volume at the voxels of another grid, in memory or lazily."""

from .resampled import Resampled, resample, resample_like

__all__ = ["Resampled", "resample", "resample_like"]
