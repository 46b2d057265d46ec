# SPDX-License-Identifier: MIT
"""What a function finds around it: variables, directories, limits, and a platform API that allows nothing."""
import itertools
import json

import pytest

from lambda_function import zip_of
from lamina_service import wait_for
from probe import BOOTSTRAP, ask, end_instances, probe

EROFS, ENOSPC, EACCES = 30, 28, 13
TMP_MB = 512


@pytest.fixture(scope="module")
def client(service):
    return service.client()


@pytest.fixture(scope="module")
def name(client):
    variables = {"MINE": "value with spaces = and \u00e9", "PATH": "/usr/bin:/bin", "TZ": "Europe/Zurich"}
    with probe(client, "environment", Handler="my.handler", Environment={"Variables": variables}) as made:
        yield made


def test_aws_s_variables_are_set(client, name):
    env = ask(client, name, "env")
    expected = {
        "_HANDLER": "my.handler",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "MINE": "value with spaces = and \u00e9",
        "PATH": "/usr/bin:/bin",
        "TZ": "Europe/Zurich",
    }
    assert {key: env.get(key) for key in expected} == expected
    assert "AWS_EXECUTION_ENV" not in env  # only managed runtimes have it
    assert env["AWS_LAMBDA_LOG_STREAM_NAME"].split("[")[1].startswith("$LATEST]")
    assert len(env["AWS_SESSION_TOKEN"]) > 20


def test_as_many_variables_as_4_kb_hold_are_all_there(service, client):
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [a + b for a, b in itertools.product(letters, letters)][:511]
    with probe(client, "many", Environment={"Variables": dict.fromkeys(names, "")}) as made:
        env = ask(client, made, "env")
        assert {key for key in names if env.get(key) == ""} == set(names)
        assert "AWS_LAMBDA_RUNTIME_API" in env and "LAMBDA_RUNTIME_DIR" in env
    assert service.process.poll() is None


def test_nothing_of_the_service_s_own_environment_is_there(service, client, name):
    env = ask(client, name, "env")
    known = ("AWS_", "LAMBDA_", "LAMINA_ONNXRUNTIME", "LAMINA_XGBOOST", "LANG", "LD_LIBRARY_PATH", "MINE", "PATH", "TZ", "_HANDLER",
             "LC_CTYPE")  # Python sets the last one itself
    assert [key for key in env if not key.startswith(known)] == []
    assert service.credentials["aws_secret_access_key"] not in json.dumps(env)


def test_the_process_is_where_lambda_puts_it(client, name):
    facts = ask(client, name, "facts")
    assert facts["cwd"] == "/var/task"
    assert facts["argv"][0] == "/var/task/bootstrap"
    assert facts["uid"] not in (0, 899999) and facts["gid"] != 0
    assert facts["nofile"][0] == 1024
    assert facts["stdin"].endswith("/null")


def test_only_tmp_is_writable(client, name):
    paths = ["/var/task/x", "/var/task/bootstrap", "/opt/x", "/usr/x", "/etc/x", "/etc/passwd", "/x", "/dev/x", "/proc/x"]
    refused = ask(client, name, "write", paths=paths)
    assert all(refused.values()), refused
    assert ask(client, name, "write", paths=["/tmp/x"]) == {"/tmp/x": 0}


def test_tmp_has_the_configured_size(client):
    with probe(client, "tmp", EphemeralStorage={"Size": 600}, MemorySize=2048) as made:
        assert ask(client, made, "facts")["tmp"] == 600 << 20
        full = ask(client, made, "fill", path="/tmp/full", size=1 << 30)
        assert full["errno"] == ENOSPC
        assert (600 << 20) * 0.95 < full["written"] <= 600 << 20
        assert ask(client, made, "fill", path="/tmp/again", size=1 << 20)["errno"] == 0


def test_tmp_is_kept_between_calls_and_not_shared(service, client):
    with probe(client, "kept") as made:
        assert ask(client, made, "touch", path="/tmp/first") == ["first"]
        names = (f"/tmp/then-{number}" for number in itertools.count())
        wait_for(lambda: len(ask(client, made, "touch", path=next(names))) > 2, "an instance to be used again and again")
        end_instances(service, made)
        assert ask(client, made, "touch", path="/tmp/last") == ["last"]


def test_the_cpu_share_follows_the_memory(client):
    """128 MB are 72 thousandths of a CPU: 200 ms of work take 2 s or more, whatever else the machine does. The share applies
    from the end of the init phase on, a moment after the first call may have begun."""
    with probe(client, "cpu", MemorySize=128) as made:
        wait_for(lambda: ask(client, made, "spin", ms=200) > 1.4, "the CPU share to apply")


def test_nothing_is_allowed_without_credentials_of_the_sandbox(service, client, name):
    for path, service_name in (("/2015-03-31/functions", "lambda"), ("/", "sts"), ("/bucket?list-type=2", "s3")):
        signed = ("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20260101/us-east-1/" + service_name +
                  "/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64)
        for extra in ("", f"X-Amz-Date: 20260101T000000Z\r\nAuthorization: {signed}\r\n"):
            answer = ask(client, name, "platform",
                         request=f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:4566\r\n{extra}Connection: close\r\n\r\n")
            assert answer.startswith("HTTP/1.1 403 "), answer
    # And the sandbox's are of no use outside.
    env = ask(client, name, "env")
    stranger = service.client("lambda", aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                              aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
                              aws_session_token=env["AWS_SESSION_TOKEN"])
    with pytest.raises(Exception) as caught:
        stranger.list_functions()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_files_of_the_package_are_there(client):
    package = zip_of({"bootstrap": BOOTSTRAP.replace("@MARKER@", "mine"), "lib/data.txt": "hello"})
    with probe(client, "files", Code={"ZipFile": package}) as made:
        assert ask(client, made, "marker") == "mine"
        assert ask(client, made, "write", paths=["/var/task/lib/data.txt"])["/var/task/lib/data.txt"] == EROFS
