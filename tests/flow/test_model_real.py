# SPDX-License-Identifier: MIT
"""Real models from a package registry, on random inputs: lamina-model and onnxruntime-node agree."""
import hashlib
import struct

import pytest

from model_function import (MODELS, assert_close, binary, bytes_of, floats, infer, model_function, needs_library,
                            needs_reference, pack_floats, reference, seeded, tensor)

pytestmark = [needs_library, needs_reference]
SR = struct.pack("<q", 16000)


def existing(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip("%s is not there (tools/deps check)" % name)
    return path


@pytest.mark.parametrize("name", ["silero_vad_v5.onnx", "silero_vad_v6.onnx"])
def test_speech_detectors_with_their_state_carried(build, name):
    path = existing(name)
    windows = [seeded(seed, 576, 0.5) for seed in range(20)]
    runs = [{"input": ("FP32", [1, 576], pack_floats(window)), "sr": ("INT64", [], SR)} for window in windows]
    runs[0]["state"] = ("FP32", [2, 1, 128], bytes(4 * 256))
    theirs = reference(path, runs, ["output"], carry={"stateN": "state"})

    state = bytes(4 * 256)
    with model_function(build, path) as api:
        for window, their in zip(windows, theirs):
            outputs = infer(api, tensor("input", "FP32", [1, 576], window),
                            binary("state", "FP32", [2, 1, 128], state), tensor("sr", "INT64", [], [16000]),
                            outputs=[{"name": "output"},
                                     {"name": "stateN", "parameters": {"binary_data_base64": True}}])
            assert outputs["output"]["shape"] == their["output"][0]
            assert_close(outputs["output"]["data"], their["output"][1])
            assert outputs["stateN"]["shape"] == [2, 1, 128]
            state = bytes_of(outputs["stateN"])
            assert len(state) == 4 * 256


def test_the_older_detector_has_two_states(build):
    path = existing("silero_vad_legacy.onnx")
    window, h, c = seeded(1, 1536, 0.5), seeded(2, 128), seeded(3, 128)
    their = reference(path, [{"input": ("FP32", [1, 1536], pack_floats(window)), "sr": ("INT64", [], SR),
                              "h": ("FP32", [2, 1, 64], pack_floats(h)),
                              "c": ("FP32", [2, 1, 64], pack_floats(c))}], ["output", "hn", "cn"])[0]
    with model_function(build, path) as api:
        outputs = infer(api, tensor("input", "FP32", [1, 1536], window), tensor("sr", "INT64", [], [16000]),
                        tensor("h", "FP32", [2, 1, 64], h), tensor("c", "FP32", [2, 1, 64], c))
    assert list(outputs) == ["output", "hn", "cn"]
    for name, (dims, values) in their.items():
        assert outputs[name]["shape"] == dims
        assert_close(outputs[name]["data"], values)


@pytest.mark.parametrize("name, shape", [
    ("ocr/ch_PP-OCRv4_det_infer.onnx", [1, 3, 64, 96]),
    ("ocr/ch_PP-OCRv4_rec_infer.onnx", [1, 3, 48, 96]),
    ("ocr/ch_PP-OCRv4_rec_infer.onnx", [2, 3, 48, 160]),
    ("ocr/ch_ppocr_mobile_v2.0_cls_infer.onnx", [2, 3, 48, 192]),
])
def test_text_readers_of_any_width(build, name, shape):
    path = existing(name)
    count = shape[0] * shape[1] * shape[2] * shape[3]
    pixels = seeded(shape[3], count)
    with model_function(build, path) as api:
        metadata = api.invoke({}).json
        assert metadata["versions"] == [hashlib.sha256(path.read_bytes()).hexdigest()]
        [output] = [output["name"] for output in metadata["outputs"]]
        their = reference(path, [{"x": ("FP32", shape, pack_floats(pixels))}], [output])[0][output]
        as_binary = infer(api, binary("x", "FP32", shape, pack_floats(pixels)),
                          parameters={"binary_data_base64": True})[output]
        assert as_binary["shape"] == their[0]
        assert_close(floats(bytes_of(as_binary)), their[1], 1e-3)
        if count < 30000:  # and as JSON, in and out: the same answer to the last bit
            as_json = infer(api, tensor("x", "FP32", shape, pixels))[output]
            assert pack_floats(as_json["data"]) == bytes_of(as_binary)
