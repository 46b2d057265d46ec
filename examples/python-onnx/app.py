# SPDX-License-Identifier: MIT
"""Where somebody speaks: a Python function around a model, with work before it and after it.

The event is a sound of 16-bit samples at 16 kHz, in base64; the answer the seconds in which there is speech:

    {"pcm": "AAD/..."}   ->   {"seconds": 3.1, "speech": [[0.1, 1.9], [2.1, 2.8]]}

The model, silero VAD, hears windows of 512 samples with the 64 before them in front, and hands its memory (`state`)
on from one to the next. It is loaded when the module is imported: once for an instance, in the init phase.
"""
import base64
import os

import numpy

import onnx

RATE, WINDOW, CONTEXT = 16000, 512, 64
SPEECH_FROM = 0.5

model = onnx.Model(os.environ.get("MODEL_PATH") or os.path.join(os.path.dirname(__file__), "silero_vad_v5.onnx"))


def windows(pcm):
    """Samples in [-1, 1], cut into windows with their context in front; the last is filled up with silence."""
    samples = numpy.frombuffer(pcm, "<i2").astype(numpy.float32) / 32768
    count = -(-len(samples) // WINDOW)
    padded = numpy.zeros(CONTEXT + count * WINDOW, numpy.float32)
    padded[CONTEXT:CONTEXT + len(samples)] = samples
    return [padded[None, i * WINDOW:i * WINDOW + CONTEXT + WINDOW] for i in range(count)], len(samples) / RATE


def probabilities(parts):
    state = numpy.zeros((2, 1, 128), numpy.float32)
    for part in parts:
        answer = model.run({"input": part, "state": state, "sr": numpy.array(RATE, numpy.int64)})
        state = answer["stateN"]
        yield float(answer["output"][0, 0])


def segments(heard, seconds):
    """Neighbouring windows of speech as [start, end] in seconds."""
    found = []
    for number, probability in enumerate(heard):
        if probability < SPEECH_FROM:
            continue
        start, end = number * WINDOW / RATE, min((number + 1) * WINDOW / RATE, seconds)
        if found and found[-1][1] == start:
            found[-1][1] = end
        else:
            found.append([start, end])
    return found


def handler(event, context):
    pcm = base64.b64decode(event["pcm"], validate=True)
    parts, seconds = windows(pcm[:len(pcm) // 2 * 2])
    heard = list(probabilities(parts))
    answer = {"seconds": seconds, "speech": segments(heard, seconds)}
    if event.get("probabilities"):
        answer["probabilities"] = heard
    return answer
