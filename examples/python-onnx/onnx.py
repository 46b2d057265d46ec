# SPDX-License-Identifier: MIT
"""ONNX Runtime for numpy arrays, by ctypes: no Python package needed, only the shared library.

    model = onnx.Model(os.environ["MODEL_PATH"])
    outputs = model.run({"x": numpy.zeros((1, 3), numpy.float32)})     # {"y": array(...)}

The library is the one that Lamina shows to every function ($LAMINA_ONNXRUNTIME). Its C interface is one table of
functions that only ever grows, so a function's place in it (onnxruntime_c_api.h, struct OrtApi) never changes.
Where a Python package of ONNX Runtime is at hand, `onnxruntime.InferenceSession(path).run(None, inputs)` does the
same.
"""
import ctypes
import os

import numpy

API_VERSION = 17
PLACES = {
    "GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
    "SetIntraOpNumThreads": 24, "SessionGetInputCount": 30, "SessionGetOutputCount": 31, "SessionGetInputName": 36,
    "SessionGetOutputName": 37, "CreateTensorWithDataAsOrtValue": 49, "GetTensorMutableData": 51,
    "GetTensorElementType": 60, "GetDimensionsCount": 61, "GetDimensions": 62, "GetTensorTypeAndShape": 65,
    "CreateCpuMemoryInfo": 69, "GetAllocatorWithDefaultOptions": 78, "ReleaseStatus": 93, "ReleaseValue": 96,
    "ReleaseTensorTypeAndShapeInfo": 99,
}
TYPES = {1: numpy.float32, 2: numpy.uint8, 3: numpy.int8, 4: numpy.uint16, 5: numpy.int16, 6: numpy.int32,
         7: numpy.int64, 9: numpy.bool_, 10: numpy.float16, 11: numpy.float64, 12: numpy.uint32, 13: numpy.uint64}
NUMBERS = {numpy.dtype(kind): number for number, kind in TYPES.items()}
FATAL, DEVICE_ALLOCATOR, DEFAULT_MEMORY = 4, 0, 0


class Library:
    """The table of functions. Each call returns what it makes, or raises RuntimeError with the library's words."""

    def __init__(self, path):
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the environment is made; it would report to its maker
        base = ctypes.CDLL(path).OrtGetApiBase
        base.restype = ctypes.POINTER(ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32))
        table = base()[0](API_VERSION)
        if not table:
            raise RuntimeError("%s is older than ONNX Runtime 1.%d" % (path, API_VERSION))
        self._table = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))

    def _function(self, name, result, count):
        return ctypes.CFUNCTYPE(result, *[ctypes.c_void_p] * count)(self._table[PLACES[name]])

    def call(self, name, *arguments):
        status = self._function(name, ctypes.c_void_p, len(arguments))(*arguments)
        if status:
            message = self._function("GetErrorMessage", ctypes.c_char_p, 1)(status).decode()
            self.release("ReleaseStatus", status)
            raise RuntimeError(message)

    def make(self, name, *arguments, kind=ctypes.c_void_p):
        """Of functions whose last argument is where the result goes."""
        result = kind()
        self.call(name, *arguments, ctypes.addressof(result))
        return result.value

    def release(self, name, thing):
        self._function(name, None, 1)(thing)


class Model:
    def __init__(self, path, threads=1):
        self.library = library = Library(os.environ["LAMINA_ONNXRUNTIME"])
        self._environment = library.make("CreateEnv", FATAL, b"python")
        options = library.make("CreateSessionOptions")
        library.call("SetIntraOpNumThreads", options, threads)
        self._session = library.make("CreateSession", self._environment, os.fsencode(path), options)
        self._memory = library.make("CreateCpuMemoryInfo", DEVICE_ALLOCATOR, DEFAULT_MEMORY)
        allocator = library.make("GetAllocatorWithDefaultOptions")

        def names(what):
            count = library.make("SessionGet%sCount" % what, self._session, kind=ctypes.c_size_t)
            return [library.make("SessionGet%sName" % what, self._session, i, allocator, kind=ctypes.c_char_p).decode()
                    for i in range(count)]

        self.inputs, self.outputs = names("Input"), names("Output")

    def run(self, inputs, outputs=None):
        """Arrays in by name, arrays out by name; `outputs` chooses some."""
        library, wanted = self.library, outputs or self.outputs
        arrays = {name: numpy.ascontiguousarray(array) for name, array in inputs.items()}
        values = []
        results = (ctypes.c_void_p * len(wanted))()
        try:
            for array in arrays.values():
                values.append(self._tensor(array))
            library.call("Run", self._session, None, _names(arrays), (ctypes.c_void_p * len(values))(*values),
                         len(values), _names(wanted), len(wanted), results)
            return {name: self._array(value) for name, value in zip(wanted, results)}
        finally:
            for value in [*values, *results]:
                if value:
                    library.release("ReleaseValue", value)

    def _tensor(self, array):
        """A tensor over the array's own memory."""
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        return self.library.make("CreateTensorWithDataAsOrtValue", self._memory, array.ctypes.data, array.nbytes, shape,
                                 array.ndim, NUMBERS[array.dtype])

    def _array(self, value):
        """A copy of a tensor's elements."""
        library = self.library
        info = library.make("GetTensorTypeAndShape", value)
        try:
            kind = TYPES[library.make("GetTensorElementType", info, kind=ctypes.c_int)]
            rank = library.make("GetDimensionsCount", info, kind=ctypes.c_size_t)
            shape = (ctypes.c_int64 * rank)()
            library.call("GetDimensions", info, shape, rank)
        finally:
            library.release("ReleaseTensorTypeAndShapeInfo", info)
        array = numpy.empty(tuple(shape), kind)
        ctypes.memmove(array.ctypes.data, library.make("GetTensorMutableData", value), array.nbytes)
        return array


def _names(names):
    return (ctypes.c_char_p * len(names))(*[name.encode() for name in names])
