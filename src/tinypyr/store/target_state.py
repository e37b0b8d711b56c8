"""The state of a plan's target: new, begun, or finished. A target that belongs to another plan is refused."""

from __future__ import annotations

from typing import Any, Literal

from ..errors import StoreError
from .formats import FORMATS
from .location import Location
from .plan_text import WITHOUT_EFFECT
from .plans import Plan
from .scratch import FOLDER
from .source import open_volume
from .volume import StoredVolume

SOURCE_CHANGED = "of a source that has changed since"


def state_of(plan: Plan, *, saved: bool = False, take_over: bool = False) -> Literal["new", "begun", "finished"]:
    """Return how far the target is with this plan; raise StoreError if the target belongs to another plan.

    Parameters
    ----------
    plan : Plan
        The plan.
    saved : bool
        Whether the update of a region is finished for good once its metadata is written, as for a saved plan. Without,
        a region may change and be built again any number of times.
    take_over : bool
        Whether to continue a build of the same plan that was begun before the source changed.
    """
    location, in_place = plan.location, plan.storage.in_place
    volume = _volume_at(location)
    if plan.changed_box is None and volume is not None and volume.notes.get("plan") == plan.fingerprint:
        return "finished"
    if plan.changed_box is not None and saved and volume is not None and volume.notes.get("region") == plan.fingerprint:
        return "finished"
    begun_plan = plan.storage.scratch.read_plan()
    if begun_plan is not None and plan.changed_box is not None and begun_plan.get("plan", {}).get("region") is not None:
        _check_region_covers(plan, begun_plan["plan"]["region"])
        return "new"  # no block of an interrupted region is kept
    same_files = begun_plan is not None and begun_plan.get("source_status") == plan.inputs.status
    if begun_plan is not None and same_files and begun_plan.get("fingerprint") == plan.fingerprint:
        return "begun"
    if begun_plan is not None:
        differences = difference(begun_plan, plan)
        if differences == "" and take_over:
            return "begun"
        advice = (
            "to make all blocks again, build with resume=False (--no-resume)"
            if differences == ""
            else f"use the same arguments, or remove {'its levels and ' + FOLDER if in_place else 'the store'} first"
        )
        raise StoreError(f"{location.name}: another build has begun there ({differences or SOURCE_CHANGED}); {advice}")
    if volume is None or plan.changed_box is not None or (in_place and len(volume.paths) == 1):
        return "new"
    if in_place:
        raise StoreError(
            f"{location.name}: has {len(volume.paths)} levels already; remove them or choose another target (or, where "
            "level 0 has changed, name that region)"
        )
    raise StoreError(f"{location.name}: exists already; remove it or choose another target")


def _check_region_covers(plan: Plan, begun_box: Any) -> None:
    """Raise StoreError if the plan leaves out part of a region whose update was interrupted."""
    box = plan.changed_box or []
    covers = len(begun_box) == len(box) and all(
        a <= c and d <= b for (a, b), (c, d) in zip(box, begun_box, strict=False)
    )
    if not covers:
        text = ", ".join(f"{start}:{stop}" for start, stop in begun_box)
        raise StoreError(
            f"{plan.location.name}: an update of the region {text} has begun and was not finished, so levels may mix "
            "old and new voxels there; repeat it first, or name a region that contains both"
        )


def _volume_at(location: Location) -> StoredVolume | None:
    if not any(format.detect(location) for format in FORMATS.values()):
        return None
    try:
        return open_volume(location, with_geometry=False)
    except StoreError as error:
        raise StoreError(f"{location.name}: exists already, and cannot be read ({error}); remove it first") from None


def difference(saved: dict[str, Any], plan: Plan) -> str:
    """Describe how a saved plan differs from this one; return an empty text if only the source's files do."""

    def flattened(described: dict[str, Any]) -> dict[str, Any]:
        return {**described, "view": None, **(described.get("view") or {}), "field": None}

    entries, saved_entries = flattened(plan.describe()), flattened(saved.get("plan", {}))
    keys = [key for key in entries if saved_entries.get(key) != entries[key] and key not in WITHOUT_EFFECT]
    return ", ".join(
        f"{_entry(key, saved_entries.get(key))} there, {_entry(None, entries[key])} here" for key in keys[:2]
    )


def _entry(key: str | None, value: Any) -> str:
    """Return an entry of a described plan as a short text; of levels, the factors by which the caller chose them."""
    if isinstance(value, list) and value and all(isinstance(level, dict) and "factor" in level for level in value):
        key = key and "factors from the base"
        text = "/".join(",".join(map(str, level["factor"])) for level in value[1:])
    else:
        text = repr(value)
    return (f"{key}: " if key else "") + (text if len(text) <= 100 else text[:97] + "...")
