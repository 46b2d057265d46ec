# SPDX-License-Identifier: MIT
"""Writes small ONNX files without the onnx package: protobuf by hand.

    model(nodes=[node("Identity", ["x"], ["y"])],
          inputs=[value("x", FLOAT, ["batch", 3])], outputs=[value("y", FLOAT, ["batch", 3])])

Field numbers: onnx/onnx.proto, IR version 8 (10 for 4-bit integers and 8-bit floats).
"""
import struct

FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, UINT32, UINT64 = range(1, 14)
COMPLEX64, COMPLEX128, BFLOAT16, FLOAT8E4M3FN, FLOAT8E4M3FNUZ, FLOAT8E5M2, FLOAT8E5M2FNUZ, UINT4, INT4 = range(14, 23)


def _varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _int(field, number):
    return _varint(field << 3) + _varint(number)


def _bytes(field, data):
    if isinstance(data, str):
        data = data.encode()
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _float(field, number):
    return _varint(field << 3 | 5) + struct.pack("<f", number)


def tensor(name, datatype, dims, raw):
    return (b"".join(_int(1, d) for d in dims) + _int(2, datatype) + _bytes(8, name) + _bytes(9, raw))


def external(name, datatype, dims, location, offset, length):
    """A tensor whose bytes lie in another file."""
    entries = [("location", location), ("offset", str(offset)), ("length", str(length))]
    return (b"".join(_int(1, d) for d in dims) + _int(2, datatype) + _bytes(8, name)
            + b"".join(_bytes(13, _bytes(1, k) + _bytes(2, v)) for k, v in entries) + _int(14, 1))


def _tensor_type(datatype, shape):
    body = _int(1, datatype)
    if shape is not None:
        dims = b"".join(_bytes(1, _bytes(2, d) if isinstance(d, str) else b"" if d is None else _int(1, d))
                        for d in shape)
        body += _bytes(2, dims)
    return _bytes(1, body)


def value(name, datatype, shape):
    """shape: numbers, symbolic names or None; None as a whole is an unknown shape."""
    return _bytes(1, name) + _bytes(2, _tensor_type(datatype, shape))


def sequence(name, datatype, shape):
    return _bytes(1, name) + _bytes(2, _bytes(4, _bytes(1, _tensor_type(datatype, shape))))


def attribute(name, number):
    if isinstance(number, bytes):  # a tensor
        return _bytes(1, name) + _bytes(5, number) + _int(20, 4)
    if isinstance(number, float):
        return _bytes(1, name) + _float(2, number) + _int(20, 1)
    if isinstance(number, list):
        return _bytes(1, name) + b"".join(_int(8, n) for n in number) + _int(20, 7)
    return _bytes(1, name) + _int(3, number) + _int(20, 2)


def node(operation, inputs, outputs, **attributes):
    return (b"".join(_bytes(1, i) for i in inputs) + b"".join(_bytes(2, o) for o in outputs)
            + _bytes(4, operation) + b"".join(_bytes(5, attribute(k, v)) for k, v in attributes.items()))


def model(nodes, inputs, outputs, initializers=(), opset=19, ir_version=10):
    graph = (b"".join(_bytes(1, n) for n in nodes) + _bytes(2, "g")
             + b"".join(_bytes(5, t) for t in initializers)
             + b"".join(_bytes(11, i) for i in inputs) + b"".join(_bytes(12, o) for o in outputs))
    return _int(1, ir_version) + _bytes(2, "lamina-tests") + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _int(2, opset))
