"""Consolidated metadata of Zarr: copies of the metadata below a group, in the group and in those that contain it.

Zarr v2 has them in ``.zmetadata``, Zarr v3 in ``zarr.json``. They are brought up to date where they list the store, so
that readers that trust them see the levels.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ...errors import UNREADABLE, StoreError
from ..location import Location

#: Number of folders above a store that are searched.
MAX_DEPTH = 32
#: Number of attempts to write a file that others write as well.
MAX_ATTEMPTS = 20

Change = Callable[[dict[str, Any]], bool]


def update_v2(location: Location, documents: dict[str, Any]) -> None:
    """Bring .zmetadata of a group, and of those that contain it, up to date with documents by key."""
    for folder, path in _containing(location, (".zgroup", ".zmetadata")):

        def change(content: dict[str, Any], path: str = path) -> bool:
            metadata = content["metadata"]
            if content.get("zarr_consolidated_format") != 1 or not isinstance(metadata, dict):
                raise ValueError("another version of consolidated metadata")
            if path.count("/") > 1 and not {f"{path}.zgroup", f"{path}.zattrs"} & set(metadata):
                return False  # (it does not list the store)
            metadata.update({path + key: value for key, value in documents.items()})
            return True

        _update(folder, ".zmetadata", change)


def update_v3(location: Location, documents: dict[str, Any]) -> None:
    """Bring consolidated metadata of the groups that contain one up to date with documents by path ("": its own)."""
    for folder, path in _containing(location, ("zarr.json",)):
        if path:
            _update(folder, "zarr.json", functools.partial(_merge_v3, path=path, documents=documents))


def update_own_v3(root: dict[str, Any], location: Location, documents: dict[str, Any]) -> None:
    """Bring consolidated metadata in a group's own zarr.json up to date, before it is written."""
    try:
        _merge_v3(root, "", documents)
    except UNREADABLE as error:
        _warn(location, "zarr.json", str(error))


def _merge_v3(root: dict[str, Any], path: str, documents: dict[str, Any]) -> bool:
    """Bring consolidated metadata of a group's zarr.json up to date; return whether it changed.

    ``path`` leads from this group to that of the documents: empty, or ending in a slash. Raise ValueError or TypeError
    for metadata of another kind.
    """
    consolidated = root.get("consolidated_metadata")
    if consolidated is None:
        return False
    if consolidated.get("kind") != "inline" or not isinstance(consolidated["metadata"], dict):
        raise ValueError("another kind of consolidated metadata")
    nodes = consolidated["metadata"]
    if path.count("/") > 1 and path.rstrip("/") not in nodes:
        return False
    for key, value in documents.items():
        node = (path + key).rstrip("/")
        if node:
            own = {name: entry for name, entry in value.items() if name != "consolidated_metadata"}
            kept = {name: nodes[node][name] for name in ("consolidated_metadata",) if name in nodes.get(node, {})}
            nodes[node] = {**own, **kept}
    return True


def _containing(location: Location, keys: tuple[str, ...]) -> Iterator[tuple[Location, str]]:
    """Yield a group and the groups that contain it, each with the path from there; empty, or ending in a slash."""
    folder, path = location, ""
    for _ in range(MAX_DEPTH):
        yield folder, path
        parent = folder.parent
        if parent is None:
            return
        path, folder = f"{folder.folder_name}/{path}", parent
        try:
            if all(folder.read(key) is None for key in keys):
                return
        except StoreError as error:
            warnings.warn(
                f"{error}; consolidated metadata there, if there is any, may not list the levels", stacklevel=2
            )
            return


def _update(folder: Location, key: str, change: Change) -> None:
    """Change a file that other processes may change as well; warn, naming the file, if that is not possible."""
    try:
        for _ in range(MAX_ATTEMPTS):
            raw, generation = folder.read_with_generation(key)
            if raw is None:
                return
            content = json.loads(raw)
            if not change(content):
                return
            text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            if folder.replace(key, text.encode(), generation):
                return
        reason = "other processes change it all the time"
    except (StoreError, RecursionError, *UNREADABLE) as error:
        reason = str(error)
    _warn(folder, key, reason)


def _warn(folder: Location, key: str, reason: str) -> None:
    warnings.warn(
        f"{folder.name.rstrip('/')}/{key}: its consolidated metadata could not be updated ({reason}), so readers that "
        "trust it do not see the levels; consolidate it again",
        stacklevel=3,
    )
