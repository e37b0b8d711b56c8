"""Whether the files of a level are named like its chunks: TensorStore reads a chunk that it does not find as empty."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import StoreError
from .formats import FORMATS
from .location import Location
from .volume import Volume

#: Files of a level that are looked at.
MOST_FILES = 1 << 17
#: Suffixes of compressed copies of chunks, and what undoes them.
COMPRESSED = {".gz": "gunzip", ".br": "brotli -d", ".zstd": "unzstd"}
#: Names that a chunk may have in some format, compressed or not.
LIKE_A_CHUNK = re.compile(r"(c[./])?-?\d+([-._/]-?\d+)*(\.\w+)?")


def holds_chunks(volume: Volume, number: int) -> bool:
    """Return whether a level has any chunk. True where nobody can tell soon, as on object stores.

    Raises
    ------
    StoreError
        Chunks are there under names by which TensorStore would not find them.
    """
    path = volume.paths[number]
    place = volume.place.child(path)
    keys = _keys(place)
    if keys is None:
        return True
    pattern = FORMATS[volume.format].chunk_pattern(volume.place, path)
    found, stranger = False, None
    for key in keys:
        if pattern.fullmatch(key):
            if volume.format != "precomputed":
                return True
            found = True
        elif volume.format == "precomputed" and (suffix := key[key.rfind(".") :]) in COMPRESSED:
            if pattern.fullmatch(key.removesuffix(suffix)):
                raise StoreError(
                    f"{place.name}/{key}: chunks compressed under another name (KEY{suffix}) cannot be read yet, and "
                    f"would be taken for empty; decompress them ({COMPRESSED[suffix]}), or write the volume with "
                    "cloud-volume's compress=False"
                )
        elif stranger is None and LIKE_A_CHUNK.fullmatch(key):
            stranger = key
    if stranger is not None and not found:
        raise StoreError(
            f"{place.name}: no file is named as its metadata says that chunks are, but there is {stranger}; the volume "
            "would be read as empty. Correct the metadata (dimension_separator, chunk_key_encoding) or the files"
        )
    return found


def _keys(place: Location) -> Iterator[str] | None:
    """The keys of a level's files but for metadata, up to MOST_FILES; None if listing them may take long."""
    if not place.is_local:
        return None
    return (key for key in place.first_keys(MOST_FILES) if not _is_metadata(key.rpartition("/")[2]))


def _is_metadata(name: str) -> bool:
    return name.startswith(".") or name in ("zarr.json", "attributes.json", "info")
