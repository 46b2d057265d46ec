# SPDX-License-Identifier: MIT
"""The API over TLS, with clients that check the certificate; and no listening in the clear beyond the machine."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import warnings
from pathlib import Path

import pytest

from lambda_function import function, zip_of
from lamina_service import open_url, wait_for

ECHO = """#!/bin/sh
# Answers each event with itself; through a file, since an argument may have 128 KiB at most.
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while :; do
    curl -sS -D /tmp/head -o /tmp/event "$api/next"
    id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/head | tr -d '\\r' | cut -d' ' -f2)
    curl -sS -o /dev/null --data-binary @/tmp/event "$api/$id/response"
done
"""


def make_certificate(folder, name):
    """A self-signed certificate for 127.0.0.1 and localhost: (certificate, key)."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                    "-keyout", key, "-out", certificate], stdin=subprocess.DEVNULL, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    key.chmod(0o644)  # laminad, another user, reads it
    return certificate, key


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="lamina-tls-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def secure(make_service, folder):
    """A service with TLS; .certificate is what its clients trust."""
    certificate, key = make_certificate(folder, "first")
    service = make_service("--tls-cert", certificate, "--tls-key", key)
    service.certificate, service.key = certificate, key
    return service


def subject(service, trusted):
    """Common name of the certificate that a new connection meets, if `trusted` vouches for it."""
    context = ssl.create_default_context(cafile=str(trusted))
    host, port = service.endpoint.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=120) as plain:
        with context.wrap_socket(plain, server_hostname=host) as connection:
            return dict(pair[0] for pair in connection.getpeercert()["subject"])["commonName"]


def test_boto3_deploys_invokes_and_downloads(secure):
    assert secure.endpoint.startswith("https://127.0.0.1:")
    client = secure.client(verify=str(secure.certificate))
    package = zip_of({"bootstrap": ECHO, "filler": os.urandom(3 << 20)})  # many records in one request
    with function(client, "echo", Code={"ZipFile": package}):
        for size in (1, 1 << 14, (1 << 20) + 7):
            event = b'"' + b"x" * size + b'"'
            assert client.invoke(FunctionName="echo", Payload=event)["Payload"].read() == event
        location = client.get_function(FunctionName="echo")["Code"]["Location"]
        assert location.startswith(secure.endpoint + "/")
        with open_url(location, context=ssl.create_default_context(cafile=str(secure.certificate))) as answer:
            assert answer.read() == package


def test_command_line_clients_check_the_certificate(secure):
    trust = {"AWS_CA_BUNDLE": str(secure.certificate)}
    assert secure.lamina("list", env=trust).returncode == 0
    assert "Functions" in secure.aws("lambda", "list-functions", env=trust).stdout
    refused = secure.lamina("list", check=False)
    assert refused.returncode == 1
    assert "certificate" in refused.stderr and "AWS_CA_BUNDLE" in refused.stderr


def test_what_is_not_tls_gets_no_answer_and_harms_nobody(secure):
    host, port = secure.endpoint.split("//")[1].split(":")
    for words in (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 200, b"\x80" * 5000):
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            try:
                connection.sendall(words)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
            except ConnectionError:
                answer = b""
        assert b"HTTP/1.1 2" not in answer
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(connection)
    assert subject(secure, secure.certificate) == "first"


def test_a_new_certificate_is_taken_without_a_restart(secure, folder):
    second, second_key = make_certificate(folder, "second")
    shutil.copy(second, secure.certificate)
    shutil.copy(second_key, secure.key)
    pid = secure.pid("laminad")
    os.kill(secure.spawn_pid, signal.SIGHUP)
    wait_for(lambda: "tls.reloaded" in secure.log(), "the new certificate to be read")
    assert subject(secure, second) == "second"

    secure.certificate.write_text("this is no certificate")
    os.kill(secure.spawn_pid, signal.SIGHUP)
    wait_for(lambda: "tls.reload_failed" in secure.log(), "the bad certificate to be refused")
    assert subject(secure, second) == "second"
    assert secure.pid("laminad") == pid


def test_a_hang_up_without_tls_changes_nothing(fresh_service):
    pid = fresh_service.pid("laminad")
    os.kill(fresh_service.spawn_pid, signal.SIGHUP)
    wait_for(lambda: f"spawn.signal signal={int(signal.SIGHUP)}" in fresh_service.log(), "lamina-spawn to see the signal")
    assert fresh_service.client().list_functions()["Functions"] == []
    assert fresh_service.pid("laminad") == pid


@pytest.mark.parametrize("flags, words", [
    (["--listen", "0.0.0.0:0"], "--insecure-listen=yes"),
    (["--listen", "[::]:0"], "--insecure-listen=yes"),
    (["--listen", "192.0.2.1:0"], "--insecure-listen=yes"),
    (["--tls-cert", "/x.pem"], "tls-key is missing"),
    (["--tls-key", "/x.key"], "tls-cert is missing"),
    (["--tls-cert", "x.pem", "--tls-key", "/x.key"], "'x.pem' is not an absolute path"),
])
def test_what_cannot_be_meant_is_refused_at_start(make_service, flags, words):
    service = make_service(*flags, start=False).start(wait=False)
    assert service.process.wait(120) == 2
    assert words in service.log()


def test_files_that_cannot_be_used_are_named(make_service, folder):
    certificate, key = make_certificate(folder, "first")
    other, _ = make_certificate(folder, "other")
    for cert, path, words in ((folder / "none.pem", key, "none.pem"), (certificate, folder / "none.key", "none.key"),
                              (other, key, "key")):
        service = make_service("--tls-cert", cert, "--tls-key", path, start=False).start(wait=False)
        assert service.process.wait(120) == 1
        assert words in service.log()


def test_beyond_loopback_with_tls_or_when_told_so(make_service, folder):
    certificate, key = make_certificate(folder, "first")
    for flags in (["--tls-cert", certificate, "--tls-key", key], ["--insecure-listen", "yes"]):
        service = make_service(*flags, listen="0.0.0.0:0", start=False).start(wait=False)
        wait_for(service._endpoint_file().exists, "the endpoint file")
        scheme, _, port = service._endpoint_file().read_text().strip().rpartition(":")
        assert scheme == ("https" if "--tls-cert" in flags else "http") + "://0.0.0.0"
        service.endpoint = f"{scheme.split(':')[0]}://127.0.0.1:{port}"
        with open_url(service.endpoint + "/healthz") as answer:
            assert answer.status == 200
