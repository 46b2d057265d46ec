# SPDX-License-Identifier: MIT
"""What a caller of lamina-model can send and gets back, datatype by datatype and mistake by mistake."""
import json
import struct

import pytest

import onnx_file as onnx
from model_function import (binary, bytes_of, error, infer, model_function, needs_library, pack_floats, seeded,
                            tensor)

pytestmark = needs_library


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


def write(folder, name, content):
    path = folder / (name + ".onnx")
    path.write_bytes(content)
    return path


# ---- every datatype

JSON_TYPES = [
    ("BOOL", onnx.BOOL, [True, False]),
    ("UINT8", onnx.UINT8, [0, 255]),
    ("UINT16", onnx.UINT16, [0, 65535]),
    ("UINT32", onnx.UINT32, [0, 4294967295]),
    ("UINT64", onnx.UINT64, [0, 18446744073709551615]),
    ("INT8", onnx.INT8, [-128, 127]),
    ("INT16", onnx.INT16, [-32768, 32767]),
    ("INT32", onnx.INT32, [-2147483648, 2147483647]),
    ("INT64", onnx.INT64, [-9223372036854775808, 9223372036854775807]),
    ("FP32", onnx.FLOAT, [0.1, "Infinity"]),
    ("FP64", onnx.DOUBLE, [0.1, -1e300]),
    ("BYTES", onnx.STRING, ["a\u0000b", "gr\u00fc\u00df\U0001f600"]),
]
BINARY_TYPES = [
    ("FP16", onnx.FLOAT16, b"\x00\x3c\xff\x7b"),
    ("BF16", onnx.BFLOAT16, b"\x80\x3f\x00\xc0"),
    ("FP8E4M3FN", onnx.FLOAT8E4M3FN, b"\x38\xb8"),
    ("FP8E4M3FNUZ", onnx.FLOAT8E4M3FNUZ, b"\x38\xb8"),
    ("FP8E5M2", onnx.FLOAT8E5M2, b"\x3c\xbc"),
    ("FP8E5M2FNUZ", onnx.FLOAT8E5M2FNUZ, b"\x3c\xbc"),
]


def identity(folder, name, number):
    return write(folder, name, onnx.model([onnx.node("Identity", ["x"], ["y"])],
                                          [onnx.value("x", number, ["n", 2])],
                                          [onnx.value("y", number, ["n", 2])], opset=21))


@pytest.mark.parametrize("datatype, number, data", JSON_TYPES, ids=lambda p: p if isinstance(p, str) else None)
def test_json_datatypes_come_back_as_they_went(build, folder, datatype, number, data):
    with model_function(build, identity(folder, datatype, number)) as api:
        assert api.invoke({}).json["inputs"] == [{"name": "x", "datatype": datatype, "shape": [-1, 2]}]
        y = infer(api, tensor("x", datatype, [1, 2], [data]))["y"]
        assert y == {"name": "y", "datatype": datatype, "shape": [1, 2], "data": data}
        empty = infer(api, tensor("x", datatype, [0, 2], []))["y"]
        assert empty == {"name": "y", "datatype": datatype, "shape": [0, 2], "data": []}
        # And in bytes, of which the second invocation sends what the first answered.
        packed = bytes_of(infer(api, tensor("x", datatype, [1, 2], data),
                                parameters={"binary_data_base64": True})["y"])
        y = infer(api, binary("x", datatype, [1, 2], packed))["y"]
        assert y["data"] == data


@pytest.mark.parametrize("datatype, number, data", BINARY_TYPES, ids=lambda p: p if isinstance(p, str) else None)
def test_binary_datatypes_come_back_as_they_went(build, folder, datatype, number, data):
    with model_function(build, identity(folder, datatype, number)) as api:
        assert api.invoke({}).json["inputs"][0]["datatype"] == datatype
        y = infer(api, binary("x", datatype, [1, 2], data))["y"]
        assert (y["datatype"], y["shape"], bytes_of(y)) == (datatype, [1, 2], data)
        kind, message = error(api, {"inputs": [tensor("x", datatype, [1, 2], [1, 2])]})
        assert kind == "Function.InvalidInput"
        assert message.startswith("input 'x': %s has no form in JSON" % datatype)


@pytest.mark.parametrize("datatype, number, values", [("UINT4", onnx.UINT4, [1, 15]), ("INT4", onnx.INT4, [-8, 7])],
                         ids=["UINT4", "INT4"])
def test_four_bit_integers_lie_two_to_a_byte(build, folder, datatype, number, values):
    packed = bytes([(values[0] & 15) | (values[1] & 15) << 4])
    path = write(folder, datatype, onnx.model(
        [onnx.node("DequantizeLinear", ["x", "scale"], ["y"]), onnx.node("QuantizeLinear", ["y", "scale", "zero"], ["z"])],
        [onnx.value("x", number, ["n"])], [onnx.value("y", onnx.FLOAT, ["n"]), onnx.value("z", number, ["n"])],
        initializers=[onnx.tensor("scale", onnx.FLOAT, [], pack_floats([0.5])), onnx.tensor("zero", number, [], b"\0")],
        opset=21))
    with model_function(build, path) as api:
        outputs = infer(api, binary("x", datatype, [2], packed))
        assert outputs["y"]["data"] == [value / 2 for value in values]
        assert (outputs["z"]["datatype"], outputs["z"]["shape"], bytes_of(outputs["z"])) == (datatype, [2], packed)
        odd = infer(api, binary("x", datatype, [3], packed + b"\0"))
        assert odd["y"]["data"] == [value / 2 for value in values] + [0.0]
        assert error(api, {"inputs": [tensor("x", datatype, [2], values)]})[1].endswith("in place of data")


def test_strings_are_bytes_when_binary(build, folder):
    raw = struct.pack("<I", 3) + b"\xff\x00\xfe" + struct.pack("<I", 0)
    with model_function(build, identity(folder, "raw", onnx.STRING)) as api:
        y = infer(api, binary("x", "BYTES", [1, 2], raw), parameters={"binary_data_base64": True})["y"]
        assert bytes_of(y) == raw
        # In JSON what is not UTF-8 cannot be told exactly.
        assert infer(api, binary("x", "BYTES", [1, 2], raw))["y"]["data"] == ["\ufffd\x00\ufffd", ""]


def test_half_precision_is_computed(build, folder):
    path = write(folder, "half", onnx.model([onnx.node("Add", ["x", "x"], ["y"])],
                                            [onnx.value("x", onnx.FLOAT16, [2])],
                                            [onnx.value("y", onnx.FLOAT16, [2])]))
    with model_function(build, path) as api:
        y = infer(api, binary("x", "FP16", [2], struct.pack("<ee", 1.5, -2)))["y"]
        assert struct.unpack("<ee", bytes_of(y)) == (3.0, -4.0)


# ---- shapes, outputs, optional inputs, other values

@pytest.fixture(scope="module")
def sums(folder):
    """s = a + b + bias, d = a - b; bias has a default, b may be broadcast."""
    return write(folder, "sums", onnx.model(
        [onnx.node("Add", ["a", "b"], ["t"]), onnx.node("Add", ["t", "bias"], ["s"]),
         onnx.node("Sub", ["a", "b"], ["d"])],
        [onnx.value("a", onnx.FLOAT, ["batch", 3]), onnx.value("b", onnx.FLOAT, [None, 3]),
         onnx.value("bias", onnx.FLOAT, [1])],
        [onnx.value("s", onnx.FLOAT, ["batch", 3]), onnx.value("d", onnx.FLOAT, ["batch", 3])],
        initializers=[onnx.tensor("bias", onnx.FLOAT, [1], pack_floats([0.5]))]))


A = tensor("a", "FP32", [2, 3], [[1, 2, 3], [4, 5, 6]])
B = tensor("b", "FP32", [1, 3], [10, 20, 30])


def test_inputs_in_any_order_and_chosen_outputs(build, sums):
    with model_function(build, sums) as api:
        outputs = infer(api, B, A)
        assert list(outputs) == ["s", "d"]
        assert outputs["s"]["data"] == [11.5, 22.5, 33.5, 14.5, 25.5, 36.5]
        assert outputs["d"]["data"] == [-9.0, -18.0, -27.0, -6.0, -15.0, -24.0]
        assert list(infer(api, A, B, outputs=[{"name": "d"}])) == ["d"]
        assert list(infer(api, A, B, outputs=[{"name": "d"}, {"name": "s"}])) == ["d", "s"]
        assert list(infer(api, A, B, outputs=[])) == ["s", "d"]
        mixed = infer(api, A, B, outputs=[{"name": "s", "parameters": {"binary_data_base64": True}}, {"name": "d"}])
        assert bytes_of(mixed["s"]) == pack_floats([11.5, 22.5, 33.5, 14.5, 25.5, 36.5])
        assert "data" not in mixed["s"] and "parameters" not in mixed["d"]


def test_an_input_with_a_default_may_be_given(build, sums):
    with model_function(build, sums) as api:
        listed = {value["name"]: value for value in api.invoke({}).json["inputs"]}
        assert listed["bias"]["parameters"] == {"optional": True}
        assert infer(api, A, B, tensor("bias", "FP32", [1], [0]))["s"]["data"][0] == 11.0


def test_identity_of_the_answer(build, sums):
    with model_function(build, sums) as api:
        answer = api.invoke({"id": "call-7", "inputs": [A, B]})
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json["id"] == "call-7"
        assert answer.json["model_name"] == "under-test"
        metadata = api.invoke(b"").json
        assert metadata["name"] == "under-test"
        assert metadata["platform"] == "onnxruntime_onnx"
        assert metadata["versions"] == [answer.json["model_version"]]
        assert answer.headers["Lamina-Model-Digest"] == answer.json["model_version"]


def test_mistakes_are_named(build, sums):
    wide = tensor("a", "FP32", [1, 4], [0, 0, 0, 0])
    table = [
        (b"{", "the request is not JSON"),
        (b'"text"', "the request must be a JSON object"),
        ({"instances": []}, 'the request must have "inputs"'),
        ({"inputs": [A]}, "input 'b' is missing: expected FP32 [-1,3]"),
        ({"inputs": [A, B, A]}, "input 'a' is given 2 times"),
        ({"inputs": [A, B, tensor("c", "FP32", [1], [1])]}, "the model has no input 'c': its inputs are 'a', 'b', 'bias'"),
        ({"inputs": [wide, B]}, "input 'a': expected FP32 [batch,3], given FP32 [1,4]"),
        ({"inputs": [tensor("a", "FP32", [3], [1, 2, 3]), B]}, "input 'a': expected FP32 [batch,3], given FP32 [3]"),
        ({"inputs": [tensor("a", "INT64", [1, 3], [1, 2, 3]), B]}, "expected FP32 [batch,3], given INT64 [1,3]"),
        ({"inputs": [tensor("a", "FP32", [1, 3], [1, 2]), B]}, "data has 2 elements, its shape [1,3] holds 3"),
        ({"inputs": [tensor("a", "FP32", [1, 3], [1, 2, "3"]), B]}, "input 'a': element 2 is string"),
        ({"inputs": [A, B], "outputs": [{"name": "z"}]}, "the model has no output 'z': its outputs are 's', 'd'"),
        ({"inputs": [A, B], "outputs": [{"name": "s"}, {"name": "s"}]}, "output 's' is asked for twice"),
    ]
    with model_function(build, sums) as api:
        for request, part in table:
            kind, message = error(api, request)
            assert kind == "Function.InvalidInput", request
            assert part in message, message
        assert infer(api, A, B)["s"]["data"][0] == 11.5  # and none of them did any harm


def test_what_only_the_engine_can_tell(build, sums):
    with model_function(build, sums) as api:
        kind, message = error(api, {"inputs": [A, tensor("b", "FP32", [3, 3], [0] * 9)]})
        assert kind in ("Function.InvalidInput", "Function.InferenceFailed")
        assert "2" in message and "3" in message  # the two sizes that do not go together
        assert infer(api, A, B)["s"]["data"][0] == 11.5


def test_an_output_that_is_no_tensor(build, folder):
    path = write(folder, "bag", onnx.model(
        [onnx.node("SequenceConstruct", ["x", "x"], ["bag"]), onnx.node("Identity", ["x"], ["y"])],
        [onnx.value("x", onnx.FLOAT, [1])], [onnx.sequence("bag", onnx.FLOAT, [1]), onnx.value("y", onnx.FLOAT, [1])]))
    x = tensor("x", "FP32", [1], [7])
    with model_function(build, path) as api:
        assert [output["name"] for output in api.invoke({}).json["outputs"]] == ["y"]
        assert list(infer(api, x)) == ["y"]
        kind, message = error(api, {"inputs": [x], "outputs": [{"name": "bag"}]})
        assert kind == "Function.InvalidInput"
        assert "output 'bag' is a sequence, not a tensor: see docs/export-to-onnx.md" in message


def test_a_scalar_and_an_unknown_shape(build, folder):
    path = write(folder, "scalar", onnx.model([onnx.node("Mul", ["x", "k"], ["y"])],
                                              [onnx.value("x", onnx.FLOAT, None), onnx.value("k", onnx.FLOAT, [])],
                                              [onnx.value("y", onnx.FLOAT, None)]))
    with model_function(build, path) as api:
        k = tensor("k", "FP32", [], [2])
        assert infer(api, tensor("x", "FP32", [2, 2], [1, 2, 3, 4]), k)["y"]["data"] == [2.0, 4.0, 6.0, 8.0]
        assert infer(api, tensor("x", "FP32", [], [1.5]), k)["y"] == {"name": "y", "datatype": "FP32", "shape": [],
                                                                      "data": [3.0]}


# ---- sizes

def test_payloads_up_to_the_limit(build, folder):
    with model_function(build, identity(folder, "large", onnx.FLOAT)) as api:
        count = 1_000_000  # 4 MB; 5.3 MB in base64
        data = pack_floats(seeded(1, 1000) * (count // 1000))
        y = infer(api, binary("x", "FP32", [count // 2, 2], data), parameters={"binary_data_base64": True})["y"]
        assert bytes_of(y) == data
        # As JSON it is too much for an answer: the error says what would do.
        kind, message = error(api, {"inputs": [binary("x", "FP32", [count // 2, 2], data)]})
        assert kind == "Function.ResponseSizeTooLarge"
        assert "output 'y' (FP32 [500000,2])" in message and "binary_data_base64" in message
        assert infer(api, tensor("x", "FP32", [1, 2], [1, 2]))["y"]["data"] == [1.0, 2.0]


def test_an_answer_much_larger_than_its_request(build, folder):
    path = write(folder, "wide", onnx.model([onnx.node("Expand", ["x", "shape"], ["y"])],
                                            [onnx.value("x", onnx.FLOAT, [1]), onnx.value("shape", onnx.INT64, [1])],
                                            [onnx.value("y", onnx.FLOAT, ["n"])]))
    x = tensor("x", "FP32", [1], [0.25])
    with model_function(build, path) as api:
        assert len(infer(api, x, tensor("shape", "INT64", [1], [1000]))["y"]["data"]) == 1000
        kind, message = error(api, {"inputs": [x, tensor("shape", "INT64", [1], [20_000_000])],
                                    "parameters": {"binary_data_base64": True}})
        assert kind == "Function.ResponseSizeTooLarge"
        # More memory than there is: the engine's error, and the process lives.
        kind, _ = error(api, {"inputs": [x, tensor("shape", "INT64", [1], [2**60])]})
        assert kind in ("Function.InferenceFailed", "Function.InvalidInput")
        assert len(infer(api, x, tensor("shape", "INT64", [1], [10]))["y"]["data"]) == 10


def test_many_invocations_leave_no_memory_behind(build, sums):
    def resident(pid):
        with open("/proc/%d/statm" % pid, encoding="ascii") as statm:
            return int(statm.read().split()[1]) * 4096

    bad = {"inputs": [A]}
    with model_function(build, sums) as api:
        for _ in range(200):
            infer(api, A, B)
            error(api, bad)
        before = resident(api.process.pid)
        for _ in range(600):
            infer(api, A, B)
            error(api, bad)
        assert resident(api.process.pid) - before < 1 << 20


def test_deep_and_wide_json_is_refused(build, sums):
    with model_function(build, sums) as api:
        for text in (b"[" * 100000, b'{"inputs":' + b"[" * 50000, b'{"a":' * 30000):
            kind, _ = error(api, text)
            assert kind == "Function.InvalidInput"
        many = {"inputs": [tensor("a", "FP32", [1], [0])] * 1025}
        assert "1 to 1024" in error(api, many)[1]
        assert json.loads(api.invoke({"inputs": [A, B]}).body)["outputs"]
