"""bioimage-py's downsampling, on tinypyr: ``from tinypyr.compat.bioimage_py import downsample``.

The same call makes the same blocks of the same output, by threads, other processes of this machine, or jobs of Slurm.
What differs is meant to:

- Output voxel ``o`` lies at input voxel ``o * factor``, whatever the extents (there: ``o * input / output`` extents,
  which is not the factor where that does not divide). So at any order a voxel is the input's own, bit for bit, labels
  of 64 bits too, and with ``anti_aliasing`` that of the smoothed input: splines go through what they interpolate.
  (There, orders 2, 4 and 5 blur, as they are not filtered first.)
- No block shape, number of workers or backend changes a bit.
- Smoothed integers are rounded, half to even (there: truncated, which darkens); float16, all integers and NaN (which
  spreads as far as the filter reaches) are taken.
- Any number of dimensions. Shapes are checked, an output that cannot hold every value is refused, and a run is
  resumed only with the arguments with which it began (its input may have been repaired meanwhile).
- Only what is needed is read: no halo where nothing is smoothed.
- Without ``block_shape``, blocks are whole chunks of the output, about as large as the input's chunks become.

Written from that package's documentation and from what it does (version 0.2). ``anti_aliasing`` needs scipy, the other
processes TensorStore: ``pip install "tinypyr[store,dask]"``. For whole pyramids, with metadata: `tinypyr.store.build`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._job import Job, downscale_shape, whole_numbers
from ._runners import RunnerConfig, RunnerError, SlurmConfig, distributed, local

__all__ = ["RunnerConfig", "RunnerError", "SlurmConfig", "downsample", "downscale_shape"]


def downsample(
    input: Any,
    scale_factor: int | Sequence[int],
    output: Any = None,
    *,
    order: int = 0,
    anti_aliasing: bool = False,
    block_shape: Sequence[int] | None = None,
    job_type: str = "local",
    job_config: Any = None,
    num_workers: int = 1,
    mask: Any = None,
    block_ids: Sequence[int] | None = None,
    resume_from: str | os.PathLike[str] | None = None,
) -> Any:
    """Downsample an array by whole factors, block by block.

    Parameters
    ----------
    input : array
        Of numpy, zarr, h5py, dask or TensorStore, or anything with a shape, a dtype and slices.
    scale_factor : int or sequence of int
        For all axes, or one per axis.
    output : array, optional
        Of the shape that `downscale_shape` gives; by default a new numpy array of the input's dtype.
    order : int
        0 to 5. At these places all of them give the same; see the module.
    anti_aliasing : bool
        Smooth first: a Gaussian of (factor - 1) / 2 voxels along each axis.
    block_shape : sequence of int, optional
        Of the output, whole chunks of it.
    job_type : {"local", "subprocess", "slurm"}
        Threads, other processes, or an array of jobs. For the last two, arrays must lie in files: arrays of zarr or
        TensorStore.
    job_config : RunnerConfig or SlurmConfig, optional
        Of those two.
    num_workers : int
        Threads, processes, or jobs at once.
    mask : array, optional
        Of the output's shape: where it is 0, the output stays as it is.
    block_ids : sequence of int, optional
        Only these blocks: counted along the last axis first.
    resume_from : path, optional
        The folder that a run of other processes left when it failed; only what is missing is made.

    Returns
    -------
    array
        The output.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it, and nothing has been written.
    RunnerError
        Blocks failed; ``failed_block_ids`` says which, ``tmp_folder`` what to resume from. All others are made.
    StoreError
        Slurm does not take the jobs.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.bioimage_py import downsample
    >>> downsample(np.arange(7), 3)
    array([0, 3, 6])
    >>> downsample(np.array([[0, 0, 90, 90]] * 4, np.uint8), 2, anti_aliasing=True)
    array([[ 0, 80],
           [ 0, 80]], dtype=uint8)
    """
    if job_type not in ("local", "subprocess", "slurm"):
        raise ValueError(f"job_type: {job_type!r} is not 'local', 'subprocess' or 'slurm'")
    if block_ids is not None and resume_from is not None:
        raise ValueError("block_ids, resume_from: not both; what is resumed has its blocks")
    if job_type == "local" and resume_from is not None:
        raise ValueError("resume_from: of 'subprocess' and 'slurm'; threads leave nothing, give them block_ids")
    if job_type != "local" and output is None:
        raise ValueError(f"output: needed for {job_type!r}, an array in files")
    workers = whole_numbers("num_workers", [num_workers])[0]
    job = Job.checked(input, scale_factor, output, order, anti_aliasing, block_shape, mask)
    ids: Sequence[int] = range(len(job))
    if block_ids is not None:
        ids = sorted(set(whole_numbers("block_ids", block_ids, least=0)))
        if ids and ids[-1] >= len(job):
            raise ValueError(f"block_ids: {ids[-1]}, but there are {len(job)} blocks, counted from 0")
    if job_type == "local":
        local(job, ids, workers)
    else:
        distributed(job, ids, workers, job_type, job_config, resume_from)
    return job.output if output is None else output
