"""The arguments of a plan, checked as far as that is possible without the source and the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._pooling.arguments import ROUNDINGS, TIES, choice
from .._util.sizes import bytes_of, workers_of
from ..grid import Grid
from .formats import FORMATS
from .pooling_rule import PoolingRule
from .volume import CODECS


@dataclass(frozen=True)
class Request:
    """Arguments of :func:`plan` apart from the source and the target. Invalid ones raise ValueError or TypeError.

    Attributes
    ----------
    rule : PoolingRule
        Arguments that decide the values of levels.
    format, chunks, shards, codec, link, mask, exclude, region, memory, block, workers, grid, skip_empty
        As for :func:`plan`.
    """

    rule: PoolingRule
    format: str | None
    chunks: Sequence[int] | None
    shards: Sequence[int] | None
    codec: str | None
    link: bool
    mask: Any
    exclude: Any
    region: Sequence[tuple[int, int]] | None
    memory: int | str
    block: int | str | None
    workers: int | None
    grid: Grid | None
    skip_empty: bool | None

    def __post_init__(self) -> None:
        choice("rounding", self.rule.rounding, ROUNDINGS)
        choice("ties", self.rule.ties, TIES)
        flags: dict[str, object] = {"recursive": self.rule.recursive, "link": self.link, "force": self.rule.force}
        if self.skip_empty is not None:
            flags["skip_empty"] = self.skip_empty
        for name, value in flags.items():
            if not isinstance(value, bool):
                raise TypeError(f"{name}: {value!r} is neither True nor False")
        if self.grid is not None and not isinstance(self.grid, Grid):
            raise TypeError(f"grid: {type(self.grid).__name__} is not a Grid")
        if self.format is not None and self.format not in list(FORMATS):
            raise ValueError(f"format: {self.format!r} is not one of {', '.join(map(repr, FORMATS))}")
        if self.codec is not None and self.codec not in CODECS:
            raise ValueError(f"codec: {self.codec!r} is not one of {', '.join(map(repr, CODECS))}")

    @property
    def memory_in_bytes(self) -> int:
        """Memory of all workers."""
        return bytes_of(self.memory)

    @property
    def block_in_bytes(self) -> int | None:
        """Approximate number of bytes of level 0 in a block; None for the default."""
        return None if self.block is None else bytes_of(self.block, "block", 1)

    @property
    def worker_count(self) -> int:
        """Number of blocks to process at the same time."""
        return workers_of(self.workers)

    def skips_empty(self, format: str) -> bool:
        """Return whether chunks of the fill value alone are left out in a store of this format."""
        return FORMATS[format].TRAITS.skips_empty if self.skip_empty is None else self.skip_empty

    def beside_region(self) -> dict[str, Any]:
        """Return the arguments that must be left out or repeat the record of the store if a region is updated."""
        rule = self.rule
        return {
            "factor": rule.factor,
            "levels": rule.levels,
            "method": rule.method,
            "format": self.format,
            "ignore": rule.ignore,
            "grid": self.grid,
            "rounding": rule.rounding,
            "ties": rule.ties,
            "chunks": self.chunks,
            "shards": self.shards,
            "codec": self.codec,
            "mask": self.mask,
            "exclude": self.exclude,
            "recursive": rule.recursive,
            "link": self.link,
        }
