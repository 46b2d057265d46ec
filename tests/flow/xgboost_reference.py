# SPDX-License-Identifier: MIT
"""XGBoost's own C interface by ctypes: makes models, and says what they answer. (Debian's library has no need of its binding.)

OpenMP's library counts threads when it is loaded: one, so that what is trained is the same on every machine."""
import ctypes
import math
import os
import random
import struct
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "build" / "deps" / "lib" / "libxgboost.so"
needs_xgboost = pytest.mark.skipif(not LIBRARY.exists(), reason="tools/deps inference has not been run (libxgboost-dev)")
NAN = float("nan")
_library = None


def library():
    global _library
    if _library is None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for name in ("libgomp.so.1", "libdmlc.so.0"):
            ctypes.CDLL(str(LIBRARY.with_name(name)))
        _library = ctypes.CDLL(str(LIBRARY))
        _library.XGBGetLastError.restype = ctypes.c_char_p
    return _library


def call(name, *arguments):
    if getattr(library(), name)(*arguments) != 0:
        raise RuntimeError(library().XGBGetLastError().decode())


def rows_of(seed, rows, columns, missing=0.1):
    """Floats in rows, some of them missing."""
    source = random.Random(seed)
    return [NAN if source.random() < missing else struct.unpack("<f", struct.pack("<f", source.uniform(-1, 1)))[0]
            for _ in range(rows * columns)]


class Matrix:
    def __init__(self, rows, columns, values, labels=None):
        self.handle = ctypes.c_void_p()
        data = (ctypes.c_float * len(values))(*values)
        call("XGDMatrixCreateFromMat", data, ctypes.c_uint64(rows), ctypes.c_uint64(columns), ctypes.c_float(NAN),
             ctypes.byref(self.handle))
        if labels is not None:
            call("XGDMatrixSetFloatInfo", self.handle, b"label", (ctypes.c_float * rows)(*labels), ctypes.c_uint64(rows))

    def __del__(self):
        call("XGDMatrixFree", self.handle)


class Booster:
    def __init__(self, matrix=None, **settings):
        self.handle, self.matrix = ctypes.c_void_p(), matrix
        matrices = (ctypes.c_void_p * 1)(matrix.handle) if matrix else None
        call("XGBoosterCreate", matrices, ctypes.c_uint64(1 if matrix else 0), ctypes.byref(self.handle))
        for name, value in {"nthread": 1, "seed": 0, "verbosity": 0, **settings}.items():
            call("XGBoosterSetParam", self.handle, name.encode(), str(value).encode())

    def train(self, rounds):
        for number in range(rounds):
            call("XGBoosterUpdateOneIter", self.handle, number, self.matrix.handle)
        return self

    def save(self, path):
        call("XGBoosterSaveModel", self.handle, os.fsencode(path))

    def predict(self, rows, columns, values):
        """(shape, the bytes of the floats), as Python's Booster.predict() shapes them."""
        matrix = Matrix(rows, columns, values)
        shape, rank = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        result = ctypes.POINTER(ctypes.c_float)()
        call("XGBoosterPredictFromDMatrix", self.handle, matrix.handle,
             b'{"type":0,"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false}', ctypes.byref(shape),
             ctypes.byref(rank), ctypes.byref(result))
        shape = shape[:rank.value]
        return shape, ctypes.string_at(result, 4 * math.prod(shape))

    def __del__(self):
        call("XGBoosterFree", self.handle)


def trained(objective, rounds=8, rows=300, columns=6, seed=1, **settings):
    """A booster on made-up rows whose label follows the first columns."""
    values = rows_of(seed, rows, columns)
    classes = settings.get("num_class", 2)
    labels = []
    for row in range(rows):
        known = [value for value in values[row * columns:row * columns + 3] if value == value]
        labels.append(float(int((sum(known) + 3) / 6 * classes) % classes))
    return Booster(Matrix(rows, columns, values, labels), objective=objective, max_depth=4, **settings).train(rounds)
