"""tinybrain's functions and module layout on tinypyr's core.

::

    import tinypyr.compat.tinybrain as tinybrain

is all that a pipeline written for tinybrain 1.7 changes. Where tinybrain's answer is right, this module's
is the same bit for bit, its rounding and its tie rules included; where it is wrong, this module's is right.
Nothing here is made from tinybrain's source: the rules come from its documentation and from watching it
work. For exact pyramids, with rounding to nearest and modes that are modes at every level, use
:mod:`tinypyr` itself.

**Kept**

=========================  =================================================================================
averaging, integers        the sum of the voxels over their number, rounded towards zero
averaging, 8 and 16 bits   sums are carried from level to level and start again from the rounded level (for
                           signed integers: rounded down) after 4 levels of (2, 2), after 8 (8 bits) or 5
                           (16 bits) of (2, 2, 2), never with other factors
averaging, 32 and 64 bits  every level is computed from the rounded level before
averaging, float32         one level of (2, 2) or (2, 2, 2): added as doubles, rounded once
averaging, sparse          zeros are left out of sum and number, through all carried levels
segmentation, 2 axes       COUNTLESS: a pair among the first three voxels of a 2x2 block wins, else the
                           fourth voxel; sparse: a pair that is not 0, else the first that is not 0 of the
                           fourth, first, third and second voxel. For (1, 2, 2) the third axis is taken
                           before the second. 4, 8, ...: repeated
segmentation, (2, 2, 2)    the most frequent label, ties to the one seen first with axis 0 fastest
segmentation, (4, 4, 4)    COUNTLESS 3D, as for every power of two on three axes that is not (2, 2, 2): the
                           most frequent label, ties to the first with axis 2 fastest; when no label occurs
                           three times, a pair among the first seven voxels, else the eighth
segmentation, the rest     factors that are no powers of two stride (also if sparse), and so do labels that
                           are no integers with factors other than (2, 2) and (2, 2, 2)
num_mips                   segmentation, maxima, minima and strides: each level from the level before; 0
                           gives []
answers                    a mutable list of arrays, finest first, all in Fortran order
=========================  =================================================================================

**Mended**

=========================  =================================================================================
odd extents                blocks at the edge are made from the voxels that exist, at every level (black
                           columns, rows of the next slice, reads out of bounds, doubled edges, errors)
memory order               the same answer for C, Fortran and strided arrays in (2, 2, 2) segmentation
more than 3 dimensions     trailing axes are carried along in every function (heap corruption, errors)
wide integers              sums of 32 and 64 bits do not overflow and do not pass through float32
labels                     the top of the range is a label like any other (255 became 6); the input is never
                           written
sparse                     kept through repeated steps and after the carry starts again, for every dtype and
                           both factors; (4, 4, 4): as (2, 2, 2) repeated. Averages with other factors weigh
                           voxels, not blocks, from the base
floats                     means are added as doubles at every level, in one order whatever num_mips and the
                           position in the row (float32 with num_mips > 1, float64: tinybrain's last bits
                           depend on these)
dtypes                     bool, float16 and byte-swapped arrays everywhere. The mean of bool is the
                           majority
power-of-two factors       (2, 1, 1), (4, 2, 1), (2, 2, 4), ...: modes, halving every axis that still has to
                           be halved
small arrays               axes of size 1, more levels than the array can be halved, zero-size arrays
inputs                     read-only and memory-mapped arrays; factors of whole floats; trailing ones in the
                           factor
factors                    (2,) pools axis 0 alone; (2, 2, 1, 2) on three axes and 1.5 are errors
identity                   factors of 1 give num_mips copies (striding gave [], others the input itself)
names                      downsample_with_min_pooling is exported; every function takes ``sparse``
=========================  =================================================================================

``downsample_with_striding`` returns arrays of its own, not views of the input.
"""

from . import accelerated, downsample
from .downsample import (
    DimensionError,
    downsample_segmentation,
    downsample_with_averaging,
    downsample_with_max_pooling,
    downsample_with_min_pooling,
    downsample_with_striding,
)

#: The release whose behaviour this module follows.
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
]
