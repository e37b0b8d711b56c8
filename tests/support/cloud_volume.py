"""Write or read precomputed volumes with cloud-volume: ``PYTHON cloud_volume.py write|read FOLDER``.

It runs in an environment that has cloud-volume, and not tinypyr. FOLDER/volumes.json describes the volumes to write, or
lists the names of those to read; FOLDER/errors.json gets the errors by name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cloudvolume  # type: ignore[import-not-found, unused-ignore]
import numpy as np

SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "hash": "identity",
    "preshift_bits": 3,
    "minishard_bits": 0,
    "shard_bits": 0,
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}


def write(folder: Path, volume: dict[str, Any]) -> None:
    """Write a volume from FOLDER/SOURCE.npy, and save the voxels as cloud-volume reads them."""
    voxels = np.load(folder / volume["source"])
    info = cloudvolume.CloudVolume.create_new_info(
        num_channels=1,
        layer_type=volume["type"],
        data_type=voxels.dtype.name,
        encoding=volume["encoding"],
        resolution=[4, 4, 40],
        voxel_offset=[0, 0, 0],
        volume_size=voxels.shape,
        chunk_size=volume["chunks"],
    )
    if volume["sharded"]:
        info["scales"][0]["sharding"] = SHARDING
    path = f"file://{folder / volume['name']}"
    store = cloudvolume.CloudVolume(path, info=info, compress=volume["compress"], progress=False)
    store.commit_info()
    store[:] = voxels[..., np.newaxis]
    np.save(folder / f"{volume['name']}.0.npy", np.asarray(store[:])[..., 0])


def read(folder: Path, name: str) -> None:
    """Save all levels of a volume, of which every chunk must exist."""
    for mip in cloudvolume.CloudVolume(f"file://{folder / name}").available_mips:
        store = cloudvolume.CloudVolume(f"file://{folder / name}", mip=mip, fill_missing=False, progress=False)
        np.save(folder / f"{name}.{mip}.npy", np.asarray(store[:])[..., 0])


def main() -> None:
    """Run a command on all volumes of a folder."""
    command, folder = sys.argv[1], Path(sys.argv[2])
    errors = {}
    for volume in json.loads((folder / "volumes.json").read_text()):
        try:
            if command == "write":
                write(folder, volume)
            else:
                read(folder, volume)
        except Exception as error:  # (any, of any of its codecs)
            errors[volume["name"] if command == "write" else volume] = repr(error)
    (folder / "errors.json").write_text(json.dumps(errors))


if __name__ == "__main__":
    main()
