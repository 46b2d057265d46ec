# SPDX-License-Identifier: MIT
"""The quickstart's promise: a real model behind the Lambda API says what it says anywhere else."""
import base64
import json
import math
import random
import shutil
import struct
import subprocess

import pytest

from model_function import (MODELS, ROOT, assert_close, floats, needs_library, needs_reference, pack_floats, reference)

pytestmark = needs_library
MODEL = MODELS / "silero_vad_v5.onnx"
WINDOW, CONTEXT, RATE = 512, 64, 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sounds")


@pytest.fixture(scope="module")
def speech(service, folder, build):
    """speech(file, ...): the client's finished process; the model is deployed as the function 'speech'."""
    shutil.copy(MODEL, folder / "silero_vad_v5.onnx")
    shutil.copy(ROOT / "examples/speech/warm_up.json", folder / "warm_up.json")
    service.lamina("deploy", folder / "silero_vad_v5.onnx", "--name", "speech")

    def run(*arguments, check=True):
        done = subprocess.run([build / "examples" / "speech", "-o", "json", *map(str, arguments)], env=service.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240,
                              check=False, text=True)
        if check:
            assert done.returncode == 0, done.stderr + service.log_tail()
        return done

    return run


@pytest.fixture(scope="module")
def voice(folder):
    """A synthetic voice at 22,050 Hz."""
    if not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is missing (tools/deps inference)")
    path = folder / "voice.wav"
    subprocess.run(["espeak-ng", "-w", path, "Somebody speaks, then there is silence."], stdin=subprocess.DEVNULL,
                   timeout=240, check=True)
    return path


def wav(path, samples, rate=RATE, channels=1, claim=None, cut=None):
    """Writes 16-bit PCM from floats (interleaved when there are channels)."""
    data = struct.pack("<%dh" % len(samples), *(round(max(-1, min(1, s)) * 32767) for s in samples))
    claimed = len(data) if claim is None else claim
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + claimed, b"WAVE", b"fmt ", 16, 1, channels, rate,
                       rate * 2 * channels, 2 * channels, 16, b"data", claimed)
    path.write_bytes((head + data)[:cut])
    return path


def reference_probabilities(samples):
    """The same windows through onnxruntime-node, state carried."""
    runs, context = [], [0.0] * CONTEXT
    sr = struct.pack("<q", RATE)
    for at in range(0, len(samples), WINDOW):
        window = samples[at:at + WINDOW]
        window += [0.0] * (WINDOW - len(window))
        runs.append({"input": ("FP32", [1, CONTEXT + WINDOW], pack_floats(context + window)), "sr": ("INT64", [], sr)})
        context = window[-CONTEXT:]
    runs[0]["state"] = ("FP32", [2, 1, 128], bytes(4 * 256))
    return [answer["output"][1][0] for answer in reference(MODEL, runs, ["output"], carry={"stateN": "state"})]


@needs_reference
def test_speech_and_noise_equal_an_independent_run(speech, folder, voice, build):
    noise = folder / "noise.wav"
    subprocess.run([build / "examples" / "speech", "--noise", "2", noise], stdin=subprocess.DEVNULL, timeout=240,
                   check=True)
    for path in (voice, noise):
        samples = folder / (path.name + ".f32")
        result = json.loads(speech("--samples", samples, path).stdout)
        heard = floats(samples.read_bytes())
        assert len(result["probabilities"]) == math.ceil(len(heard) / WINDOW)
        assert_close(result["probabilities"], reference_probabilities(heard), 1e-4)
        loud = sum(p >= 0.5 for p in result["probabilities"]) / len(result["probabilities"])
        assert loud > 0.5 if path == voice else loud == 0


def test_silence_is_no_speech(speech, folder):
    done = speech(wav(folder / "silent.wav", [0.0] * RATE))
    assert "is silent: all of its samples are 0" in done.stderr
    assert max(json.loads(done.stdout)["probabilities"]) < 0.5


def test_a_cut_off_recording_is_heard_as_far_as_it_goes(speech, folder):
    tone = [math.sin(i / 10) / 2 for i in range(RATE)]
    done = speech(wav(folder / "cut.wav", tone, cut=44 + RATE))  # half of its bytes
    assert "is cut off: it promises more sound than it holds" in done.stderr
    assert json.loads(done.stdout)["seconds"] == 0.5
    # Cut off in its header, there is nothing to hear.
    for cut in (0, 3, 20, 43, 44):
        done = speech(wav(folder / "head.wav", tone, cut=cut), check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "head.wav': " in done.stderr


def test_a_file_written_to_a_pipe_has_no_length(speech, folder):
    tone = [math.sin(i / 10) / 2 for i in range(RATE)]
    for claim in (0, 0x7FFFFFFF, 0xFFFFFFD0):
        done = speech(wav(folder / "pipe.wav", tone, claim=claim & 0xFFFFFFFF if claim < 2**32 - 36 else 2**32 - 37))
        assert "cut off" not in done.stderr
        assert json.loads(done.stdout)["seconds"] == 1.0


def test_stereo_at_44100_hears_what_mono_at_16000_hears(speech, folder, voice):
    """Both channels the same voice: brought to one channel and 16 kHz it is the same sound."""
    data = voice.read_bytes()
    mono = struct.unpack("<%dh" % ((len(data) - 44) // 2), data[44:44 + (len(data) - 44) // 2 * 2])
    doubled = []  # 44,100 Hz by repeating each sample: coarse, and still the same voice
    for sample in mono:
        doubled += [sample / 32768] * 4
    done = speech(wav(folder / "stereo.wav", doubled, rate=44100, channels=2))
    assert "has 44100 Hz and 2 channels: brought to 16000 Hz and one" in done.stderr
    stereo = json.loads(done.stdout)
    plain = json.loads(speech(voice).stdout)
    assert abs(stereo["seconds"] - plain["seconds"]) < 0.001
    assert len(stereo["probabilities"]) == len(plain["probabilities"])
    agree = sum((a >= 0.5) == (b >= 0.5) for a, b in zip(stereo["probabilities"], plain["probabilities"]))
    assert agree / len(plain["probabilities"]) > 0.9


def test_what_is_no_sound_is_refused_by_name(speech, folder):
    (folder / "text.wav").write_text("this is text")
    done = speech(folder / "text.wav", check=False)
    assert (done.returncode, "this is not a WAV file" in done.stderr) == (1, True)
    done = speech(folder / "nowhere.wav", check=False)
    assert (done.returncode, "No such file" in done.stderr) == (1, True)
    # One bad file does not silence the others.
    done = speech(folder / "text.wav", wav(folder / "good.wav", [0.1] * 600), check=False)
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["probabilities"]) == 2


def test_the_client_says_when_the_function_is_another(speech, service, folder, build):
    service.lamina("deploy", build / "examples" / "hello-c", "--name", "hello")
    done = speech("--function", "hello", wav(folder / "good.wav", [0.1] * 600), check=False)
    assert done.returncode == 1
    assert "is the function's model silero VAD?" in done.stderr
    done = speech("--function", "nobody", folder / "good.wav", check=False)
    assert (done.returncode, "nobody" in done.stderr) == (1, True)


# ---- the model through the Lambda API itself

def request(seed=1, size=CONTEXT + WINDOW):
    source = random.Random(seed)
    return {"inputs": [
        {"name": "input", "datatype": "FP32", "shape": [1, size], "data": [source.uniform(-1, 1) for _ in range(size)]},
        {"name": "state", "datatype": "FP32", "shape": [2, 1, 128], "data": [0] * 256},
        {"name": "sr", "datatype": "INT64", "shape": [], "data": [16000]}]}


def test_invoke_answers_names_its_model_and_logs_its_start(speech, service):
    client = service.client("lambda")
    client.update_function_configuration(FunctionName="speech", Environment={"Variables": {"COLD": "again"}})
    client.get_waiter("function_updated").wait(FunctionName="speech")
    answer = client.invoke(FunctionName="speech", Payload=json.dumps(request()), LogType="Tail")
    body = json.load(answer["Payload"])
    assert "FunctionError" not in answer
    assert [output["name"] for output in body["outputs"]] == ["output", "stateN"]
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-lamina-model-digest"] == body["model_version"]

    tail = base64.b64decode(answer["LogResult"]).decode()
    assert "Model Digest: " + body["model_version"] in tail
    # The model is loaded by the template, whose log is the function's too.
    lines = service.lamina("logs", "speech").stdout
    assert "model.loaded file=/var/task/silero_vad_v5.onnx" in lines
    assert "Error in cpuinfo" not in lines and "model.not_warmed" not in lines


def test_mistakes_are_function_errors_with_the_name(speech, service):
    client = service.client("lambda")
    bad = request()
    bad["inputs"][1]["shape"] = [2, 1, 64]
    answer = client.invoke(FunctionName="speech", Payload=json.dumps(bad))
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    body = json.load(answer["Payload"])
    assert body["errorType"] == "Function.InvalidInput"
    assert body["errorMessage"] == "input 'state': expected FP32 [2,-1,128], given FP32 [2,1,64]"
    assert "FunctionError" not in client.invoke(FunctionName="speech", Payload=json.dumps(request()))


def test_a_format_that_must_be_exported_is_refused_at_the_start(service, folder, build):
    """As a function made without the CLI, which would refuse the file before sending it."""
    import io
    import zipfile
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.create_system = 3  # Unix: else the mode below means nothing
        entry.external_attr = 0o100755 << 16
        archive.writestr(entry, (build / "lamina-model").read_bytes())
        archive.writestr("model.pt", b"PK\x03\x04")
    client = service.client("lambda")
    client.create_function(FunctionName="torch", Runtime="provided.al2023", Handler="model.pt",
                           Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": data.getvalue()}, Timeout=60)
    client.get_waiter("function_active_v2").wait(FunctionName="torch")
    for _ in range(2):  # each call tries anew, and says the same
        answer = client.invoke(FunctionName="torch", Payload=b"{}")
        body = json.load(answer["Payload"])
        assert answer["FunctionError"] == "Unhandled"
        assert body["errorType"] == "Runtime.ModelFormatNotSupported"
        assert "torch.onnx.export(" in body["errorMessage"]
