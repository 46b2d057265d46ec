# SPDX-License-Identifier: MIT
"""XGBoost by its C library (Debian: libxgboost-dev), as far as training and predicting on a list of rows needs it.

$LAMINA_XGBOOST may name the library. One thread: what a function has of a processor is shared.
"""
import ctypes
import os

NAMES = [os.environ.get("LAMINA_XGBOOST"), "libxgboost.so.0", "libxgboost.so", "/opt/lamina/lib/libxgboost.so"]


def _load():
    failure = None
    for name in filter(None, NAMES):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            failure = error
    raise ImportError(f"XGBoost's library is not here: {failure}")


_library = _load()
_library.XGBGetLastError.restype = ctypes.c_char_p


def _check(status):
    if status != 0:
        raise RuntimeError(_library.XGBGetLastError().decode(errors="replace"))


class Matrix:
    def __init__(self, rows, labels=None):
        width = len(rows[0])
        if any(len(row) != width for row in rows):
            raise ValueError("all rows have the same number of columns")
        flat = (ctypes.c_float * (len(rows) * width))(*(value for row in rows for value in row))
        self.handle = ctypes.c_void_p()
        _check(_library.XGDMatrixCreateFromMat(flat, ctypes.c_uint64(len(rows)), ctypes.c_uint64(width),
                                               ctypes.c_float(float("nan")), ctypes.byref(self.handle)))
        if labels is not None:
            if len(labels) != len(rows):
                raise ValueError("there is one label for each row")
            values = (ctypes.c_float * len(labels))(*labels)
            _check(_library.XGDMatrixSetFloatInfo(self.handle, b"label", values, ctypes.c_uint64(len(labels))))

    def __del__(self):
        if self.handle:
            _library.XGDMatrixFree(self.handle)


class Booster:
    def __init__(self, parameters):
        self.parameters, self.handle, self.matrix = parameters, ctypes.c_void_p(), None

    def train(self, rows, labels, rounds):
        self.matrix = Matrix(rows, labels)  # the booster keeps pointing to it
        handles = (ctypes.c_void_p * 1)(self.matrix.handle)
        _check(_library.XGBoosterCreate(handles, ctypes.c_uint64(1), ctypes.byref(self.handle)))
        for name, value in self.parameters.items():
            _check(_library.XGBoosterSetParam(self.handle, name.encode(), str(value).encode()))
        for i in range(rounds):
            _check(_library.XGBoosterUpdateOneIter(self.handle, ctypes.c_int(i), self.matrix.handle))

    def predict(self, rows):
        matrix = Matrix(rows)
        count, values = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
        _check(_library.XGBoosterPredict(self.handle, matrix.handle, ctypes.c_int(0), ctypes.c_uint(0), ctypes.c_int(0),
                                         ctypes.byref(count), ctypes.byref(values)))
        return values[:count.value]

    def save(self, path):
        """.json or .ubj: the ending decides."""
        _check(_library.XGBoosterSaveModel(self.handle, path.encode()))

    def __del__(self):
        if self.handle:
            _library.XGBoosterFree(self.handle)
