"""Chunks of zeros in shards of precomputed, which TensorStore leaves out in any case, so that they are added here.

TensorStore's driver of volumes ignores ``store_data_equal_to_fill_value`` for shards. Its driver of shards stores
anything, so chunks that hold only zeros are encoded once, and written to the shard after its other chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorstore as ts

from ..._pooling.arguments import Array

#: Entries of a scale that say where and how large it is, and not how a chunk is encoded.
OF_PLACE = ("key", "size", "voxel_offset", "resolution", "chunk_size", "sharding")


class ShardedZeros:
    """The chunks of zeros of a level. A call adds those of a box that was written.

    Parameters
    ----------
    handle : tensorstore.TensorStore
        The level, whose chunks are in shards; axes x, y, z and channel.
    context : tensorstore.Context
        Context of the level.
    """

    def __init__(self, handle: Any, context: Any) -> None:
        spec = handle.spec().to_json()
        self._scale = spec["scale_metadata"]
        self._volume = {**spec["multiscale_metadata"], "data_type": spec["dtype"]}
        base = {**spec["kvstore"], "path": f"{spec['kvstore']['path']}{self._scale['key']}/"}
        shards = {"driver": "neuroglancer_uint64_sharded", "metadata": self._scale["sharding"], "base": base}
        self._shards = ts.KvStore.open(shards, context=context).result()
        self._channels = self._volume["num_channels"]
        self._size, self._chunk = self._scale["size"], self._scale["chunk_size"]
        self._encoded: dict[tuple[int, ...], bytes] = {}

    def __call__(self, box: Sequence[tuple[int, int]], values: Array) -> None:
        """Write the chunks of a box that hold zeros only, given the voxels of the box."""
        box = list(box)
        spans = list(zip(box, self._chunk, strict=False))
        all_channels = box[3] == (0, self._channels)
        with ts.Transaction() as transaction:
            for index in itertools.product(*(range(a // chunk, -(-b // chunk)) for (a, b), chunk in spans)):
                first = [i * chunk for i, chunk in zip(index, self._chunk, strict=True)]
                last = [min(i + chunk, n) for i, chunk, n in zip(first, self._chunk, self._size, strict=True)]
                spatial = list(zip(first, last, box, strict=False))
                if values[tuple(slice(max(a, low) - low, min(b, high) - low) for a, b, (low, high) in spatial)].any():
                    continue
                key = self._number(index).to_bytes(8, "big")
                zeros = self._zeros(tuple(b - a for a, b in zip(first, last, strict=True)))
                if all_channels and all(low <= a and b <= high for a, b, (low, high) in spatial):
                    self._shards.with_transaction(transaction).write(key, zeros).result()
                else:
                    self._add_if_missing(key, zeros)

    def _add_if_missing(self, key: bytes, zeros: bytes) -> None:
        """Write a chunk unless there is one, or another write of a part of it comes first."""
        found = self._shards.read(key).result()
        if found.state == "missing":
            self._shards.write(key, zeros, if_equal=found.stamp.generation).result()

    def _number(self, index: tuple[int, ...]) -> int:
        """Return the number of a chunk: its compressed Morton code."""
        counts = [-(-n // chunk) for n, chunk in zip(self._size, self._chunk, strict=True)]
        bits = [(bit, axis) for bit in range(max(counts).bit_length()) for axis in range(3) if 1 << bit < counts[axis]]
        return sum((index[axis] >> bit & 1) << at for at, (bit, axis) in enumerate(bits))

    def _zeros(self, shape: tuple[int, ...]) -> bytes:
        """Return an encoded chunk of zeros."""
        if shape not in self._encoded:
            encoding = {name: value for name, value in self._scale.items() if name not in OF_PLACE}
            scale = {"key": "0", "size": shape, "chunk_size": shape, "resolution": [1, 1, 1], **encoding}
            spec: dict[str, Any] = {"driver": "neuroglancer_precomputed", "kvstore": "memory://"}
            spec |= {"multiscale_metadata": self._volume, "scale_metadata": scale}
            spec |= {"store_data_equal_to_fill_value": True}
            handle: Any = ts.open(spec, create=True, context=ts.Context()).result()
            handle.write(np.zeros(handle.shape, handle.dtype.numpy_dtype)).result()
            key = "0/" + "_".join(f"0-{n}" for n in shape)
            self._encoded[shape] = bytes(handle.kvstore.read(key).result().value)
        return self._encoded[shape]
