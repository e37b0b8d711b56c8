# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The binding to C++: converts buffers to views, calls C++ without the GIL, and converts statuses to exceptions.

It knows neither dtypes nor methods: both are numbers from the C++ tables. Arguments are checked in pooling.py.
"""

from cpython.buffer cimport PyBUF_STRIDED, PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libcpp cimport bool as cbool

import os


cdef extern from "tinypyr/tinypyr.hpp" namespace "tinypyr" nogil:
    const int max_ndim
    const int dtype_count

    cdef enum class Status(uint8_t):
        ok
        footprint
        out_of_memory
        interrupted
        incomplete

    cdef enum class Dtype(uint8_t):
        pass

    cdef enum class Method(uint8_t):
        pass

    cdef enum class Rounding(uint8_t):
        pass

    cdef enum class Ties(uint8_t):
        pass

    cdef cppclass DtypeRow:
        const char* name

    const DtypeRow dtype_rows[]

    cdef cppclass View:
        View()
        char* data
        int ndim
        int64_t shape[32]
        int64_t strides[32]
        Dtype dtype
        cbool swapped

    cdef cppclass Options:
        Options()
        Method method
        Rounding rounding
        Ties ties
        cbool has_ignore
        uint64_t ignore
        const int64_t* voxel_offset
        int threads
        int isa
        cbool (*keep_going)(void*) noexcept
        void* context

    cdef enum class BoundaryMode(uint8_t):
        pass

    cdef enum class Operation(uint8_t):
        pass

    cdef cppclass Sampling:
        Sampling()
        int order
        BoundaryMode boundary_mode
        double fill
        uint64_t fill_bits
        const int64_t* extent
        const int64_t* first
        double pad
        int isa

    Status c_sample_affine "tinypyr::sample_affine"(const View&, const double*, const double*, const int64_t*,
                                                    const View&, const Sampling&) noexcept
    Status c_combine_affine "tinypyr::combine_affine"(const View&, const double*, const double*, const int64_t*,
                                                      const View&, Operation, const View&, const Sampling&) noexcept
    Status c_sample_points "tinypyr::sample_points"(const View&, const View&, const View&, const Sampling&) noexcept
    Status c_pyramid "tinypyr::pyramid"(const View&, int, const int64_t (*)[32], const View*, const Options&,
                                       int64_t*, const View*) noexcept
    int64_t c_distinct "tinypyr::distinct"(const void*, int64_t, int, uint64_t*, int64_t) noexcept
    const char* const* c_instruction_sets "tinypyr::instruction_sets"(int*) noexcept
    int chosen_instruction_set() noexcept


def distinct(array, uint64_t[::1] found):
    """Write the distinct values of a contiguous array to found, as bits; return their number, or more than fits."""
    cdef Py_buffer buffer
    cdef int64_t count
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDED_RO)
    try:
        with nogil:
            count = c_distinct(
                buffer.buf, buffer.len // buffer.itemsize, <int>buffer.itemsize, &found[0], found.shape[0]
            )
    finally:
        PyBuffer_Release(&buffer)
    if count < 0:
        raise MemoryError("tinypyr: no memory for a table of labels")
    return count


def instruction_sets():
    """Return the names of the instruction sets that this machine can run, best first."""
    cdef int count = 0
    cdef const char* const* names = c_instruction_sets(&count)
    return [names[i].decode() for i in range(count)]


def dtype_names():
    """Return the numpy names of the compiled dtypes; the code of a dtype is its index in this list."""
    return [dtype_rows[i].name.decode() for i in range(dtype_count)]


cdef class _Levels:
    """Buffers and views of one call, which are released even after an error."""

    cdef Py_buffer* buffers
    cdef View* views
    cdef int64_t* numbers
    cdef int held, room

    def __cinit__(self, int room):
        self.held = 0
        self.room = room
        self.buffers = <Py_buffer*>malloc(room * sizeof(Py_buffer))
        self.views = <View*>malloc(room * sizeof(View))
        # one row of factors per level, the origin, and the returned counts
        self.numbers = <int64_t*>malloc((room * max_ndim + max_ndim + room) * sizeof(int64_t))
        if self.buffers == NULL or self.views == NULL or self.numbers == NULL:
            raise MemoryError("tinypyr: no memory for the views of one call")

    def __dealloc__(self):
        for i in range(self.held):
            PyBuffer_Release(&self.buffers[i])
        free(self.buffers)
        free(self.views)
        free(self.numbers)

    cdef int hold(self, object array, int code, bint swapped, int flags) except -1:
        cdef View* view = &self.views[self.held]
        cdef Py_buffer* buffer = &self.buffers[self.held]
        PyObject_GetBuffer(array, buffer, flags)
        self.held += 1
        view.data = <char*>buffer.buf
        view.ndim = buffer.ndim
        view.dtype = <Dtype>code
        view.swapped = swapped
        for axis in range(buffer.ndim):
            view.shape[axis] = buffer.shape[axis]
            view.strides[axis] = buffer.strides[axis]
        return 0


cdef class _Signals:
    cdef object error


cdef cbool _keep_going(void* context) noexcept with gil:
    """Check for Ctrl-C between two slabs of a long call; return False after it."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<_Signals>context).error = error
        return False
    return True


cdef int _usable_isa() except -1:
    cdef int isa = chosen_instruction_set()
    if isa < 0:
        raise ValueError(
            f"TINYPYR_ISA: {os.environ.get('TINYPYR_ISA')!r} is not one of the instruction sets usable here: "
            + ", ".join(instruction_sets())
        )
    return isa


def sample(array, int code, out, int out_code, int order, int extend, double fill, uint64_t fill_bits,
           int64_t[::1] extent, int64_t[::1] first, double pad, matrix=None, offset=None, start=None,
           coordinates=None, int float64_code=0, full=None, int full_code=0, int operation=0):
    """Fill out with interpolated values of a part of an array, for an affine map or at coordinates.

    With full (an array of out's extents), combine its voxels with these values by the operation.
    """
    cdef _Levels held = _Levels(3)
    cdef Sampling how
    cdef Status status
    cdef double[::1] entries, shift
    cdef int64_t[::1] begin
    how.isa = _usable_isa()
    held.hold(array, code, False, PyBUF_STRIDED_RO)
    held.hold(out, out_code, False, PyBUF_STRIDED)
    how.order = order
    how.boundary_mode = <BoundaryMode>extend
    how.fill = fill
    how.fill_bits = fill_bits
    how.extent = &extent[0]
    how.first = &first[0]
    how.pad = pad
    if coordinates is not None:
        held.hold(coordinates, float64_code, False, PyBUF_STRIDED_RO)
        with nogil:
            status = c_sample_points(held.views[0], held.views[2], held.views[1], how)
    elif full is not None:
        held.hold(full, full_code, False, PyBUF_STRIDED_RO)
        entries, shift, begin = matrix, offset, start
        with nogil:
            status = c_combine_affine(
                held.views[0], &entries[0], &shift[0], &begin[0], held.views[2], <Operation>operation, held.views[1],
                how,
            )
    else:
        entries, shift, begin = matrix, offset, start
        with nogil:
            status = c_sample_affine(held.views[0], &entries[0], &shift[0], &begin[0], held.views[1], how)
    if status == Status.out_of_memory:
        raise MemoryError("tinypyr: no memory for a strip of coordinates")
    if status != Status.ok:
        raise SystemError(f"tinypyr: status {<int>status} after the arguments were checked")


def pyramid(array, list outs, list factors, tuple origin, int code, bint swapped, int method, int rounding, int ties,
            ignore_bits, int threads, sums=None, int sums_code=0):
    """Fill outs, and sums of the last level's means; return the unproven modes per level, or None if all are proven."""
    cdef int levels = len(outs), ndim = array.ndim
    _usable_isa()  # raises an error if there is none; the core chooses the best set for the array
    cdef _Levels held = _Levels(levels + 2)
    cdef _Signals signals = _Signals()
    cdef Options options
    cdef Status status
    held.hold(array, code, swapped, PyBUF_STRIDED_RO)
    for out in outs:
        held.hold(out, code, swapped, PyBUF_STRIDED)
    cdef View* wanted = NULL
    if sums is not None:
        held.hold(sums, sums_code, False, PyBUF_STRIDED)
        wanted = held.views + levels + 1
    cdef int64_t* starts = held.numbers + levels * max_ndim
    cdef int64_t* unproven = starts + max_ndim
    for k in range(levels):
        for axis in range(ndim):
            held.numbers[k * max_ndim + axis] = factors[k][axis]
    for axis in range(ndim):
        starts[axis] = origin[axis]
    options.method = <Method>method
    options.rounding = <Rounding>rounding
    options.ties = <Ties>ties
    options.has_ignore = ignore_bits is not None
    options.ignore = 0 if ignore_bits is None else ignore_bits
    options.voxel_offset = starts
    options.threads = threads
    options.keep_going = _keep_going
    options.context = <void*>signals
    with nogil:
        status = c_pyramid(
            held.views[0], levels, <const int64_t (*)[32]>held.numbers, held.views + 1, options, unproven, wanted
        )
    if status == Status.interrupted:
        raise signals.error
    if status == Status.out_of_memory:
        raise MemoryError("tinypyr: no scratch memory for one row of footprints")
    if status == Status.footprint:
        raise ValueError(f"factor: {factors!r} puts more than 2**31 voxels into one footprint")
    if status != Status.ok:
        raise SystemError(f"tinypyr: status {<int>status} after the arguments were checked")
    for k in range(levels):
        if unproven[k]:
            return [unproven[k] for k in range(levels)]
    return None
