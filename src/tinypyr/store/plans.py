"""Plans: everything that a build will read, compute and write, in parts with one concern each."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from .._util.files import write_whole
from ..errors import StoreError
from . import plan_text
from .accumulators import Pooling
from .block_geometry import BlockGeometry
from .inputs import Inputs
from .level_storage import LevelStorage
from .pooling_rule import PoolingOptions
from .resources import Resources

Value = TypeVar("Value")


class _Of(Generic[Value]):
    """An attribute of a plan that one of its parts has."""

    def __init__(self, get: Callable[[Plan], Value]) -> None:
        self._get = get

    @overload
    def __get__(self, plan: None, owner: type[Plan]) -> _Of[Value]: ...
    @overload
    def __get__(self, plan: Plan, owner: type[Plan]) -> Value: ...
    def __get__(self, plan: Plan | None, owner: type[Plan]) -> Value | _Of[Value]:
        return self if plan is None else self._get(plan)


@dataclass(frozen=True, repr=False)
class Plan:
    """A plan of a build, from :func:`plan` or :meth:`load`.

    ``print(plan)`` shows its levels, and what it reads, writes and holds in memory.

    Attributes
    ----------
    inputs : Inputs
        What is read: ``source`` and ``mask``.
    options : PoolingOptions
        What is computed: ``method``, ``ignore``, ``rounding``, ``ties`` and ``recursive``.
    storage : LevelStorage
        Where levels are written, and how: ``location``, ``format``, ``grids``, ``paths``, ``layouts``, ``kind`` and
        others.
    geometry : BlockGeometry
        The blocks: ``factors``, ``totals``, ``numbers``, ``box`` and others.
    resources : Resources
        What is used: ``memory``, ``workers`` and ``tuning``.
    arguments : dict, optional
        Arguments by which other processes make the same plan; None if they cannot read the source.
    source, mask, method, location, format, grids, paths, layouts, kind, left_behind, memory, workers
        As in these parts.
    factors : list of tuple of int
        Factors from each level to the next.
    totals : list of tuple of int
        Cumulative factors of all levels, the base first.
    changed_box : sequence of (int, int), optional
        The region to update, in array coordinates of the base. None for a whole volume.
    blocks : int
        Number of blocks of the whole volume.
    numbers : sequence of int
        Numbers of the blocks to process.
    box : function
        The base voxels of a block, by number, in array coordinates.
    """

    inputs: Inputs
    options: PoolingOptions
    storage: LevelStorage
    geometry: BlockGeometry
    resources: Resources
    arguments: dict[str, Any] | None

    source = _Of(lambda plan: plan.inputs.source)
    mask = _Of(lambda plan: plan.inputs.mask)
    method = _Of(lambda plan: plan.options.method)
    location = _Of(lambda plan: plan.storage.location)
    format = _Of(lambda plan: plan.storage.format)
    grids = _Of(lambda plan: plan.storage.grids)
    paths = _Of(lambda plan: plan.storage.paths)
    layouts = _Of(lambda plan: plan.storage.layouts)
    kind = _Of(lambda plan: plan.storage.kind)
    left_behind = _Of(lambda plan: plan.storage.left_behind)
    factors = _Of(lambda plan: plan.geometry.factors)
    totals = _Of(lambda plan: plan.geometry.totals)
    changed_box = _Of(lambda plan: plan.geometry.changed_box)
    blocks = _Of(lambda plan: plan.geometry.blocks)
    numbers = _Of(lambda plan: plan.geometry.numbers)
    box = _Of(lambda plan: plan.geometry.box)
    memory = _Of(lambda plan: plan.resources.memory)
    workers = _Of(lambda plan: plan.resources.workers)

    @functools.cached_property
    def pooling(self) -> Pooling:
        """Pooling with the options of this plan."""
        options, base = self.options, self.geometry.base
        return Pooling(
            method=options.method,
            dtype=self.source.dtype,
            ignore=options.ignore,
            rounding=options.rounding,
            ties=options.ties,
            recursive=options.recursive,
            fill=self.layouts[0].fill,
            weight=[1, *itertools.accumulate(base.shape[:-1], operator.mul)],
        )

    def bytes_in_block(self, number: int) -> int:
        """Return the number of bytes of the base in a block."""
        return self.source.bytes_in(self.box(number))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of everything that the levels or the numbers of blocks depend on; of the source, its stamp."""
        content = {key: value for key, value in self.describe().items() if key not in plan_text.WITHOUT_EFFECT}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
        for stamp in self.inputs.stamps:
            digest.update(stamp)
        return digest.hexdigest()[:16]

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, for ``tinypyr run`` and :meth:`load`.

        Parameters
        ----------
        path : path
            The file. An existing file is replaced.

        Raises
        ------
        StoreError
            If the file cannot be written, or if other processes cannot read the source.
        """
        from .saved_plans import text_of_plan

        text = text_of_plan(self)
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise StoreError(f"{os.fspath(path)}: the plan cannot be written: {error}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Return the plan that :meth:`save` wrote to a file.

        The arguments in the file are planned again, and the result is compared with the saved plan.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Plan

        Raises
        ------
        StoreError
            If the file is damaged or is not a plan, or if the source, or this version of tinypyr, now leads to a
            different plan.

        Examples
        --------
        >>> import numpy as np, tempfile
        >>> from tinypyr import store
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = store.build(np.ones((64, 64), np.uint8), folder + "/base.zarr", levels=0)
        ...     plan = store.plan(folder + "/base.zarr", factor=2, levels=2)
        ...     plan.save(folder + "/plan.json")
        ...     store.Plan.load(folder + "/plan.json").factors
        [(2, 2), (2, 2)]
        """
        from .saved_plans import load_plan

        return load_plan(path)

    # --- text ---

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON. For a region, bytes and objects are those that are read and written again."""
        return plan_text.described(self)

    @property
    def heading(self) -> str:
        """Source, target and method, in two lines."""
        return plan_text.heading(self)

    @property
    def summary(self) -> str:
        """Bytes to read and write, objects, blocks, workers and memory, in one line."""
        return plan_text.summary(self)

    def __str__(self) -> str:
        return "\n".join([self.heading, plan_text.table(self), self.summary, *plan_text.notices(self)])

    __repr__ = __str__
