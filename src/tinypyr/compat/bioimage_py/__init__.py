"""The downsampling of bioimage-py on tinypyr.

To migrate, change the import: ``from tinypyr.compat.bioimage_py import downsample``. The same call writes the same
blocks of the same output, with threads, with other processes of this machine, or with Slurm jobs. The intended
differences are:

- Output voxel ``o`` is at input voxel ``o * factor``, whatever the shape. (bioimage-py multiplies by the ratio of the
  extents, which is not the factor if the factor does not divide the extent.) Splines interpolate their data, so at
  these positions every ``order`` returns the input's voxel bit for bit, 64-bit labels included. With
  ``anti_aliasing``, it returns the voxel of the smoothed input. (Orders 2, 4 and 5 of bioimage-py blur, because they
  have no prefilter.)
- The output is bit-identical for any block shape, number of workers and job type.
- Smoothed integers are rounded half to even instead of truncated, which would darken the image. float16, all integer
  dtypes and NaN are supported; NaN spreads as far as the filter reaches.
- Arrays may have any number of dimensions. Shapes are validated, an output dtype that cannot hold every input value is
  refused, and a run resumes only with the same arguments; the contents of the input are not compared.
- Blocks are read without a halo unless they are smoothed.
- Inputs may be sources that compute their voxels from other sources. Other processes get them pickled.
- The default ``block_shape`` is a whole number of output chunks, about the size of an input chunk after downsampling.

Written from the documentation and the observed behaviour of version 0.2. ``anti_aliasing`` requires scipy, and job
types other than "local" require TensorStore: ``pip install "tinypyr[store,dask]"``. To write whole pyramids with
metadata, use `tinypyr.store.build`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ._job import Job, downscale_shape, whole_numbers
from ._runners import distributed, local
from ._settings import RunnerConfig, RunnerError, SlurmConfig

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
    """Downsample an array by integer factors, block by block.

    Parameters
    ----------
    input : array
        Array of numpy, zarr, h5py, dask or TensorStore, or any object with a shape, a dtype and slices.
    scale_factor : int or sequence of int
        One factor for all axes, or one per axis.
    output : array, optional
        Array of the shape that `downscale_shape` returns. The default is a new numpy array of the input's dtype.
    order : int
        Order of the spline, 0 to 5. All orders return the same voxels (see the module's docstring).
    anti_aliasing : bool
        Smooth the input first, with a Gaussian of standard deviation (factor - 1) / 2 along each axis.
    block_shape : sequence of int, optional
        Shape of a block of the output: a whole number of its chunks. If the output has shards, any shape; all blocks
        that share a shard are written by one worker, one after another.
    job_type : {"local", "subprocess", "slurm"}
        Run blocks in threads, in other processes, or in a Slurm job array. The last two require an output in files
        (zarr or TensorStore), and an input and a mask in files, or objects that can be pickled.
    job_config : RunnerConfig or SlurmConfig, optional
        Settings of the job types "subprocess" and "slurm".
    num_workers : int
        Number of threads, processes, or simultaneous jobs.
    mask : array, optional
        Array of the output's shape. Output voxels are left unchanged where it is 0.
    block_ids : sequence of int, optional
        Numbers of the blocks to write, in raster order with the last axis fastest. The default is all blocks.
    resume_from : path, optional
        Folder that a failed "subprocess" or "slurm" run has left. Only the missing blocks are written.

    Returns
    -------
    array
        The output.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid. The message names it, and nothing has been written.
    RunnerError
        If blocks failed; all other blocks are written. The attribute ``failed_block_ids`` lists the failed blocks, and
        ``tmp_folder`` is the folder to resume from.
    StoreError
        If Slurm refuses the jobs.

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
        raise ValueError("block_ids, resume_from: give only one, not both; a resumed run keeps its blocks")
    if job_type == "local" and resume_from is not None:
        raise ValueError(
            "resume_from: only distributed runs ('subprocess', 'slurm') can be resumed; for 'local', repeat the failed "
            "block_ids"
        )
    if job_type != "local" and output is None:
        raise ValueError(f"output: {job_type!r} needs an array in files; give one")
    workers = whole_numbers("num_workers", [num_workers])[0]
    job = Job.checked(input, scale_factor, output, order, anti_aliasing, block_shape, mask)
    numbers: Sequence[int] = range(len(job))
    if block_ids is not None:
        numbers = sorted(set(whole_numbers("block_ids", block_ids, least=0)))
        if numbers and numbers[-1] >= len(job):
            raise ValueError(f"block_ids: {numbers[-1]} does not exist; blocks are numbered from 0 to {len(job) - 1}")
    if job_type == "local":
        local(job, numbers, workers)
    else:
        distributed(job, numbers, workers, job_type, job_config, resume_from)
    return job.output if output is None else output
