"""The functions and module layout of tinybrain on tinypyr.

To migrate a pipeline from tinybrain 1.7, change one import::

    import tinypyr.compat.tinybrain as tinybrain

Correct results of tinybrain are reproduced bit for bit, including rounding and tie rules; incorrect ones are
corrected. The rules below come from tinybrain's documentation and observed behaviour, not from its source.
For packages that import tinybrain themselves, call `install` first. For exact pyramids, with rounding to nearest and a
mode that is exact at every level, use :mod:`tinypyr` itself.

**Same as tinybrain**

=========================  =================================================================================
averaging, integers        the sum of the voxels divided by their number, rounded towards zero
averaging, 8 and 16 bits   exact sums are passed from level to level. They restart from the rounded level (for
                           signed integers: rounded down) after 4 levels of (2, 2), after 8 (8 bits) or 5
                           (16 bits) of (2, 2, 2), and never with other factors
averaging, 32 and 64 bits  every level is computed from the rounded level before
averaging, float32         one level of (2, 2) or (2, 2, 2): added in double precision, rounded once
averaging, sparse          zeros are excluded from sum and number, also in the sums passed between levels
segmentation, 2 axes       COUNTLESS: a pair among the first three voxels of a 2x2 block wins, else the
                           fourth voxel; sparse: a nonzero pair, else the first nonzero voxel among the
                           fourth, first, third and second. For (1, 2, 2), the third axis varies fastest.
                           4, 8, ...: repeated
segmentation, (2, 2, 2)    the most frequent label, ties to the first with axis 0 fastest
segmentation, (4, 4, 4)    COUNTLESS 3D, as for every power of two on three axes other than (2, 2, 2): the
                           most frequent label, ties to the first with axis 2 fastest; if no label occurs
                           three times, a pair among the first seven voxels, else the eighth
segmentation, others       stride for factors that are not powers of two (also if sparse), and for
                           non-integer labels with factors other than (2, 2) and (2, 2, 2)
num_mips                   segmentation, maxima, minima and strides: each level from the level before; 0
                           returns []
return value               a list of arrays, finest first, all in Fortran order
=========================  =================================================================================

**Corrected**

=========================  =================================================================================
odd extents                partial blocks at the edge are pooled from the voxels that exist, at every level
                           (tinybrain: black columns, rows of the next slice, reads out of bounds, doubled
                           edges, errors)
memory order               (2, 2, 2) segmentation does not depend on it: C, Fortran and strided arrays give
                           the same labels
more than 3 dimensions     every function keeps trailing axes (tinybrain: heap corruption, errors)
wide integers              sums of 32-bit and 64-bit integers neither overflow nor pass through float32
labels                     the largest value of the dtype is a valid label (255 became 6); the input is never
                           written
sparse                     applies to repeated steps and after sums restart, for every dtype and both factors;
                           (4, 4, 4) is (2, 2, 2) repeated. Averages with other factors weigh voxels of the
                           base, not blocks
floats                     means are added in double precision at every level, in an order that does not
                           depend on num_mips or the position in the row (for float64, and for float32 with
                           num_mips > 1, tinybrain's last bits depend on both)
dtypes                     bool, float16 and byte-swapped arrays are supported everywhere. The mean of bool is
                           the majority
power-of-two factors       (2, 1, 1), (4, 2, 1), (2, 2, 4), ... compute modes, by halving every axis whose
                           factor is not reached yet
small arrays               axes of size 1, more levels than the array can be halved, and zero-size arrays are
                           supported
inputs                     read-only and memory-mapped arrays, factors given as whole floats, and trailing
                           ones in the factor are supported
factors                    (2,) pools axis 0 only; (2, 2, 1, 2) for three axes and 1.5 are errors
identity                   factors of 1 return num_mips copies (striding returned [], others the input itself)
names                      downsample_with_min_pooling is exported; every function accepts ``sparse``
=========================  =================================================================================

``downsample_with_striding`` returns new arrays, not views of the input.
"""

from . import accelerated, downsample
from ._install import install
from .downsample import (
    DimensionError,
    downsample_segmentation,
    downsample_with_averaging,
    downsample_with_max_pooling,
    downsample_with_min_pooling,
    downsample_with_striding,
)

#: The tinybrain release whose behaviour this module reproduces.
__version__ = "1.7.0"

__all__ = [
    "DimensionError",
    "__version__",
    "accelerated",
    "downsample",
    "downsample_segmentation",
    "downsample_with_averaging",
    "downsample_with_max_pooling",
    "downsample_with_min_pooling",
    "downsample_with_striding",
    "install",
]
