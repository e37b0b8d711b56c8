"""From what a user asks for to a plan: every argument is checked here, and nothing is created."""

from __future__ import annotations

import itertools
import json
import operator
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import _arrays
from .._pooling.arguments import METHODS, ROUNDINGS, TIES, check_array, checked_ignore, choice
from .._sources.nifti import is_nifti
from .._util.sizes import bytes_of, workers_of
from ..errors import StoreError, brief
from ..grid import Grid, as_arguments, cumulative, factors_between, grid_from
from .chunk_names import holds_chunks
from .formats import FORMATS
from .location import Location
from .partition import choose_blocks
from .plans import Box, Extents, Plan
from .scratch import FOLDER, unsealed
from .source import Mask, Source, level_array, open_source, open_volume
from .volume import CODECS, Layout, Volume

SOURCE_CHANGED = "of a source that has changed since"


def plan(
    source: Any,
    target: str | os.PathLike[str] | None = None,
    *,
    factor: Any = "auto",
    levels: Any = "auto",
    method: str = "auto",
    format: str | None = None,
    ignore: Any = None,
    rounding: str = "half-even",
    ties: str = "first",
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    codec: str | None = None,
    mask: Any = None,
    region: Sequence[tuple[int, int]] | None = None,
    recursive: bool = False,
    link: bool = False,
    memory: int | str = "1GiB",
    block: int | str | None = None,
    workers: int | None = None,
    grid: Grid | None = None,
    force: bool = False,
) -> Plan:
    """Decide how a volume's levels will be made; check every argument; create nothing.

    Parameters
    ----------
    source : path, URL, or array
        A store (OME-Zarr 0.4 or 0.5, N5, Neuroglancer precomputed), or an array of numpy, zarr, dask, h5py or
        TensorStore.
    target : path or URL, optional
        A new store, to which level 0 is copied. None, or the source itself: levels are added beside level 0.
    factor, levels
        As for :meth:`tinypyr.Grid.schedule`: ``"auto"`` halves what is not yet longer than the rest, until the volume
        fits a chunk.
    method : str
        As for :func:`tinypyr.downsample`; ``"auto"``: mode for labels (so marked, or unsigned integers of 32 or 64 bits
        not marked as an image), mean for all else. Median is made from the base at every level, as everything is.
    format : {"ome-zarr-0.5", "ome-zarr-0.4", "n5", "precomputed"}, optional
        By default the source's, in place; OME-Zarr 0.5 elsewhere.
    ignore, rounding, ties
        As for :func:`tinypyr.downsample`.
    chunks, shards : sequence of int, optional
        Voxels per chunk, and per shard (what is written at once), along the source's axes; by default the source's.
    codec : {"zstd", "gzip", "blosc", "raw"}, optional
        By default the source's where the format is the same, else zstd (gzip in N5).
    mask : path, URL, or array, optional
        Of the base's shape; where it is not 0, voxels are left out of every level, with any method. Axes of a store
        are matched by name. A voxel above masked ones alone has the value to ignore or, without, the fill value.
    region : sequence of (int, int), optional
        Of a store that has its levels: the part of level 0, in voxels of the array, that has changed. Only what lies
        above it is made again, with the factors, the method and all else that the store says (only a method that it
        does not say is asked for).
    recursive : bool
        Make each level from the voxels of the one before, which is not the median of the base; only for ``"median"``,
        whose levels otherwise need a whole footprint of the last one in memory.
    link : bool
        In a new OME-Zarr store on the same disk: point to level 0 of the source instead of copying it.
    memory : int or str
        Bytes that the build may hold, for example ``"512MiB"``.
    block : int or str, optional
        About how many bytes of the base to make at a time: what an interruption can cost, and what a worker is given.
        By default a 32nd of the volume, between 64 MiB and 4 GiB.
    workers : int, optional
        Blocks at work at once; by default one per core.
    grid : Grid, optional
        Where an array lies in the world; of a store: instead of what its metadata says.
    force : bool
        Allow what is probably a mistake: means of labels.

    Returns
    -------
    Plan

    Raises
    ------
    StoreError
        The source cannot be read, or the target not be made.
    ValueError, TypeError
        An argument that makes no sense; the message names it.
    """
    choice("rounding", rounding, ROUNDINGS)
    choice("ties", ties, TIES)
    for name, value in (("recursive", recursive), ("link", link), ("force", force)):
        if not isinstance(value, bool):
            raise TypeError(f"{name}: {value!r} is neither True nor False")
    if grid is not None and not isinstance(grid, Grid):
        raise TypeError(f"grid: {type(grid).__name__} is no Grid")
    if format is not None and format not in list(FORMATS):
        raise ValueError(f"format: {format!r} is not one of {', '.join(map(repr, FORMATS))}")
    read = open_source(source, grid)
    volume = read.volume
    base = read.grid
    again = region is not None
    if region is not None:
        given = {"factor": factor, "levels": levels, "method": method, "format": format, "ignore": ignore, "grid": grid}
        given |= {"rounding": rounding, "ties": ties, "chunks": chunks, "shards": shards, "codec": codec, "mask": mask}
        given |= {"recursive": recursive, "link": link}
        factor, method, ignore, rounding, ties, recursive = _as_before(volume, target, given)
        levels, force = "auto", True
        if volume is not None and volume.order != base.axes:
            named = _region(region, base)
            region = [named[base.axes.index(axis)] for axis in volume.order]
            read = read.reordered(volume.order)
            base = read.grid
    if base.ndim == 0 or 0 in base.shape:
        raise StoreError(f"source: shape {base.shape} holds nothing to pool")
    check_array(base.shape, read.dtype)
    left_out = checked_ignore(ignore, read.dtype)
    place, in_place = _target(read, target)
    if in_place and volume is not None and format not in (None, volume.format):
        raise ValueError(f"format: levels beside a level 0 of {volume.format} cannot be {format}; give a target")
    chosen = format or (volume.format if in_place and volume is not None else "ome-zarr-0.5")
    if in_place and grid is not None and chosen == "precomputed" and volume is not None and grid != volume.grids[0]:
        raise ValueError("grid: of precomputed in place, whose info file says where its base lies; change it there")
    if codec is not None and codec not in CODECS:
        raise ValueError(f"codec: {codec!r} is not one of {', '.join(map(repr, CODECS))}")
    kind = read.kind
    made_by = _method(method, kind, read.dtype, force)
    if recursive and made_by != "median":
        raise ValueError(f"recursive: of medians only; levels of {made_by} are exact at no such cost")
    masked = None if mask is None else Mask(mask, base)
    changed = None if region is None else _region(region, base)
    if kind is None:
        kind = "labels" if made_by == "mode" else "image"
    layout = _layout(read, chosen, in_place, chunks, shards, codec)
    schedule = base.schedule(factor, levels, fits=[min(c, n) for c, n in zip(layout.chunks, base.shape, strict=True)])
    for k, step in enumerate(schedule):
        if all(f == 1 for f in step):
            raise ValueError(f"factor: level {k + 1} would be pooled by 1 along every axis")
    totals = [(1,) * base.ndim, *cumulative(schedule, base.ndim)]
    for total in totals[1:]:
        for name, n, f, o in zip(base.axes, base.shape, total, base.voxel_offset, strict=True):
            if f > 1 and f >= 2 * (o % f + n):
                raise ValueError(f"factor: {f} along {name} in all, more than twice its {n} voxels; make fewer levels")
    for name, f in zip(base.axes, totals[-1], strict=True):
        if f > 1 and name in FORMATS[chosen].FIXED:
            raise ValueError(f"factor: {f} along {name}, which {chosen} cannot have fewer of at coarser levels")
    grids = [base, *base.levels(totals[1:], made_by)]
    FORMATS[chosen].axes_order(base)  # refuses axes that the format has not
    paths = volume.paths if again and volume is not None else _paths(volume if in_place else None, chosen, grids)
    if link:
        _check_link(volume, place, chosen, in_place, layout is read.layout)
    layouts = [FORMATS[chosen].at_level(layout, grid) for grid in grids]
    if again and volume is not None:  # as they are
        at = [volume.grids[0].axes.index(axis) for axis in base.axes]
        for number in range(len(grids)):
            unit = level_array(volume, number).chunk_layout.write_chunk.shape
            layouts[number] = replace(layout, chunks=tuple(unit[a] for a in at), shards=None)
    budget = bytes_of(memory)
    hands = workers_of(workers)
    copies = not in_place and not link
    wanted = None if block is None else bytes_of(block, "block", 1)
    carries = recursive or made_by not in ("median", "stride")
    carries = carries or (made_by == "stride" and left_out is None and masked is None)
    leaf, cut, whole, by_leaves = choose_blocks(base, read, layouts, totals, copies, budget // hands, carries, wanted)
    made = Plan(
        read, place, chosen, grids, schedule, paths, layouts, made_by, left_out, rounding, ties, recursive, masked,
        changed, copies, link, kind, budget, hands, leaf, cut, whole, by_leaves, None,
    )  # fmt: skip
    for number in () if again else range(0 if made.copies_base else 1, len(grids)):
        made.level_spec(number)  # refuses what the format cannot hold
    for path in [*paths[0 if copies else 1 :], FOLDER]:
        place.refuse_links(path)
    given = {
        "chunks": chunks,
        "shards": shards,
        "codec": codec,
        "grid": grid,
        "force": force,
        "region": region,
        "block": wanted,
    }
    made = replace(made, arguments=_arguments(made, given))
    if state_of(made, anew=True) == "new":  # refuses what is there already
        if not again:
            _refuse_neighbours(made)
        _warn_of_empty(made)
    return made


def _refuse_neighbours(made: Plan) -> None:
    """Raise StoreError if something lies already where a level would be written."""
    for number, path in enumerate(made.paths):
        if (number > 0 or made.copies_base) and (there := made.place.child(path).any_key()) is not None:
            raise StoreError(
                f"{made.place.name}/{path}: level {number} would be written there, but it holds {there} already, which "
                "no level of this pyramid is; move or remove it, or choose another target"
            )


def _warn_of_empty(made: Plan) -> None:
    mask = None if made.mask is None else made.mask.volume
    for name, volume in (("source", made.source.volume), ("mask", mask)):
        if volume is not None and not holds_chunks(volume, 0):
            warnings.warn(
                f"{name}: {volume.place.name}/{volume.paths[0]} has no chunks, so every voxel of it is the fill value; "
                "check that it is complete",
                stacklevel=3,
            )


def load(path: str | os.PathLike[str]) -> Plan:
    """A plan that :meth:`Plan.save` has written, made again and compared.

    Raises
    ------
    StoreError
        The file is damaged or no plan, or the source or this version of tinypyr would now lead to another one.
    """
    try:
        return from_text(Path(path).read_text(), os.fspath(path))
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{os.fspath(path)} cannot be read: {error}") from None


def from_text(text: str, name: str) -> Plan:
    """A plan from the text of its file."""
    try:
        content = json.loads(text)
        saved = unsealed(content, name)
        arguments, fingerprint = dict(saved["arguments"]), saved["fingerprint"]
        grid = arguments.pop("grid", None)
        grid = None if grid is None else grid_from(grid)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{name} is no plan that tinypyr has saved: {brief(error)}") from None
    for read in ("source", "mask"):
        if isinstance(arguments.get(read), dict):
            try:
                arguments[read] = _arrays.view_from_recipe(arguments[read])
            except (ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
                raise StoreError(f"{name} is out of date ({read}: {error}); plan again") from None
    made = plan(**arguments, grid=grid)
    if made.fingerprint != fingerprint:
        raise StoreError(f"{name} is out of date ({_difference(saved, made) or SOURCE_CHANGED}); plan again")
    return made


def _arguments(made: Plan, given: dict[str, Any]) -> dict[str, Any] | None:
    """What to call :func:`plan` with for the same plan elsewhere; None if other processes cannot read what it reads."""
    read, volume, ignore = made.source, made.source.volume, made.ignore
    places = [made.place, read.place, *([] if made.mask is None else [made.mask.place])]
    only_here = (read.recipe or {}).get("only_here")
    if (
        only_here
        or isinstance(ignore, complex)
        or any(place is None or place.url.startswith("memory:") for place in places)
    ):
        return None
    arguments = {"source": read.recipe or read.name, "memory": made.memory, "block": given["block"]}
    arguments["workers"] = made.workers
    if made.changed is not None and volume is not None:  # all else is as the store says
        method = "auto" if volume.notes.get("method") else made.method
        return {**arguments, "region": [[int(a), int(b)] for a, b in given["region"]], "method": method}
    return {
        **arguments,
        "target": made.place.url if made.copies_base or made.links_base else None,
        "factor": [list(step) for step in made.factors] or "auto",
        "levels": len(made.factors),
        "method": made.method,
        "format": made.format,
        "ignore": None if ignore is None else ignore.item(),
        "rounding": made.rounding,
        "ties": made.ties,
        "chunks": None if given["chunks"] is None else [int(extent) for extent in given["chunks"]],
        "shards": None if given["shards"] is None else [int(extent) for extent in given["shards"]],
        "codec": given["codec"],
        "mask": None if made.mask is None else made.mask.recipe or made.mask.name,
        "recursive": made.recursive,
        "link": made.links_base,
        "grid": None if given["grid"] is None else as_arguments(given["grid"]),
        "force": given["force"],
    }


def state_of(made: Plan, once: bool = False, anew: bool = False) -> Literal["new", "begun", "finished"]:
    """How far the target is with this very plan; refused if it holds, or is being made by, another.

    A region may change, and be made again, any number of times: only with ``once`` (a saved plan) does it end. With
    ``anew``, a build of the same plan that had begun before the source changed is taken over.
    """
    place, in_place = made.place, not (made.copies_base or made.links_base)
    there = _volume_at(place)
    if made.changed is None and there is not None and there.notes.get("plan") == made.fingerprint:
        return "finished"
    if made.changed is not None and once and there is not None and there.notes.get("region") == made.fingerprint:
        return "finished"
    begun = made.scratch.plan()
    if begun is not None and made.changed is not None and begun.get("plan", {}).get("region") is not None:
        return "new"  # of what an interrupted region has left nothing is kept
    if begun is not None and begun.get("fingerprint") == made.fingerprint:
        return "begun"
    if begun is not None:
        difference = _difference(begun, made)
        if difference == "" and anew:
            return "begun"
        or_else = (
            "to make all blocks again, build with resume=False (--no-resume)"
            if difference == ""
            else (f"give what it was given, or remove {'its levels and ' + FOLDER if in_place else 'the store'} first")
        )
        raise StoreError(f"{place.name}: another build has begun there ({difference or SOURCE_CHANGED}); {or_else}")
    if there is None or made.changed is not None or (in_place and len(there.paths) == 1):
        return "new"
    if in_place:
        raise StoreError(
            f"{place.name}: has {len(there.paths)} levels already; remove them or choose another target (or, where "
            "level 0 has changed, name that region)"
        )
    raise StoreError(f"{place.name}: exists already; remove it or choose another target")


def _volume_at(place: Location) -> Volume | None:
    if not any(format.detect(place) for format in FORMATS.values()):
        return None
    try:
        return open_volume(place)
    except StoreError as error:
        raise StoreError(f"{place.name}: exists already, and cannot be read ({error}); remove it first") from None


def _difference(begun: dict[str, Any], made: Plan) -> str:
    """Describe in what another plan of the same target differs; empty if in the source's files alone."""

    def told(described: dict[str, Any]) -> dict[str, Any]:
        return {**described, "view": None, **(described.get("view") or {}), "field": None}

    here, there = told(made.describe()), told(begun.get("plan", {}))
    differs = [key for key in here if there.get(key) != here[key] and key not in ("memory", "workers", "leaf")]
    return ", ".join(f"{_said(key, there.get(key))} there, {_said(None, here[key])} here" for key in differs[:2])


def _said(key: str | None, value: Any) -> str:
    """An entry of a plan in a message: of levels their factors, which is what people gave; else not without end."""
    if isinstance(value, list) and value and all(isinstance(level, dict) and "factor" in level for level in value):
        key = key and "factors from the base"
        text = "/".join(",".join(map(str, level["factor"])) for level in value[1:])
    else:
        text = repr(value)
    return (f"{key}: " if key else "") + (text if len(text) <= 100 else text[:97] + "...")


def _check_link(volume: Volume | None, place: Location, format: str, in_place: bool, same_layout: bool) -> None:
    if in_place or volume is None:
        raise ValueError("link: from a store, to a new target; there is no other level 0 to point to")
    if not format.startswith("ome-zarr") or not (place.is_file and volume.place.is_file):
        raise ValueError(f"link: OME-Zarr in files allows it, {format} at {place.name} does not; copy level 0")
    if volume.format != format or not same_layout:
        raise ValueError("link: format, chunks, shards and codec must be those of the source; leave them out")


def _as_before(volume: Volume | None, target: Any, given: dict[str, Any]) -> tuple[Any, str, Any, str, str, bool]:
    """How the levels of a store were made: factor, method, ignore, rounding, ties, recursive."""
    if volume is None or target is not None or len(volume.paths) < 2:
        raise ValueError("region: of a store that has its levels; give no target, or build it first")
    notes, base = volume.notes, volume.grids[0]
    if notes.get("mask"):
        raise StoreError(f"{volume.place.name}: its levels leave out the mask {notes['mask']}; build it anew")
    totals = [factors_between(base, grid) for grid in volume.grids]
    known = [total for total in totals if total is not None]
    if len(known) < len(totals) or any(b % a for x, y in itertools.pairwise(known) for a, b in zip(x, y, strict=True)):
        raise StoreError(f"{volume.place.name}: its levels are no whole multiples of each other; build it anew")
    for number, (path, grid, total) in enumerate(zip(volume.paths, volume.grids, known, strict=True)):
        shape = base.level(total).shape
        if grid.shape != shape:
            raise StoreError(
                f"{volume.place.name}/{path}: level {number} has shape {grid.shape}, but its scale of {total} base "
                f"voxels implies {shape}, so another tool has made it; build the levels anew to update a region"
            )
    order = [base.axes.index(axis) for axis in volume.order]
    factor = [tuple(y[a] // x[a] for a in order) for x, y in itertools.pairwise(known)]
    method = notes.get("method")
    if method is None and given["method"] == "auto":
        raise ValueError(f"method: {volume.place.name} does not say how its levels were made; name it")
    made = {
        "method": method or given["method"],
        "ignore": volume.ignore,
        "rounding": str(notes.get("rounding", "half-even")),
        "ties": str(notes.get("ties", "first")),
        "recursive": bool(notes.get("recursive")),
    }
    usual = {"method": "auto", "rounding": "half-even", "ties": "first", "factor": "auto", "levels": "auto"}
    for name, value in given.items():
        if value is None or value is False or (isinstance(value, str) and value == usual.get(name)):
            continue
        if name not in made or bool(np.any(value != made[name])):
            raise ValueError(f"{name}: not with a region, whose surroundings are as the store says; leave it out")
    return factor, made["method"], made["ignore"], made["rounding"], made["ties"], made["recursive"]


def _region(region: Any, base: Grid) -> Box:
    try:
        made = [(operator.index(start), operator.index(stop)) for start, stop in region]
    except (TypeError, ValueError):
        raise ValueError(f"region: {region!r} is not a start and a stop for each axis") from None
    if len(made) != base.ndim or any(not 0 <= a < b <= n for (a, b), n in zip(made, base.shape, strict=False)):
        raise ValueError(f"region: {made} does not lie within the volume of shape {base.shape}")
    return made


def _target(read: Source, target: Any) -> tuple[Location, bool]:
    volume = read.volume
    if target is None:
        if volume is None:
            raise ValueError(f"target: needed where the source is {read.name}, beside which no levels can be")
        place = volume.place
    else:
        if is_nifti(target):
            raise ValueError(f"target: {os.fspath(target)}: NIfTI is read, and not written; name a store")
        place = Location.at(target)
    if volume is not None and place.url == volume.place.url:
        if volume.attributes.get("array"):
            raise StoreError(f"{place.name}: a single array has no room for levels beside it; give a target")
        return place, True
    source = read.place
    if source is not None and (place.real.startswith(source.real) or source.real.startswith(place.real)):
        raise StoreError(f"{place.name}: inside {source.name}, or around it; choose another target")
    return place, False


def _method(method: str, kind: str | None, dtype: np.dtype[Any], force: bool) -> str:
    if method == "auto":
        return "mode" if _arrays.looks_like_labels(kind, dtype.name) else "mean"
    choice("method", method, METHODS)
    if method == "mean" and kind == "labels" and not force:
        raise ValueError("method: a mean of labels is a label of something else; use mode, or force it")
    return method


def _layout(read: Source, format: str, in_place: bool, chunks: Any, shards: Any, codec: str | None) -> Layout:
    base, volume = read.grid, read.volume
    of_source = read.layout
    same = volume is not None and volume.format == format and chunks is None and shards is None and codec is None
    if same:
        return of_source
    cut = _extents("chunks", chunks, base) if chunks is not None else of_source.chunks
    pack = _extents("shards", shards, base) if shards is not None else (of_source.shards if chunks is None else None)
    if pack is not None and shards is None and format != "ome-zarr-0.5":
        pack = None  # (the others have none, or others)
    if pack is not None and format in ("ome-zarr-0.4", "n5"):
        raise ValueError(f"shards: {format} has none; leave them out")
    if pack is not None and any(p % c for p, c in zip(pack, cut, strict=True)):
        raise ValueError(f"shards: {pack} are not whole chunks of {cut}")
    fill = of_source.fill if volume is not None else 0
    return Layout(cut, pack, codec, bool(fill) if read.dtype.kind == "b" else fill)


def _extents(name: str, values: Any, grid: Grid) -> Extents:
    try:
        made = tuple(operator.index(value) for value in values)
    except TypeError:
        raise TypeError(f"{name}: {values!r} is not whole numbers, one for each of {grid.ndim} axes") from None
    if len(made) != grid.ndim or min(made) < 1:
        raise ValueError(f"{name}: {made} is not one positive extent for each of {grid.ndim} axes")
    return made


def _paths(volume: Volume | None, format: str, grids: list[Grid]) -> list[str]:
    if format == "precomputed":
        names = [axis for axis in "xyz" if axis in grids[0].axes]
        keys = ["_".join(f"{grid.scale[grid.axes.index(axis)]:g}" for axis in names) for grid in grids]
        if len(set(keys)) < len(keys):
            keys = [f"{key}_{k}" for k, key in enumerate(keys)]
        return [volume.paths[0], *keys[1:]] if volume is not None else keys
    if volume is None:
        return [f"s{k}" if format == "n5" else str(k) for k in range(len(grids))]
    first = volume.paths[0]
    stem = first.rstrip("0123456789")
    start = int(first[len(stem) :]) if first[len(stem) :] else 0
    return [first, *(f"{stem}{start + k}" for k in range(1, len(grids)))]
