"""Inputs of a build: the source and the mask, and a check that they have not changed since the plan was made."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from ..errors import StoreError
from .chunk_names import empty_level_0
from .source import Mask, Source


@dataclass(frozen=True)
class Inputs:
    """Source and mask of a plan.

    Attributes
    ----------
    source : Source
        Level 0.
    mask : Mask, optional
        Voxels to exclude.
    """

    source: Source
    mask: Mask | None

    @property
    def _all(self) -> list[Source | Mask]:
        return [self.source] if self.mask is None else [self.source, self.mask]

    @functools.cached_property
    def empty(self) -> list[str]:
        """Sentences about a source or a mask without any chunk, which may be incomplete."""
        volumes = [("source", self.source.volume)]
        if self.mask is not None:
            volumes.append((self.mask.parameter, self.mask.volume))
        sentences = [(name, empty_level_0(volume)) for name, volume in volumes if volume is not None]
        return [f"{name}: {sentence}" for name, sentence in sentences if sentence is not None]

    @functools.cached_property
    def stamps(self) -> list[bytes]:
        """Stamps of the source and the mask when the plan was made, which differ once these have changed.

        The stamp of files consists of names, sizes and times of up to 131,072 of them, that of an array in memory of
        its first and last corner. Object stores have no stamp.
        """
        return [hashlib.sha256(source.stamp()).digest() for source in self._all]

    @functools.cached_property
    def status(self) -> list[str]:
        """Digests of the status of the files of the source and the mask when the plan was made."""
        return [hashlib.sha256(source.status()).hexdigest() for source in self._all]

    def check_unchanged(self) -> None:
        """Raise StoreError if files of the source or the mask have changed since the plan was made."""
        for source, status in zip(self._all, self.status, strict=True):
            if hashlib.sha256(source.status()).hexdigest() != status:
                raise StoreError(
                    f"{source.name}: changed or was removed during the build, so levels may mix old and new voxels; no "
                    "metadata was written. Run it again with resume=False (--no-resume) to make all blocks again"
                )

    def check_exist(self) -> None:
        """Raise StoreError if the source or the mask was removed, because its chunks would then be read as empty."""
        for source in self._all:
            source.check_exists()
