# SPDX-License-Identifier: MIT
"""The command line without a service: help, mistakes, exit statuses, where the service is looked for, `env`,
`doctor`, and what happens when there is nobody to talk to."""

import json
import os
import pathlib
import re
import shlex
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from lamina_service import clean_environment

VERBS = ("up down status env deploy invoke logs list describe ps delete dead-letters user package compare doctor completion version help").split()


@pytest.fixture
def lamina(build, tmp_path):
    """lamina('verb', ..., env={...}): the result has returncode, stdout and stderr."""

    def run(*arguments, env=None, **options):
        whole = clean_environment(tmp_path)
        whole["LAMINA_DATA_DIR"] = str(tmp_path / "data")
        whole.update(env or {})
        settings = dict(stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path, timeout=240)
        settings.update(options)
        return subprocess.run([build / "lamina", *map(str, arguments)], env=whole, **settings)

    return run


@pytest.fixture
def data(tmp_path):
    """A data directory of a service that does not run: its credentials only."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "credentials").write_text("[default]\naws_access_key_id = AKIDTEST\naws_secret_access_key = it's a $ecret\n")
    return root


def test_help_names_every_verb(lamina):
    done = lamina("help")
    assert done.returncode == 0
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout
        page = lamina("help", verb)
        assert page.returncode == 0 and page.stdout.startswith(f"usage: lamina {verb}")
        assert lamina(verb, "--help").stdout == page.stdout
    assert lamina("--help").stdout == done.stdout


def test_the_manual_page_names_every_verb():
    page = (pathlib.Path(__file__).resolve().parents[2] / "man" / "lamina.1.scd").read_text()
    for verb in VERBS:
        assert f"*{verb}*" in page, verb


def test_completion_offers_verbs_options_and_choices(lamina):
    """In bash itself, as the shell calls it."""
    done = lamina("completion", "bash")
    assert done.returncode == 0
    script = done.stdout + """
    try() { COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _lamina; echo "${COMPREPLY[*]}"; }
    try lamina de
    try lamina deploy --str
    try lamina deploy --strategy l
    try lamina list -o j
    try lamina up --dat
    """
    out = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240)
    assert out.stderr == ""
    assert out.stdout.splitlines() == ["deploy describe delete dead-letters", "--strategy", "layer", "json", "--data-dir"]
    assert lamina("completion", "fish").returncode == 1


def test_no_verb_is_a_mistake(lamina):
    done = lamina()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "lamina deploy" in done.stderr


@pytest.mark.parametrize("arguments,says", [
    (["frobnicate"], "no command 'frobnicate'"),
    (["\x1b[2J"], "no command '^[[2J'"),
    (["list", "--nonsense"], "unknown option --nonsense"),
    (["list", "extra"], "'extra' is one argument too many"),
    (["invoke"], "something is missing"),
    (["invoke", "a", "b"], "'b' is one argument too many"),
    (["deploy"], "something is missing"),
    (["deploy", "x", "--memory", "1"], "from 128 to 10240"),
    (["deploy", "x", "--timeout", "901"], "from 1 to 900"),
    (["deploy", "x", "--strategy", "pigeon"], "takes package|layer|image|s3|endpoint|filesystem"),
    (["list", "-o", "yaml"], "takes table|json"),
    (["list", "-o"], "needs a value"),
    (["compare", "m.onnx", "--cold-starts", "19"], "from 20 to 10000"),
    (["up", "-d", "--wait", "soon"], "--wait takes seconds"),
])
def test_mistakes_are_named_and_exit_with_2(lamina, arguments, says):
    done = lamina(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert "\x1b" not in done.stderr


def test_version(lamina):
    done = lamina("version")
    assert done.returncode == 0
    name, number = done.stdout.split()
    assert name == "lamina"
    assert json.loads(lamina("version", "-o", "json").stdout) == {"version": number}
    assert lamina("--version").stdout == done.stdout


def test_env_is_what_a_shell_reads(lamina, data):
    (data / "endpoint").write_text("http://127.0.0.1:7001\n")
    done = lamina("env", env={"AWS_SESSION_TOKEN": "stale", "AWS_ENDPOINT_URL": "http://elsewhere"})
    assert done.returncode == 0
    out = subprocess.run(["/bin/sh", "-c", done.stdout + "env -0"], capture_output=True, text=True, check=True,
                         env={"AWS_SESSION_TOKEN": "stale", "PATH": "/usr/bin:/bin"}).stdout
    got = dict(line.split("=", 1) for line in out.split("\0") if "=" in line)
    assert got["AWS_ENDPOINT_URL"] == "http://127.0.0.1:7001"
    assert got["AWS_ACCESS_KEY_ID"] == "AKIDTEST"
    assert got["AWS_SECRET_ACCESS_KEY"] == "it's a $ecret"
    assert got["AWS_REGION"] == got["AWS_DEFAULT_REGION"] == "us-east-1"
    assert "AWS_SESSION_TOKEN" not in got


def test_env_works_unquoted_too(lamina, data):
    (data / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = b\n")
    done = lamina("env")
    out = subprocess.run(["/bin/sh", "-c", f"eval $(printf %s {shlex.quote(done.stdout)}); env"], capture_output=True,
                         text=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
    assert "AWS_SECRET_ACCESS_KEY=b\n" in out
    assert "AWS_DEFAULT_REGION=us-east-1\n" in out


def test_env_as_json_and_of_another_profile(lamina, data):
    told = json.loads(lamina("env", "-o", "json", "--region", "eu-west-1", "--endpoint-url", "http://x:1").stdout)
    assert told == {"AWS_ENDPOINT_URL": "http://x:1", "AWS_ACCESS_KEY_ID": "AKIDTEST",
                    "AWS_SECRET_ACCESS_KEY": "it's a $ecret", "AWS_REGION": "eu-west-1",
                    "AWS_DEFAULT_REGION": "eu-west-1"}
    done = lamina("env", "--profile", "nobody", "--data-dir", data)
    assert done.returncode == 1
    assert "no profile [nobody]" in done.stderr


@pytest.mark.parametrize("verb", [["list"], ["ps"], ["status"], ["describe", "f"], ["logs", "f"], ["invoke", "f"],
                                  ["delete", "f"], ["env"]])
def test_without_credentials_it_says_where_it_looked(lamina, tmp_path, verb):
    done = lamina(*verb)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{tmp_path}/data/credentials does not exist" in done.stderr
    assert "lamina up -d" in done.stderr


def closed_port():
    """A port that nobody listens on: bound, never listening, held by the returned socket."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder


@pytest.mark.parametrize("verb", [["list"], ["ps"], ["status"], ["describe", "f"], ["logs", "f"], ["invoke", "f"],
                                  ["delete", "f"]])
def test_an_unreachable_service_is_said(lamina, data, verb):
    with closed_port() as holder:
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        done = lamina(*verb, "--endpoint-url", url)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"cannot reach {url} (from --endpoint-url): Connection refused" in done.stderr


@pytest.mark.parametrize("url", ["ftp://x", "http://user:pw@x", "http://x/path", "x:4566", "http://x:99999", ""])
def test_bad_endpoints_are_refused(lamina, data, url):
    done = lamina("list", "--endpoint-url", url)
    assert done.returncode == 1
    assert "is not an endpoint" in done.stderr


class Peer:
    """A server that answers each connection with fixed bytes, whatever it is asked, and then hangs up."""

    def __init__(self, answer, context=None):
        self.answer = answer
        self.context = context
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                if self.context:
                    try:
                        connection = self.context.wrap_socket(connection, server_side=True)
                    except OSError:  # who does not trust us hangs up
                        continue
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(65536)
                    if not part:
                        break
                    head += part
                self.heads.append(head.decode("latin-1"))
                if self.answer:
                    connection.sendall(self.answer)
                if self.context:
                    connection.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(60)


def answer(status, body, *headers):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("bytes_,says", [
    (b"", "closed the connection before it had answered"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", ""),
    (answer("502 Bad Gateway", b"<html>\x1b[31mnginx</html>"), "answered status 502 and no AWS error"),
    (answer("200 OK", b"<html>"), "the service's answer"),
    (answer("200 OK", b"{}"), "holds no list"),
    (answer("200 OK", b"[" * 100000), "the service's answer"),
    (answer("403 Forbidden", b'{"message":"no \x1b[31mway\\u001b[0m"}', "x-amzn-ErrorType: AccessDeniedException:http://x/"),
     "AccessDeniedException: "),
    (answer("302 Found", b"", "Location: http://127.0.0.1:1/"), "answered status 302"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{", "closed the connection"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", ""),
])
def test_strange_services_are_errors_not_crashes(lamina, data, bytes_, says):
    with Peer(bytes_) as peer:
        done = lamina("list", "--endpoint-url", peer.url)
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.startswith("lamina: ") and says in done.stderr
    assert "\x1b" not in done.stderr


def test_a_request_is_signed_and_the_secret_is_not_in_it(lamina, data):
    with Peer(answer("200 OK", b'{"Functions":[]}')) as peer:
        done = lamina("list", "--endpoint-url", peer.url)
    assert done.returncode == 0
    head = peer.heads[0]
    assert "Credential=AKIDTEST/" in head and "/us-east-1/lambda/aws4_request" in head
    assert "ecret" not in head


def test_a_redirect_is_not_followed_with_our_signature(lamina, data):
    with Peer(answer("200 OK", b'{"Functions":[]}')) as other:
        with Peer(answer("307 Temporary Redirect", b"", f"Location: {other.url}/")) as peer:
            done = lamina("list", "--endpoint-url", peer.url)
    assert done.returncode == 1
    assert other.heads == []


@pytest.mark.skipif(not os.access("/usr/bin/openssl", os.X_OK), reason="needs openssl")
def test_a_certificate_must_be_trusted(lamina, data, tmp_path):
    """https: by the system's certificates, or those that AWS_CA_BUNDLE names, as for AWS's clients."""
    subprocess.run(["/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out",
                    "cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                   cwd=tmp_path, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Peer(answer("200 OK", b'{"Functions":[]}'), context) as peer:
        done = lamina("list", "--endpoint-url", peer.url)
        assert done.returncode == 1 and f"the certificate of {peer.url} is not trusted" in done.stderr
        assert peer.heads == [], "nothing was said to somebody unknown"
        done = lamina("list", "--endpoint-url", peer.url, env={"AWS_CA_BUNDLE": str(tmp_path / "cert.pem")})
        assert done.returncode == 0, done.stderr
        done = lamina("list", "--endpoint-url", peer.url, env={"AWS_CA_BUNDLE": str(tmp_path / "nothing")})
        assert done.returncode == 1


def test_proxies_of_the_environment_are_not_used(lamina, data):
    with Peer(answer("200 OK", b'{"Functions":[]}')) as peer, Peer(answer("200 OK", b"{}")) as proxy:
        done = lamina("list", "--endpoint-url", peer.url, env={"http_proxy": proxy.url, "NO_PROXY": "", "no_proxy": ""})
    assert done.returncode == 0, done.stderr
    assert proxy.heads == [] and len(peer.heads) == 1


def test_a_broken_pipe_ends_it_like_any_tool(build, data, tmp_path):
    """lamina ... | true"""
    functions = [{"FunctionName": f"f{i}", "Handler": "h" * 120} for i in range(3000)]
    body = json.dumps({"Functions": functions}).encode()
    env = clean_environment(tmp_path)
    env["LAMINA_DATA_DIR"] = str(data)
    read_end, write_end = os.pipe()
    os.close(read_end)
    with Peer(answer("200 OK", body)) as peer:
        done = subprocess.run([build / "lamina", "list", "--endpoint-url", peer.url], env=env, stdout=write_end,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=240)
    os.close(write_end)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_a_failure(build, tmp_path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([build / "lamina", "help"], env=clean_environment(tmp_path), stdout=full,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=240)
    assert done.returncode == 1
    assert "No space left" in done.stderr


def test_an_event_that_cannot_be_read(lamina, data):
    done = lamina("invoke", "f", "-e", "no/such/file")
    assert done.returncode == 1
    assert "read the event from 'no/such/file': No such file" in done.stderr
    with open(data / "large", "wb") as file:
        file.truncate(6291457)
    done = lamina("invoke", "f", "-e", data / "large")
    assert done.returncode == 1
    assert "larger than AWS takes (6291456 bytes)" in done.stderr


def test_deploy_finds_what_is_wrong_before_it_asks_the_service(lamina, data, tmp_path):
    (tmp_path / "m.pt").write_text("x")
    (tmp_path / "m.onnx").write_text("x")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").write_text("x")
    with closed_port() as holder:
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        for arguments, says in (
            (["m.pt"], "torch.onnx.export"),
            (["nothing"], "No such file"),
            (["plain"], "holds no 'bootstrap'"),
            (["m.onnx", "--strategy", "image"], "the strategy 'image' is not built yet"),
            (["s3://bucket/model.onnx", "--strategy", "package"], "is deployed by the strategy s3"),
            (["m.onnx", "--env", "novalue"], "--env takes NAME=VALUE"),
            (["m.onnx", "--name", "n" * 65], "--name takes"),
        ):
            done = lamina("deploy", *arguments, "--endpoint-url", url)
            assert done.returncode == 1, (arguments, done.stderr)
            assert says in done.stderr, (arguments, done.stderr)


def test_down_without_a_service(lamina, data):
    done = lamina("down")
    assert done.returncode == 1
    assert f"no service runs on '{data}'" in done.stderr


@pytest.mark.parametrize("content", ["", "abc", "-5", "0", "1", "99999999999999999999", "4194304000", "SELF"])
def test_down_does_not_end_what_is_not_the_service(lamina, data, content):
    """A pid file that names somebody else, here a sleep of ours, is a leftover."""
    with subprocess.Popen(["/bin/sleep", "1000"]) as other:
        try:
            (data / "laminad.pid").write_text(str(other.pid) if content == "SELF" else content)
            done = lamina("down")
            assert done.returncode == 1
            assert "no service runs" in done.stderr or "does not hold a pid" in done.stderr
            assert other.poll() is None
        finally:
            other.kill()


def test_doctor_has_advice_for_all_that_can_be_missing():
    source = pathlib.Path(__file__).resolve().parents[2] / "src"
    needed = re.findall(r'\{"(\w+)", try_\w+, NULL\}', (source / "spawn" / "probe.c").read_text())
    advice = (source / "cli" / "cmd_doctor.c").read_text()
    assert len(needed) > 5
    assert [name for name in needed if f'{{"{name}",' not in advice] == []


def test_doctor_tells_a_plain_user_what_is_missing(build, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root in order to become somebody else")
    nobody = dict(user=65534, group=65534, extra_groups=[], capture_output=True, text=True, cwd="/", timeout=240,
                  stdin=subprocess.DEVNULL, env=clean_environment(tmp_path))
    try:
        subprocess.run([build / "lamina", "version"], check=True, **nobody)
    except (PermissionError, FileNotFoundError):
        pytest.skip("the build directory is not open to other users")
    done = subprocess.run([build / "lamina", "doctor", "-o", "json"], **nobody)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["can_run"] is False
    root = [check for check in told["checks"] if check["name"] == "root"]
    assert root and root[0]["finding"] == "missing" and "sudo" in root[0]["advice"]


def test_doctor_tells_root(lamina, tmp_path):
    done = lamina("doctor", "-o", "json", "--data-dir", tmp_path)
    told = json.loads(done.stdout)
    names = {check["name"] for check in told["checks"]}
    assert {"root", "cgroups", "seccomp", "laminad", "disk", "open_files"} <= names
    assert done.returncode == (0 if told["can_run"] else 1)
    table = lamina("doctor", "--data-dir", tmp_path)
    assert table.returncode == done.returncode
    for name in names:
        assert name in table.stdout
