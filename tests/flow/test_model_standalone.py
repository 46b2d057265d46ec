# SPDX-License-Identifier: MIT
"""What `lamina package` writes also runs elsewhere: here, with nothing of Lamina's around it."""
import os
import re
import shutil
import stat
import subprocess
import zipfile

import pytest

from lamina_service import clean_environment
from model_function import MODELS, binary, infer, needs_library, tensor
from runtime_api import RuntimeApi

pytestmark = [needs_library, pytest.mark.skipif(not shutil.which("readelf"), reason="readelf is missing (binutils)")]

# AWS's provided.al2023: the C library 2.34, and GCC 11's libstdc++.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
SYSTEM_LIBRARIES = {"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libpthread.so.0", "libstdc++.so.6",
                    "libgcc_s.so.1", "ld-linux-x86-64.so.2"}


@pytest.fixture(scope="module")
def task(build, tmp_path_factory):
    """The package's files as Lambda unpacks them."""
    folder = tmp_path_factory.mktemp("package")
    archive, task = folder / "speech.zip", folder / "task"
    shutil.copy(MODELS / "silero_vad_v5.onnx", folder / "silero_vad_v5.onnx")
    subprocess.run([build / "lamina", "package", folder / "silero_vad_v5.onnx", archive], env=clean_environment(folder),
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=240, check=True)
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            path = content.extract(entry, task)
            os.chmod(path, stat.S_IMODE(entry.external_attr >> 16))
    return task


def test_it_holds_all_that_it_needs(task):
    names = sorted(str(path.relative_to(task)) for path in task.rglob("*") if path.is_file())
    assert names == ["bootstrap", "lib/libonnxruntime.so", "silero_vad_v5.onnx"]
    assert os.access(task / "bootstrap", os.X_OK)


def test_it_runs_without_lamina(task):
    env = {"_HANDLER": "silero_vad_v5.onnx", "LAMBDA_TASK_ROOT": str(task), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}
    with RuntimeApi() as api:
        api.start([task / "bootstrap"], env=env, cwd=task)
        outputs = infer(api, tensor("input", "FP32", [1, 576], [0] * 576), binary("state", "FP32", [2, 1, 128], bytes(1024)),
                        tensor("sr", "INT64", [], [16000]))
        assert 0 <= outputs["output"]["data"][0] < 0.5
        with open("/proc/%d/maps" % api.process.pid, encoding="utf-8") as maps:
            assert str(task / "lib" / "libonnxruntime.so") in maps.read()


def elf(path):
    """(libraries it needs, versions of their symbols that it needs)"""
    text = subprocess.run(["readelf", "-d", "-V", "-W", path], env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=240, check=True, text=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", text))
    versions = re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI)_([0-9.]+)", text)
    return needed, [(name, tuple(int(part) for part in version.split("."))) for name, version in versions]


def test_the_libraries_of_aws_are_enough(task, build):
    for path in (task / "bootstrap", task / "lib" / "libonnxruntime.so"):
        needed, versions = elf(path)
        assert needed <= SYSTEM_LIBRARIES, path
        assert versions
        for name, version in versions:
            assert version <= NEWEST[name], (path, name, version)
    assert elf(task / "bootstrap")[0] == {"libc.so.6"}
    assert elf(build / "examples" / "hello-c" / "bootstrap") == (set(), [])  # static
