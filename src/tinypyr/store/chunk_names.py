"""Comparison of a level's file names with those of its chunks, because TensorStore reads missing chunks as empty."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import StoreError
from .formats import FORMATS
from .location import Location
from .volume import StoredVolume

#: Upper limit for the number of files of a level that are compared.
MAX_FILES = 1 << 17
#: Suffixes of chunks that were compressed as files, and the commands that decompress them.
COMPRESSED = {".gz": "gunzip", ".br": "brotli -d", ".zstd": "unzstd"}
#: Pattern of the names of chunks in all formats, compressed or not.
LIKE_A_CHUNK = re.compile(r"(c[./])?-?\d+([-._/]-?\d+)*(\.\w+)?")


def holds_chunks(volume: StoredVolume, number: int) -> bool:
    """Return whether a level has any chunk; true for stores that cannot be listed quickly, such as object stores.

    Raises
    ------
    StoreError
        If there are chunks, but under names by which TensorStore does not find them.
    """
    path = volume.paths[number]
    location = volume.location.child(path)
    keys = _keys(location)
    if keys is None:
        first = FORMATS[volume.format].first_chunk(volume.location, path)
        if first is not None and location.read(first) is None:
            for suffix in COMPRESSED:
                if location.read(first + suffix) is not None:
                    raise StoreError(_compressed(location, first, suffix))
        return True
    format = FORMATS[volume.format]
    pattern, has_suffix = format.chunk_pattern(volume.location, path), format.TRAITS.chunks_may_have_suffix
    has_chunks, unexpected = False, None
    for key in keys:
        if pattern.fullmatch(key):
            if not has_suffix:
                return True
            has_chunks = True  # (there may be compressed ones too)
        elif has_suffix and (suffix := key[key.rfind(".") :]) in COMPRESSED:
            if pattern.fullmatch(key.removesuffix(suffix)):
                raise StoreError(_compressed(location, key.removesuffix(suffix), suffix))
        elif unexpected is None and LIKE_A_CHUNK.fullmatch(key):
            unexpected = key
    if unexpected is not None and not has_chunks:
        raise StoreError(
            f"{location.name}: no file is named as its metadata says that chunks are, but there is {unexpected}; the "
            "volume would be read as empty. Correct the metadata (dimension_separator, chunk_key_encoding) or the files"
        )
    return has_chunks


def empty_level_0(volume: StoredVolume) -> str | None:
    """Return a sentence about a level 0 without any chunk; None if there are chunks."""
    if holds_chunks(volume, 0):
        return None
    path = f"{volume.location.name.rstrip('/')}/{volume.paths[0]}".rstrip("/")
    return f"{path} has no chunks, so every voxel of it is the fill value; check that it is complete"


def _compressed(location: Location, key: str, suffix: str) -> str:
    """Return the message for a chunk that is compressed under another name."""
    return (
        f"{location.name.rstrip('/')}/{key}{suffix}: chunks compressed under another name (KEY{suffix}) cannot be read "
        f"yet, and would be read as empty; decompress them ({COMPRESSED[suffix]}), or write the volume with "
        "cloud-volume's compress=False"
    )


def _keys(location: Location) -> Iterator[str] | None:
    """Return the keys of a level without metadata, up to MAX_FILES; None if listing them may take long."""
    if not location.is_local:
        return None
    return (key for key in location.first_keys(MAX_FILES) if not _is_metadata(key.rpartition("/")[2]))


def _is_metadata(name: str) -> bool:
    return name.startswith(".") or name in ("zarr.json", "attributes.json", "info")
