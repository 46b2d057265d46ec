# SPDX-License-Identifier: MIT
"""A multi-layer perceptron of any size with random weights, as ONNX.

Weights are random, not constant: a model that answers the same to any input proves nothing. They are scaled
so that activations neither vanish nor explode, and the same for the same seed everywhere.
"""
import array
import math
import random
import struct

import onnx_file as onnx

BLOCK = 1 << 16


def weights(seed, rows, columns):
    """rows x columns floats of about unit gain: blocks of one random block, each rotated by another amount."""
    source = random.Random(seed)
    scale = math.sqrt(3.0 / rows)
    block = array.array("f", (source.uniform(-scale, scale) for _ in range(BLOCK))).tobytes()
    out = bytearray()
    size = rows * columns * 4
    while len(out) < size:
        at = 4 * source.randrange(BLOCK)
        out += block[at:] + block[:at]
    return bytes(out[:size])


def mlp(size, width=1024, seed=1, batch="n"):
    """The bytes of a model of about `size` bytes: x [n, width] -> y [n, width], ReLU between layers."""
    layers = max(1, round(size / (width * width * 4)))
    nodes, initializers, last = [], [], "x"
    for i in range(layers):
        initializers.append(onnx.tensor("w%d" % i, onnx.FLOAT, [width, width], weights(seed + i, width, width)))
        out = "y" if i == layers - 1 else "h%d" % i
        if i == layers - 1:
            nodes.append(onnx.node("MatMul", [last, "w%d" % i], [out]))
        else:
            nodes.append(onnx.node("MatMul", [last, "w%d" % i], ["m%d" % i]))
            nodes.append(onnx.node("Relu", ["m%d" % i], [out]))
        last = out
    return onnx.model(nodes, inputs=[onnx.value("x", onnx.FLOAT, [batch, width])],
                      outputs=[onnx.value("y", onnx.FLOAT, [batch, width])], initializers=initializers)


def external_mlp(folder, size, width=1024, seed=1):
    """The path of such a model whose weights lie in another file, as those above 2 GB have them: large.onnx, weights.bin.
    Its output is the last layer's, y<layers - 1>."""
    layers = max(1, round(size / (width * width * 4)))
    nodes, initializers, last = [], [], "x"
    some = [weights(seed + i, width, width) for i in range(min(layers, 8))]
    with open(folder / "weights.bin", "wb") as file:
        for i in range(layers):
            file.write(some[i % 8])
            initializers.append(onnx.external("w%d" % i, onnx.FLOAT, [width, width], "weights.bin", 4 * i * width * width,
                                              4 * width * width))
            nodes.append(onnx.node("MatMul", [last, "w%d" % i], ["y%d" % i]))
            last = "y%d" % i
    (folder / "large.onnx").write_bytes(onnx.model(nodes, [onnx.value("x", onnx.FLOAT, ["n", width])],
                                                   [onnx.value(last, onnx.FLOAT, ["n", width])],
                                                   initializers=initializers))
    return folder / "large.onnx"


def some_input(width=1024, seed=7):
    source = random.Random(seed)
    return [struct.unpack("<f", struct.pack("<f", source.uniform(-1, 1)))[0] for _ in range(width)]
