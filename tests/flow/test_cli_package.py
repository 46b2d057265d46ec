# SPDX-License-Identifier: MIT
"""`lamina package`: archives that Python's zipfile and Debian's unzip read alike, byte for byte the same each
time; sizes against AWS's limits; files that must not go in. No service is needed."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile

import pytest

from lamina_service import clean_environment


@pytest.fixture
def lamina(build, tmp_path):
    """lamina('verb', ...) in the test's directory; the result has returncode, stdout and stderr."""

    def run(*arguments, check=True, text=True, **options):
        env = clean_environment(tmp_path)
        env["TMPDIR"] = str(tmp_path)
        done = subprocess.run([build / "lamina", *map(str, arguments)], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=text, cwd=tmp_path, timeout=240, **options)
        if check:
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def tree(tmp_path):
    """A directory with every kind of entry that may go into a package."""
    root = tmp_path / "tree"
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "bootstrap").write_text("#!/bin/sh\nexit 0\n")
    (root / "bootstrap").chmod(0o700)
    (root / "sub" / "text").write_text("all work and no play " * 50000)
    (root / "sub" / "noise").write_bytes(os.urandom(700000))
    (root / "sub" / "nothing").write_bytes(b"")
    (root / "sub" / "deeper" / "schön ü.txt").write_text("grüße")
    (root / "-rf").write_text("a name like an option")
    (root / "link").symlink_to("sub/text")
    return root


def entries(path):
    """{name: (mode, content)} as Python's zipfile reads it, with all checksums verified."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {i.filename: (i.external_attr >> 16, archive.read(i)) for i in archive.infolist()}


def test_python_reads_what_was_written(lamina, tree, tmp_path):
    lamina("package", "tree", "out.zip")
    found = entries(tmp_path / "out.zip")
    assert set(found) == {"bootstrap", "-rf", "empty/", "link", "sub/deeper/schön ü.txt", "sub/noise", "sub/nothing",
                          "sub/text"}
    for name in ("-rf", "sub/noise", "sub/nothing", "sub/text", "sub/deeper/schön ü.txt"):
        assert found[name] == (stat.S_IFREG | 0o644, (tree / name).read_bytes())
    assert found["bootstrap"] == (stat.S_IFREG | 0o755, (tree / "bootstrap").read_bytes())
    assert found["link"] == (stat.S_IFLNK | 0o777, b"sub/text")
    assert stat.S_ISDIR(found["empty/"][0])
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        names = [i.filename for i in archive.infolist()]
        assert names == sorted(names, key=lambda name: name.rstrip("/").encode())
        assert archive.getinfo("sub/text").compress_type == zipfile.ZIP_DEFLATED
        assert archive.getinfo("sub/noise").compress_type == zipfile.ZIP_STORED


@pytest.mark.skipif(not shutil.which("unzip"), reason="needs Debian's unzip")
def test_unzip_restores_the_tree(lamina, tree, tmp_path):
    lamina("package", "tree", "out.zip")
    subprocess.run(["unzip", "-tq", "out.zip"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)
    subprocess.run(["unzip", "-q", "out.zip", "-d", "back"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL,
                   capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    done = subprocess.run(["diff", "-r", "tree", "back"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "back" / "bootstrap").stat().st_mode & 0o777 == 0o755
    assert os.readlink(tmp_path / "back" / "link") == "sub/text"


def test_the_same_content_gives_the_same_bytes(lamina, tree, tmp_path):
    lamina("package", "tree", "one.zip")
    shutil.copytree(tree, tmp_path / "other", symlinks=True, copy_function=shutil.copy)
    for path in sorted((tmp_path / "other").rglob("*"), reverse=True):
        os.utime(path, (1, 1), follow_symlinks=False)
    lamina("package", "other", "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_zip_goes_to_stdout(lamina, tree, tmp_path):
    lamina("package", "tree", "out.zip")
    done = lamina("package", "tree", "-", text=False)
    assert done.stdout == (tmp_path / "out.zip").read_bytes()
    assert b"zipped" in done.stderr


def test_a_model_is_packaged_for_aws(lamina, build, tmp_path):
    if not (build / "runtime/lib/libonnxruntime.so").exists():
        pytest.skip("this build has no ONNX Runtime")
    (tmp_path / "net.onnx").write_bytes(b"a model" * 1000)
    told = json.loads(lamina("package", "net.onnx", "-o", "json").stdout)
    found = entries(tmp_path / "net.zip")
    assert set(found) == {"bootstrap", "lib/libonnxruntime.so", "net.onnx"}
    assert found["bootstrap"] == (stat.S_IFREG | 0o755, (build / "runtime/bin/lamina-model").read_bytes())
    assert told["handler"] == "net.onnx"
    assert told["zip_bytes"] == (tmp_path / "net.zip").stat().st_size
    assert told["unzipped_bytes"] == sum(len(content) for _, content in found.values())
    assert told["entries"] == 3
    assert told["fits"] == dict.fromkeys(("package", "layer", "image", "s3", "endpoint", "filesystem"), True)

    lamina("package", "net.onnx", "lean.zip", "--lean")
    assert set(entries(tmp_path / "lean.zip")) == {"bootstrap", "net.onnx"}


def sparse(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)


def test_too_large_unzipped_is_said_before_anything_is_written(lamina, tmp_path):
    sparse(tmp_path / "big" / "weights", 262144000 + 41 * 1048576)
    (tmp_path / "big" / "bootstrap").write_text("")
    (tmp_path / "big" / "bootstrap").chmod(0o755)
    done = lamina("package", "big", check=False)
    assert done.returncode == 1
    assert "zip: 41 MB over (by 42991616 bytes; limit: 250 MB unzipped)" in done.stderr
    assert "layer: 41 MB over" in done.stderr
    assert "image, s3, endpoint, filesystem: fits" in done.stderr
    assert not (tmp_path / "big.zip").exists()


def test_exactly_the_unzipped_limit_fits(lamina, tmp_path):
    sparse(tmp_path / "edge" / "weights", 262144000)
    (tmp_path / "edge" / "bootstrap").write_text("")
    (tmp_path / "edge" / "bootstrap").chmod(0o755)
    told = json.loads(lamina("package", "edge", "--dry-run", "-o", "json").stdout)
    assert told["unzipped_bytes"] == 262144000
    assert told["fits"]["package"] and told["fits"]["layer"]
    with open(tmp_path / "edge" / "one", "wb") as file:
        file.write(b"x")
    done = lamina("package", "edge", "--dry-run", check=False)
    assert done.returncode == 1
    assert "by 1 bytes" in done.stderr


def test_too_large_zipped_is_said_with_the_bytes(lamina, tmp_path):
    (tmp_path / "noisy").mkdir()
    (tmp_path / "noisy" / "bootstrap").write_text("")
    (tmp_path / "noisy" / "bootstrap").chmod(0o755)
    (tmp_path / "noisy" / "weights").write_bytes(os.urandom(1 << 20) * 51)
    done = lamina("package", "noisy", check=False)
    assert done.returncode == 1
    assert "limit: 50 MB zipped" in done.stderr
    assert not list(tmp_path.glob("*.zip"))
    lamina("package", "noisy", "--no-limits")
    assert (tmp_path / "noisy.zip").stat().st_size > 52428800


HOSTILE = {
    "an outer link": lambda d: (d / "l").symlink_to("/etc/passwd"),
    "a climbing link": lambda d: (d / "l").symlink_to("../../etc/passwd"),
    "a pipe": lambda d: os.mkfifo(d / "p"),
    "a new line": lambda d: (d / "a\nb").write_text(""),
    "an escape": lambda d: (d / "\x1b]0;x\x07").write_text(""),
    "a backslash": lambda d: (d / "a\\b").write_text(""),
    "no UTF-8": lambda d: open(os.path.join(os.fsencode(d), b"\xff\xfe"), "w").close(),
    "an idle bootstrap": lambda d: (d / "bootstrap").chmod(0o644),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_must_not_go_in_is_refused_by_name(lamina, tmp_path, what):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "bootstrap").write_text("")
    (tmp_path / "d" / "bootstrap").chmod(0o755)
    HOSTILE[what](tmp_path / "d")
    done = lamina("package", "d", check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr
    assert not (tmp_path / "d.zip").exists()


@pytest.mark.parametrize("name,says", [("m.pt", "torch.onnx.export"), ("m.pkl", "skl2onnx"), ("m.gguf", "optimum-cli"),
                                       ("m.safetensors", "optimum-cli"), ("m.txt", "is not a model")])
def test_models_of_other_formats_get_the_line_that_exports_them(lamina, tmp_path, name, says):
    (tmp_path / name).write_text("x")
    done = lamina("package", name, check=False)
    assert done.returncode == 1
    assert says in done.stderr


def test_an_output_that_cannot_be_written(lamina, tree, tmp_path):
    done = lamina("package", "tree", "no/such/dir/out.zip", check=False)
    assert done.returncode == 1
    assert "no/such/dir/out.zip" in done.stderr
    assert not list(tmp_path.glob("*.tmp"))


def test_a_full_disk_leaves_no_half_archive(lamina, tree, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    done = lamina("package", "tree", "-", "-q", check=False, text=False, preexec_fn=lambda: os.dup2(
        os.open("/dev/full", os.O_WRONLY), 1))
    assert done.returncode == 1
    assert b"No space left" in done.stderr


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
