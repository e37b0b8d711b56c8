# cython: language_level=3, boundscheck=False, wraparound=False, binding=False, freethreading_compatible=True
"""The binding to C++: converts buffers to views, calls C++ without the GIL, and converts statuses to exceptions.

It knows neither dtypes nor methods: both are numbers from the C++ tables. Arguments are checked in
_pooling/run.py and resampling/sampler.py.
"""

from cpython.buffer cimport (
    PyBUF_STRIDED, PyBUF_STRIDED_RO, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libcpp cimport bool as cbool

import os
import threading

import numpy


cdef extern from "tinypyr/tinypyr.hpp" namespace "tinypyr" nogil:
    const int max_ndim
    const int dtype_count

    cdef enum class Status(uint8_t):
        ok
        bad_isa
        footprint
        out_of_memory
        interrupted

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

cdef object _ndarray = numpy.ndarray, _empty = numpy.empty, _empty_like = numpy.empty_like


def distinct(array, uint64_t[::1] values):
    """Write the distinct values of a contiguous array to values, as bits; return their number, or more than fits."""
    cdef Py_buffer buffer
    cdef int64_t count
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDED_RO)
    try:
        with nogil:
            count = c_distinct(
                buffer.buf, buffer.len // buffer.itemsize, <int>buffer.itemsize, &values[0], values.shape[0]
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


cdef class _Views:
    """Buffers and views of the arrays of one call. The buffers are released even after an error."""

    cdef View* views
    cdef Py_buffer* buffers
    cdef int count

    cdef int reserve(self, int room) except -1:
        # (A method, because __cinit__ would get its argument in a tuple, and one allocation: both count in small calls.)
        self.views = <View*>malloc(room * (sizeof(View) + sizeof(Py_buffer)))
        if self.views == NULL:
            raise MemoryError("tinypyr: no memory for the views of one call")
        self.buffers = <Py_buffer*>(self.views + room)
        return 0

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            PyBuffer_Release(&self.buffers[i])
        free(self.views)

    cdef int add(self, object array, Dtype dtype, cbool swapped, int flags) except -1:
        cdef View* view = &self.views[self.count]
        cdef Py_buffer* buffer = &self.buffers[self.count]
        cdef int axis
        PyObject_GetBuffer(array, buffer, flags)
        self.count += 1
        view.data = <char*>buffer.buf
        view.ndim = buffer.ndim
        view.dtype = dtype
        view.swapped = swapped
        for axis in range(buffer.ndim):
            view.shape[axis] = buffer.shape[axis]
            view.strides[axis] = buffer.strides[axis]
        return 0

    cdef cbool last_can_be_filled(self) noexcept:
        """Return whether the last array is writable, and surely shares memory neither with itself nor with the others."""
        cdef Py_buffer* last = &self.buffers[self.count - 1]
        cdef AddressRange of_last = _address_range(last), other
        cdef int i
        if last.readonly or _overlaps_itself(last):
            return False
        for i in range(self.count - 1):
            other = _address_range(&self.buffers[i])
            if of_last.begin < other.end and other.begin < of_last.end:
                return False
        return True


cdef struct AddressRange:
    const char* begin
    const char* end


cdef cbool _overlaps_itself(const Py_buffer* buffer) noexcept:
    """Return whether two voxels may share memory. May return true for layouts that no allocator produces."""
    cdef Py_ssize_t strides[32]  # in ascending order
    cdef Py_ssize_t lengths[32]
    cdef Py_ssize_t stride, reach = buffer.itemsize
    cdef int axis, i, count = 0
    if buffer.len == 0:
        return False
    for axis in range(buffer.ndim):
        if buffer.shape[axis] == 1:
            continue
        stride = buffer.strides[axis] if buffer.strides[axis] >= 0 else -buffer.strides[axis]
        i = count
        while i > 0 and strides[i - 1] > stride:
            strides[i] = strides[i - 1]
            lengths[i] = lengths[i - 1]
            i -= 1
        strides[i] = stride
        lengths[i] = buffer.shape[axis]
        count += 1
    for i in range(count):
        if strides[i] < reach:
            return True
        reach += strides[i] * (lengths[i] - 1)
    return False


cdef AddressRange _address_range(const Py_buffer* buffer) noexcept:
    """Return the addresses between which all voxels lie."""
    cdef AddressRange addresses
    cdef Py_ssize_t reach
    cdef int axis
    addresses.begin = addresses.end = <const char*>buffer.buf
    if buffer.len == 0:
        return addresses
    addresses.end += buffer.itemsize
    for axis in range(buffer.ndim):
        reach = (buffer.shape[axis] - 1) * buffer.strides[axis]
        if reach < 0:
            addresses.begin += reach
        else:
            addresses.end += reach
    return addresses


cdef cbool _keep_going(void* errors) noexcept with gil:
    """Check for Ctrl-C during a long call; return False after it."""
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<list>errors).append(error)
        return False
    return True


cdef unsigned long _main_thread = threading.main_thread().ident


def _find_main_thread():
    """Note the main thread, which is another one after a fork."""
    global _main_thread
    _main_thread = PyThread_get_thread_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_find_main_thread)


cdef object _unusable_isa():
    return ValueError(
        f"TINYPYR_ISA: {os.environ.get('TINYPYR_ISA')!r} is not one of the instruction sets usable here: "
        + ", ".join(instruction_sets())
    )


def sample(array, int code, out, int out_code, int order, int boundary_mode, double fill,
           uint64_t fill_bits, int64_t[::1] extent, int64_t[::1] first, double pad, matrix=None, offset=None, start=None,
           coordinates=None, int float64_code=0, full=None, int full_code=0, int operation=0):
    """Fill out with interpolated values of a part of an array, for an affine map or at coordinates.

    With full (an array of out's extents), combine its voxels with these values by the operation.
    """
    cdef _Views views = _Views.__new__(_Views)
    cdef Sampling how
    cdef Status status
    cdef double[::1] entries, shift
    cdef int64_t[::1] begin
    how.isa = chosen_instruction_set()
    if how.isa < 0:
        raise _unusable_isa()
    views.reserve(3)
    views.add(array, <Dtype>code, False, PyBUF_STRIDED_RO)
    views.add(out, <Dtype>out_code, False, PyBUF_STRIDED)
    how.order = order
    how.boundary_mode = <BoundaryMode>boundary_mode
    how.fill = fill
    how.fill_bits = fill_bits
    how.extent = &extent[0]
    how.first = &first[0]
    how.pad = pad
    if coordinates is not None:
        views.add(coordinates, <Dtype>float64_code, False, PyBUF_STRIDED_RO)
        with nogil:
            status = c_sample_points(views.views[0], views.views[2], views.views[1], how)
    elif full is not None:
        views.add(full, <Dtype>full_code, False, PyBUF_STRIDED_RO)
        entries, shift, begin = matrix, offset, start
        with nogil:
            status = c_combine_affine(
                views.views[0], &entries[0], &shift[0], &begin[0], views.views[2], <Operation>operation, views.views[1],
                how,
            )
    else:
        entries, shift, begin = matrix, offset, start
        with nogil:
            status = c_sample_affine(views.views[0], &entries[0], &shift[0], &begin[0], views.views[1], how)
    if status == Status.out_of_memory:
        raise MemoryError("tinypyr: no memory for a strip of coordinates")
    if status != Status.ok:
        raise SystemError(f"tinypyr: status {<int>status} after the arguments were checked")


cdef class PyramidCall:
    """The checked arguments of a call, without its arrays. It never changes, so threads can share it."""

    cdef Options options
    cdef Dtype dtype
    cdef cbool swapped
    cdef int levels
    cdef int64_t (*factors)[32]  # one row per level
    cdef int64_t voxel_offset[32]
    cdef list shapes

    def __cinit__(self, list factors, tuple voxel_offset, list shapes, int code, bint swapped, int method, int rounding,
                  int ties, ignore_bits, int threads):
        cdef int k, axis, ndim = len(voxel_offset)
        self.levels = len(factors)
        self.factors = <int64_t (*)[32]>malloc(self.levels * sizeof(self.voxel_offset))
        if self.factors == NULL:
            raise MemoryError("tinypyr: no memory for the factors of one call")
        for axis in range(ndim):
            self.voxel_offset[axis] = voxel_offset[axis]
            for k in range(self.levels):
                self.factors[k][axis] = factors[k][axis]
        self.shapes = shapes
        self.dtype = <Dtype>code
        self.swapped = swapped
        self.options.method = <Method>method
        self.options.rounding = <Rounding>rounding
        self.options.ties = <Ties>ties
        self.options.has_ignore = ignore_bits is not None
        self.options.ignore = 0 if ignore_bits is None else ignore_bits
        self.options.voxel_offset = self.voxel_offset
        self.options.threads = threads
        self.options.keep_going = _keep_going

    def __dealloc__(self):
        free(self.factors)

    def allocate_and_fill(self, array):
        """Return new levels in the memory order of the array, and the unproven modes."""
        cdef _Views views = self.views_of(array)
        cdef object dtype = array.dtype
        cdef list outs = []
        # (The first two forms are special cases of the third one that take half its time.)
        for shape in self.shapes:
            if PyBuffer_IsContiguous(views.buffers, b"C"):
                out = _empty(shape, dtype)
            elif PyBuffer_IsContiguous(views.buffers, b"F"):
                out = _empty(shape, dtype, "F")
            else:
                out = _empty_like(array, dtype, "K", False, shape)
            outs.append(out)
            views.add(out, self.dtype, self.swapped, PyBUF_STRIDED)
        return outs, self.run(views, NULL)

    def fill(self, array, list outs, sums=None, int sums_code=0):
        """Fill checked arrays, and sums of the last level's means. Return the unproven modes."""
        cdef _Views views = self.views_of(array)
        cdef View* view_of_sums = NULL
        for out in outs:
            views.add(out, self.dtype, self.swapped, PyBUF_STRIDED)
        if sums is not None:
            view_of_sums = views.views + views.count
            views.add(sums, <Dtype>sums_code, False, PyBUF_STRIDED)
        return self.run(views, view_of_sums)

    def fill_if_plain(self, array, outs):
        """Fill arrays that a quick look finds valid, and return the list of them, and the unproven modes.

        Return None, without having written anything, for other arrays: they need more checks, or are not valid.
        """
        if type(outs) is not list and type(outs) is not tuple or len(outs) != self.levels:
            return None
        cdef _Views views = self.views_of(array)
        cdef object dtype = array.dtype
        cdef list levels = list(outs)
        for k in range(self.levels):
            out, shape = levels[k], self.shapes[k]
            if type(out) is not _ndarray or out.shape != shape:
                return None
            if out.dtype is not dtype and out.dtype != dtype:
                return None
            views.add(out, self.dtype, self.swapped, PyBUF_STRIDED_RO)
            if not views.last_can_be_filled():
                return None
        return levels, self.run(views, NULL)

    cdef _Views views_of(self, array):
        """Return the view of the input, with room for those of the levels and of the sums."""
        cdef _Views views = _Views.__new__(_Views)
        views.reserve(self.levels + 2)
        views.add(array, self.dtype, self.swapped, PyBUF_STRIDED_RO)
        return views

    cdef object run(self, _Views views, const View* sums):
        """Fill the views; return the unproven modes per level, or None if all are proven."""
        cdef int64_t unproven[64]
        cdef Options options = self.options
        cdef Status status
        cdef list errors = []
        cdef int k
        options.context = <void*>errors
        # Python handles signals in its main thread only. Other threads must not ask for the GIL during a call: when the
        # interpreter ends, CPython before 3.14 ends a thread that does, which C++ functions do not survive.
        if PyThread_get_thread_ident() != _main_thread:
            options.keep_going = NULL
        with nogil:
            status = c_pyramid(views.views[0], self.levels, self.factors, views.views + 1, options, unproven, sums)
        if status != Status.ok:
            self.raise_error(status, errors)
        for k in range(self.levels):
            if unproven[k]:
                return [number for number in unproven[:self.levels]]
        return None

    cdef int raise_error(self, Status status, list errors) except -1:
        if status == Status.interrupted:
            raise errors[0]
        if status == Status.bad_isa:
            raise _unusable_isa()
        if status == Status.out_of_memory:
            raise MemoryError("tinypyr: no scratch memory for one row of footprints")
        if status == Status.footprint:
            factors = [tuple([self.factors[k][axis] for axis in range(len(self.shapes[k]))]) for k in range(self.levels)]
            raise ValueError(f"factor: {factors!r} puts more than 2**31 voxels into one footprint")
        raise SystemError(f"tinypyr: status {<int>status} after the arguments were checked")


cdef class CallCache:
    """Checked calls by their arguments, which are hashable and do not change."""

    cdef dict calls  # arguments: (arguments, call)

    def __cinit__(self):
        self.calls = {}

    def get(self, tuple arguments):
        """Return the call with the same arguments, of the same types, or None."""
        try:
            entry = self.calls.get(arguments)
        except TypeError:  # an argument has no hash
            return None
        if entry is None or not _have_same_types(arguments, <tuple>(<tuple>entry)[0]):
            return None
        return (<tuple>entry)[1]

    def add(self, tuple arguments, call):
        if len(self.calls) >= 256:
            self.calls.clear()
        self.calls[arguments] = arguments, call


cdef cbool _have_same_types(tuple arguments, tuple others):
    """Return whether equal arguments mean the same: True equals 1 and 2.0 equals 2, but they are checked differently."""
    cdef Py_ssize_t i
    for i in range(len(arguments)):
        value, other = arguments[i], others[i]
        if value is other:
            continue
        if type(value) is not type(other):
            return False
        if type(value) is tuple and not _have_same_types(<tuple>value, <tuple>other):
            return False
    return True
