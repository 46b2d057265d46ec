# SPDX-License-Identifier: MIT
"""MODEL_URI: a model out of another object store, as a function and its owner see it, and what a bad store can do."""
import hashlib
import json
import random
import signal
import threading

import pytest

from lambda_function import BOOTSTRAP, function, invoke, package, refused, settings, zip_of
from lamina_service import wait_for
from s3_origin import Gone, Origin

MB = 1 << 20
LOOKS = ('"greeting":"\'${GREETING-}\'"',
         '"path":"\'${MODEL_PATH-}\'","sha256":"\'$(sha256sum <"$MODEL_PATH" | cut -c1-64)\'",'
         '"files":"\'$(cd "${MODEL_PATH%/*}" && echo *)\'","sets":"\'$(echo /opt/lamina/models/*)\'"')
PACKAGE = zip_of({"bootstrap": BOOTSTRAP.replace("MARKER", "s3").replace(*LOOKS)})


def content(size, seed=1):
    return random.Random(seed).randbytes(size)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def origin():
    with Origin() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    import pathlib
    import shutil
    import tempfile
    path = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))  # tmp_path is closed to laminad's user
    yield path
    shutil.rmtree(path)


def with_model(uri, **more):
    return {"Code": {"ZipFile": PACKAGE}, "Environment": {"Variables": {"MODEL_URI": uri, **more}}}


def outcome(client, name):
    """State, code and reason once the deployment is over."""
    def look():
        c = client.get_function_configuration(FunctionName=name)
        if c["State"] != "Pending" and c.get("LastUpdateStatus") != "InProgress":
            return c
        return None
    return wait_for(look, "the deployment to end")


def failure(client, name, uri, **more):
    client.create_function(**settings(name, **with_model(uri, **more)))
    made = outcome(client, name)
    assert made["State"] == "Failed", made
    return made["StateReasonCode"], made["StateReason"]


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_a_model_is_there_before_the_first_call(make_service, origin, folder, style):
    data = content(20 * MB + 12345)
    key = "a b/ü+&=?/m,;:@$.onnx"
    origin.put("models", key, data)
    if style == "virtual":
        origin.endpoint = f"http://localhost:{origin.port}"
    service = make_service("--config", origin.config(folder, "models", style=style))
    client = service.client("lambda")
    with function(client, "f", **with_model(f"s3://models/{key}")):
        seen = invoke(client, "f")
        digest = sha256(data)
        assert seen["path"] == f"/opt/lamina/models/{digest}/m,;:@$.onnx"
        assert seen["sha256"] == digest
        assert origin.bytes_sent("models", key) == len(data)


def test_two_functions_of_one_model_fetch_it_once_and_see_their_own(make_service, origin, folder):
    one, other = content(9 * MB, 1), content(1000, 2)
    origin.put("models", "one", one)
    origin.put("models", "other", other)
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/one")), \
            function(client, "g", **with_model("s3://models/one")), \
            function(client, "h", **with_model("s3://models/other")):
        assert invoke(client, "f")["sha256"] == invoke(client, "g")["sha256"] == sha256(one)
        assert invoke(client, "h")["sets"] == f"/opt/lamina/models/{sha256(other)}"
        assert origin.bytes_sent("models", "one") == len(one)
        inodes = {path.stat().st_ino for path in service.data_dir.glob(f"models/*/{sha256(one)}/one")}
        assert len(inodes) == 1


def test_a_prefix_becomes_a_folder(make_service, origin, folder):
    for name in ("m.onnx", "data/w1", "data/w2", "data/w3", "empty"):
        origin.put("models", f"v1/{name}", b"" if name == "empty" else content(100, name))
    origin.put("models", "v1/folder/", b"")
    origin.put("models", "v10/no", b"x")
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/v1/")):
        seen = invoke(client, "f")
        assert seen["path"].endswith("/m.onnx")
        assert seen["sha256"] == sha256(origin.objects["models", "v1/m.onnx"])
        assert seen["files"] == "data empty m.onnx"


def test_a_version_is_the_one_that_was_named(make_service, origin, folder):
    origin.put("models", "m", b"new")
    origin.put("models", "m", b"old", version="v/1")
    origin.objects["models", "m"] = b"new"
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/m?versionId=v/1")):
        assert invoke(client, "f")["sha256"] == sha256(b"old")


def test_what_is_missing_or_forbidden_is_said_in_the_stores_words(make_service, origin, folder):
    origin.put("models", "m", b"x")
    service = make_service("--config", origin.config(folder, "models", "nobucket"))
    client = service.client("lambda")
    code, reason = failure(client, "f1", "s3://models/none")
    assert code == "InvalidConfiguration" and "s3://models/none: NoSuchKey" in reason
    code, reason = failure(client, "f2", "s3://nobucket/m")
    assert "s3://nobucket/m: NoSuchBucket" in reason
    code, reason = failure(client, "f3", "s3://models/m?versionId=9")
    assert "NoSuchVersion" in reason
    origin.fault = lambda request: request.error(403, "AccessDenied") or True
    code, reason = failure(client, "f4", "s3://models/m")
    assert code == "InsufficientRolePermissions" and "s3://models/m: AccessDenied" in reason
    code, reason = failure(client, "f5", "s3://UPPER/m")
    assert "not the name of a bucket" in reason
    code, reason = failure(client, "f6", "http://169.254.169.254/latest/meta-data")
    assert "begins with s3://" in reason
    # What failed can be mended: the other model, then Active.
    origin.fault = None
    client.update_function_configuration(FunctionName="f1", Environment={"Variables": {"MODEL_URI": "s3://models/m"}})
    assert outcome(client, "f1")["State"] == "Active"
    assert invoke(client, "f1")["sha256"] == sha256(b"x")


def test_published_at_once_means_fetched_at_once(make_service, origin, folder):
    origin.put("models", "m", b"one")
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    client.create_function(**settings("f", Publish=True, **with_model("s3://models/m")))
    assert outcome(client, "f")["State"] == "Active"
    assert invoke(client, "f", Qualifier="1")["sha256"] == sha256(b"one")
    with refused("InvalidParameterValueException", 400, "MODEL_URI: s3://models/n: NoSuchKey"):
        client.create_function(**settings("g", Publish=True, **with_model("s3://models/n")))


def test_a_change_of_the_uri_keeps_the_old_model_until_the_new_one_is_here(make_service, origin, folder):
    origin.put("models", "one", b"one")
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/one")):
        client.update_function_configuration(FunctionName="f",
                                             Environment={"Variables": {"MODEL_URI": "s3://models/two"}})
        changed = outcome(client, "f")
        assert changed["LastUpdateStatus"] == "Failed" and "NoSuchKey" in changed["LastUpdateStatusReason"]
        assert invoke(client, "f")["sha256"] == sha256(b"one")
        origin.put("models", "two", b"two")
        client.update_function_code(FunctionName="f", ZipFile=PACKAGE)
        assert outcome(client, "f")["LastUpdateStatus"] == "Successful"
        assert invoke(client, "f")["sha256"] == sha256(b"two")


# ---- A bad store

def test_broken_connections_are_gone_on_with(make_service, origin, folder):
    data = content(20 * MB)
    origin.put("models", "m", data)
    broken = []

    def reset(request):
        if request.range and len(broken) < 6:
            first, last = request.range
            broken.append(first)
            request.send_head(206, {"ETag": origin.etag(data),
                                    "Content-Range": f"bytes {first}-{last}/{len(data)}"}, last - first + 1)
            request.send_body(data[first:first + 100_000])
            raise Gone
        return False
    origin.fault = reset
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/m")):
        assert invoke(client, "f")["sha256"] == sha256(data)
        assert len(broken) == 6 and origin.bytes_sent("models", "m") <= len(data) * 1.01


def test_an_error_of_the_moment_is_tried_again(make_service, origin, folder):
    origin.put("models", "m", b"model")
    errors = iter([503, 500, 429, 503])

    def slow_down(request):
        status = next(errors, None)
        return bool(status and (request.error(status, "SlowDown") or True))
    origin.fault = slow_down
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/m")):
        assert invoke(client, "f")["sha256"] == sha256(b"model")


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_connection_that_stalls_is_given_up_and_gone_on_with(make_service, origin, folder, drip):
    """Nothing more, or a byte now and then: neither holds a thread for ever."""
    data = content(9 * MB)
    origin.put("models", "m", data)
    stalled, end = [], threading.Event()

    def stall(request):
        if not request.range or stalled:
            return False
        first, last = request.range
        stalled.append(first)
        request.send_head(206, {"ETag": origin.etag(data), "Content-Range": f"bytes {first}-{last}/{len(data)}"},
                          last - first + 1)
        request.send_body(data[first:first + 100_000])
        for at in range(first + 100_000, last):
            if end.wait(0.2):
                break
            request.connection.sendall(drip and data[at:at + 1])
        raise Gone
    origin.fault = stall
    service = make_service("--config", origin.config(folder, "models", stall_s=1))
    client = service.client("lambda")
    try:
        with function(client, "f", **with_model("s3://models/m")):
            assert invoke(client, "f")["sha256"] == sha256(data)
            assert len(stalled) == 1 and origin.bytes_sent("models", "m") <= len(data) * 1.01
    finally:
        end.set()


def liar(origin, data, answer):
    """A fault that answers ranged GETs with answer(request, first, last)."""
    def fault(request):
        if request.method != "GET" or not request.range:
            return False
        answer(request, *request.range)
        return True
    return fault


LIES = {
    "200 to a range": (lambda r, data, a, b: r.answer(200, data, {"ETag": Origin.etag(data)}), "answered 200 to a range"),
    "another range": (lambda r, data, a, b: r.answer(206, data[a:b + 1], {
        "Content-Range": f"bytes {a + 1}-{b + 1}/{len(data)}"}), "another range"),
    "another total": (lambda r, data, a, b: r.answer(206, data[a:b + 1], {
        "Content-Range": f"bytes {a}-{b}/{len(data) + 1}"}), "another range"),
    "no range": (lambda r, data, a, b: r.answer(206, data[a:b + 1]), "another range"),
    "too much": (lambda r, data, a, b: r.answer(206, data[a:b + 1] + b"more", {
        "Content-Range": f"bytes {a}-{b}/{len(data)}"}), "more than the range"),
    "too little": (lambda r, data, a, b: r.answer(206, data[a:b], {
        "Content-Range": f"bytes {a}-{b}/{len(data)}"}), "shorter than it said"),
    "other bytes": (lambda r, data, a, b: r.answer(206, b"x" * (b + 1 - a), {
        "Content-Range": f"bytes {a}-{b}/{len(data)}"}), "BadDigest"),
    "an endless error": (lambda r, data, a, b: r.answer(418, bytes(5 * MB)), "(status 418)"),
    "an empty list": (lambda r, data, a, b: r.answer(204), "(status 204)"),
    "garbage": (lambda r, data, a, b: r.connection.sendall(b"\0\1\2 what?\r\n\r\n") or (_ for _ in ()).throw(Gone), "s3://models/m"),
}


def test_lies_are_found_and_named(make_service, origin, folder):
    data = content(1000)
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    answers = {}
    for number, (what, (answer, _)) in enumerate(LIES.items()):
        origin.put("models", f"m{number}", data)
        answers[f"m{number}"] = answer
    origin.fault = liar(origin, data, lambda r, a, b: answers[r.key](r, data, a, b))
    for number in range(len(LIES)):  # all at once: those that look like the moment's take all their tries
        client.create_function(**settings(f"f{number}", **with_model(f"s3://models/m{number}")))
    for number, (what, (_, expected)) in enumerate(LIES.items()):
        made = outcome(client, f"f{number}")
        reason = made["StateReason"]
        assert made["State"] == "Failed" and expected in reason and f"s3://models/m{number}" in reason, (what, reason)
    assert not list(service.data_dir.glob("models/*/*")), "nothing of it is left"


def test_an_object_that_changes_meanwhile_is_never_mixed(make_service, origin, folder):
    old, new = content(30 * MB, 1), content(30 * MB, 2)
    origin.put("models", "m", old)
    origin.rate = 20 * MB

    def change(request):
        if request.range and request.range[0] > 8 * MB:
            origin.put("models", "m", new)
        return False
    origin.fault = change
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/m")):
        assert invoke(client, "f")["sha256"] == sha256(new)


@pytest.mark.parametrize("target", ["http://127.0.0.1:{other}/models/m", "http://[::1]:{other}/m",
                                    "http://169.254.169.254/latest", "http://localhost:{other}/m",
                                    "http://[::ffff:127.0.0.1]:{other}/m", "file:///etc/passwd", "gopher://127.0.0.1/",
                                    "http://127.1:{other}/m", "http://2130706433:{other}/m", "//10.0.0.1/x"])
def test_a_redirect_leads_to_no_inner_address(service_of_redirects, target):
    service, origin, other = service_of_redirects
    origin.fault = lambda request: request.answer(307, b"", {"Location": target.format(other=other.port)}) or True
    client = service.client("lambda")
    name = f"f{abs(hash(target))}"
    _, reason = failure(client, name, "s3://models/m")
    assert "redirect" in reason
    assert not other.requests


@pytest.fixture(scope="module")
def service_of_redirects(build):
    import pathlib
    import shutil
    import tempfile
    from lamina_service import Service
    path = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))
    with Origin() as origin, Origin() as other, Service(build, "--config", origin.config(path, "models")) as service:
        origin.put("models", "m", b"x")
        yield service, origin, other
    shutil.rmtree(path)


def test_a_redirect_within_the_store_is_followed(make_service, origin, folder):
    origin.put("models", "m", b"model")

    def elsewhere(request):
        if request.key == "m":
            request.answer(307, b"", {"Location": f"{origin.endpoint}/models/there%2Fm"})
            return True
        return False
    origin.put("models", "there/m", b"model there")
    origin.fault = elsewhere
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/m")):
        assert invoke(client, "f")["sha256"] == sha256(b"model there")


def test_a_store_behind_a_private_authority(make_service, folder):
    """https: its certificate counts if ca_file vouches for it, and not otherwise."""
    from test_tls import make_certificate
    certificate, key = make_certificate(folder, "store")
    other, _ = make_certificate(folder, "other")
    data = content(9 * MB)
    with Origin(certificate=(certificate, key)) as known, Origin(certificate=(certificate, key)) as unknown, \
            Origin(certificate=(certificate, key)) as wrong:
        for store in (known, unknown, wrong):
            store.put("models", "m", data)
        known.config(folder, "models", name="known", ca_file=certificate)
        unknown.config(folder, "unvouched", name="unknown")
        config = wrong.config(folder, "strangers", name="wrong", ca_file=other)
        service = make_service("--config", config)
        client = service.client("lambda")
        with function(client, "f", **with_model("s3://models/m")):
            assert invoke(client, "f")["sha256"] == sha256(data)
        for bucket, store in (("unvouched", unknown), ("strangers", wrong)):
            code, reason = failure(client, bucket, f"s3://{bucket}/m")
            assert f"s3://{bucket}/m" in reason and "TLS" in reason and "certificate" in reason, reason
            assert code == "InvalidConfiguration" and store.requests == []


def test_an_error_that_is_megabytes_long_is_not_kept(make_service, origin, folder):
    """What is told is its first words; the connection is given up."""
    origin.put("models", "m", b"m")
    body = (b"<?xml version='1.0'?><Error><Code>TooMuch</Code><Message>of it</Message></Error>" + b" " * (8 * MB))

    def talk(request):
        if request.method != "HEAD":
            request.answer(403, body, {"Content-Type": "application/xml"})
        else:
            request.send_head(403, {}, 0)
        return True
    origin.fault = talk
    service = make_service("--config", origin.config(folder, "models"))
    code, reason = failure(service.client("lambda"), "f", "s3://models/m")
    assert code == "InsufficientRolePermissions" and "s3://models/m: TooMuch: of it" in reason


def test_a_model_that_is_two_gigabytes_of_zeros(build, make_service, origin, folder):
    """It is brought, and no model: a call says so. What the store sends is made up as it goes."""
    from model_function import LIBRARY
    if not LIBRARY.exists():
        pytest.skip("tools/deps inference has not been run")
    size, zeros = 2 << 30, bytes(MB)

    def answer(request):
        first, last = request.range or (0, size - 1)
        headers = {"ETag": '"zeros"', "Content-Range": f"bytes {first}-{last}/{size}"}
        request.send_head(206 if request.range else 200, headers, last + 1 - first)
        for at in range(first, last + 1, MB):
            if request.method != "HEAD":
                request.connection.sendall(zeros[:last + 1 - at])
        return True
    origin.put("models", "m.onnx", b"")
    origin.fault = answer
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    code = {"ZipFile": zip_of({"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()})}
    with function(client, "f", Code=code, MemorySize=512, Timeout=30,
                  Environment={"Variables": {"MODEL_URI": "s3://models/m.onnx"}}):
        got = client.invoke(FunctionName="f", Payload=b"{}")
        assert "FunctionError" in got, got["Payload"].read()
    with function(client, "g", Code={"ZipFile": PACKAGE}):  # the service is well
        assert invoke(client, "g")["path"] == ""


def test_kill_9_in_the_middle_fetches_only_the_rest(make_service, origin, folder):
    data = content(64 * MB)
    origin.put("models", "m", data)
    origin.rate = 4 * MB
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    client.create_function(**settings("f", **with_model("s3://models/m")))
    wait_for(lambda: any(path.stat().st_size >= 32 + 8 for path in service.data_dir.glob("partial/*.map")),
             "the first range to be there")
    service.stop(signal.SIGKILL)
    had = origin.bytes_sent("models", "m")
    ranges = sum((path.stat().st_size - 32) // 8 for path in service.data_dir.glob("partial/*.map"))
    assert ranges > 0
    origin.rate = None
    service.start()
    client = service.client("lambda")
    assert outcome(client, "f")["State"] == "Active"
    assert invoke(client, "f")["sha256"] == sha256(data)
    assert origin.bytes_sent("models", "m") - had < len(data), "what was there was not fetched again"
    assert not list(service.data_dir.glob("partial/*"))


def test_links_that_were_lost_are_made_again_at_start(make_service, origin, folder):
    import shutil
    origin.put("models", "m", b"model")
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    client.create_function(**settings("f", **with_model("s3://models/m")))
    assert outcome(client, "f")["State"] == "Active"
    service.stop()
    shutil.rmtree(service.data_dir / "models")
    service.start()
    assert invoke(service.client("lambda"), "f")["sha256"] == sha256(b"model")


def test_a_model_goes_with_its_function(make_service, origin, folder):
    origin.put("models", "m", b"model")
    service = make_service("--config", origin.config(folder, "models"), "--collect-after-s", "1")
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/m")):
        assert list(service.data_dir.glob("models/*/*/m"))
    wait_for(lambda: not list(service.data_dir.glob("models/*")), "the collection")
    digest = sha256(b"model")
    wait_for(lambda: not (service.data_dir / "objects" / digest[:2] / digest).exists(), "its object to go, too")


# ---- The embedded store

def test_a_model_in_a_bucket_of_the_service_is_not_copied(make_service):
    service = make_service()
    client, s3 = service.client("lambda"), service.client("s3")
    data = content(9 * MB)
    s3.create_bucket(Bucket="models")
    s3.put_object(Bucket="models", Key="a/m.onnx", Body=data)
    with function(client, "f", **with_model("s3://models/a/m.onnx")):
        seen = invoke(client, "f")
        assert seen["sha256"] == sha256(data) and seen["path"].endswith(f"/{sha256(data)}/m.onnx")
        inodes = {path.stat().st_ino for pattern in (f"objects/*/{sha256(data)}", "models/*/*/m.onnx")
                  for path in service.data_dir.glob(pattern)}
        assert len(inodes) == 1
        s3.delete_object(Bucket="models", Key="a/m.onnx")
        assert invoke(client, "f")["sha256"] == sha256(data), "the function keeps what it was deployed with"
    code, reason = failure(client, "g", "s3://models/a/m.onnx")
    assert "s3://models/a/m.onnx: NoSuchKey" in reason
    code, reason = failure(client, "h", "s3://nobucket/a")
    assert "NoSuchBucket" in reason


def test_a_prefix_in_a_bucket_of_the_service(make_service):
    service = make_service()
    client, s3 = service.client("lambda"), service.client("s3")
    s3.create_bucket(Bucket="models")
    for key in ("v1/m.onnx", "v1/data/w", "v2/no"):
        s3.put_object(Bucket="models", Key=key, Body=key.encode())
    with function(client, "f", **with_model("s3://models/v1/")):
        seen = invoke(client, "f")
        assert seen["sha256"] == sha256(b"v1/m.onnx") and seen["files"].startswith("data ")


# ---- What a function asks

ASKS = ('"greeting":"\'${GREETING-}\'"', '"answer":\'$(ask "$event")\'')
ASK = r"""
ask() { # the Runtime API's answer about the model that the event names
    exec 4<>"/dev/tcp/$host/$port"
    printf 'GET /2018-06-01/lamina/model?uri=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' "${1//\"/}" >&4
    answer=$(tr -d '\r' <&4); exec 4<&- 4>&-
    status=${answer#* } status=${status%% *} body=${answer##*$'\n\n'}
    path=${body#*path\":\"} path=${path%%\"*}
    [ "$status" != 200 ] || [ -r "$path" ] || body=null
    echo "{\"status\":$status,\"body\":$body}"
}
"""
ASKING = zip_of({"bootstrap": BOOTSTRAP.replace("MARKER", "asks").replace("LC_ALL=C\n", "LC_ALL=C\n" + ASK, 1)
                .replace(*ASKS)})


def ask(client, name, uri):
    answer = invoke(client, name, f'"{uri}"'.encode())["answer"]
    return answer["status"], answer["body"]


def test_a_function_asks_for_models_and_finds_them(make_service, origin, folder):
    one, two = content(9 * MB, 1), content(2000, 2)
    origin.put("models", "dir/one.onnx", one)
    service = make_service("--config", origin.config(folder, "models"))
    client, s3 = service.client("lambda"), service.client("s3")
    s3.create_bucket(Bucket="own")
    s3.put_object(Bucket="own", Key="two", Body=two)
    s3.create_bucket(Bucket="other")
    s3.put_object(Bucket="other", Key="two", Body=two)
    with function(client, "f", Code={"ZipFile": ASKING},
                  Environment={"Variables": {"A_BUCKET": "models", "B_BUCKET": "own"}}):
        for _ in range(2):
            assert ask(client, "f", "s3://models/dir/one.onnx") == (200, {
                "path": f"/opt/lamina/models/{sha256(one)}/one.onnx", "sha256": sha256(one), "bytes": len(one)})
        assert origin.bytes_sent("models", "dir/one.onnx") == len(one)
        assert ask(client, "f", "s3%3A%2F%2Fown%2Ftwo")[1]["sha256"] == sha256(two)
        assert ask(client, "f", "s3://models/none")[0] == 404
        status, body = ask(client, "f", "s3://other/two")
        assert status == 403 and body["errorType"] == "AccessDenied", "nobody named this bucket"
        for nonsense in ("", "http://127.0.0.1/x", "s3://UPPER/x", "file:///etc/passwd", "s3://own/%00", "%"):
            assert ask(client, "f", nonsense)[0] == 400, nonsense


def test_a_prefix_gives_nothing_that_the_role_denies(make_service, service_role):
    """What a role may read is asked of all that may be beneath a prefix, and of versions by their own name."""
    service = make_service()
    client, s3 = service.client("lambda"), service.client("s3")
    s3.create_bucket(Bucket="own")
    s3.put_bucket_versioning(Bucket="own", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket="own", Key="dir/open", Body=b"old")["VersionId"]
    for key in ("dir/open", "dir/secret", "free/x"):
        s3.put_object(Bucket="own", Key=key, Body=b"new")
    role = service_role(service, ("Allow", "s3:GetObject", "arn:aws:s3:::own/*"), ("Allow", "s3:ListBucket", "*"),
                        ("Deny", "s3:GetObject", "arn:aws:s3:::own/dir/secret"))
    with function(client, "f", Code={"ZipFile": ASKING}, Role=role):
        answers = {uri: ask(client, "f", "s3://own" + uri)[0] for uri in (
            "/dir/open", "/dir/secret", "/dir/", "/", "/free/", f"/dir/open?versionId={old}".replace("?", "%3F"))}
        assert answers == {"/dir/open": 200, "/dir/secret": 403, "/dir/": 403, "/": 403, "/free/": 200,
                           f"/dir/open%3FversionId={old}": 403}


@pytest.fixture
def service_role():
    def make(service, *statements):
        iam = service.client("iam")
        trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                         "Principal": {"Service": "lambda.amazonaws.com"}}]}
        arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": resource}
                                                   for effect, action, resource in statements]}))
        return arn
    return make


def test_many_who_ask_at_once_read_it_once(make_service, origin, folder):
    import concurrent.futures
    data = content(9 * MB)
    origin.put("models", "m", data)
    origin.rate = 4 * MB
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", Code={"ZipFile": ASKING}, MemorySize=128,
                  Environment={"Variables": {"A_BUCKET": "models"}}):
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: ask(service.client("lambda"), "f", "s3://models/m"), range(60)))
        assert {(status, body["sha256"]) for status, body in answers} == {(200, sha256(data))}
        assert origin.bytes_sent("models", "m") <= 1.01 * len(data)


def test_its_own_model_is_the_one_it_was_started_with(make_service, origin, folder):
    origin.put("models", "m", b"one")
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    with function(client, "f", Code={"ZipFile": ASKING}, Environment={"Variables": {"MODEL_URI": "s3://models/m"}}):
        version = client.publish_version(FunctionName="f")["Version"]
        origin.put("models", "m", b"two")
        answer = invoke(client, "f", b'"s3://models/m"', Qualifier=version)["answer"]
        assert answer == {"status": 200, "body": {"path": f"/opt/lamina/models/{sha256(b'one')}/m",
                                                  "sha256": sha256(b"one"), "bytes": 3}}


# ---- Packages out of buckets

def test_a_package_out_of_a_bucket(make_service, origin, folder):
    origin.put("away", "f.zip", PACKAGE)
    service = make_service("--config", origin.config(folder, "away"))
    client, s3 = service.client("lambda"), service.client("s3")
    s3.create_bucket(Bucket="code")
    s3.put_bucket_versioning(Bucket="code", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="code", Key="f.zip", Body=package("first"))["VersionId"]
    s3.put_object(Bucket="code", Key="f.zip", Body=package("second"))
    s3.put_object(Bucket="code", Key="no.zip", Body=b"this is no zip")
    with function(client, "f", Code={"S3Bucket": "code", "S3Key": "f.zip"}):
        assert invoke(client, "f")["marker"] == "second"
        client.update_function_code(FunctionName="f", S3Bucket="code", S3Key="f.zip", S3ObjectVersion=first)
        assert invoke(client, "f")["marker"] == "first"
        client.update_function_code(FunctionName="f", S3Bucket="away", S3Key="f.zip", Publish=True)
        assert invoke(client, "f", Qualifier="1")["marker"] == "s3"
        with refused("InvalidParameterValueException", 400, "S3 Error Code: NoSuchKey."):
            client.update_function_code(FunctionName="f", S3Bucket="code", S3Key="none.zip")
        with refused("InvalidParameterValueException", 400, "Could not unzip uploaded file"):
            client.update_function_code(FunctionName="f", S3Bucket="code", S3Key="no.zip")
        assert invoke(client, "f")["marker"] == "s3"
    layer = client.publish_layer_version(LayerName="l", Content={"S3Bucket": "code", "S3Key": "f.zip"})
    assert layer["Content"]["CodeSize"] == len(package("second"))
    with refused("InvalidParameterValueException", 400, "S3 Error Code: NoSuchBucket."):
        client.create_function(**settings("g", Code={"S3Bucket": "nobucket", "S3Key": "f.zip"}))


def test_liblamina_opens_models(build, make_service, origin, folder):
    origin.put("models", "m", b"my own model")
    service = make_service("--config", origin.config(folder, "models"))
    client = service.client("lambda")
    probe = zip_of({"bootstrap": (build / "tests/sdk_probe").read_bytes()})
    with function(client, "f", Code={"ZipFile": probe}, Environment={"Variables": {"MODEL_URI": "s3://models/m"}}):
        def opened(uri):
            return json.loads(client.invoke(FunctionName="f", Payload=json.dumps("m" + uri))["Payload"].read())
        origin.put("models", "m", b"a newer one")
        assert opened("") == opened("s3://models/m") == {"begins": "my own model"}
        assert opened("s3://models/odd%20x") == {"error": "No such file or directory"}
        origin.put("models", "plain", b"plain model")
        assert opened("s3://models/plain") == {"begins": "plain model"}
        assert opened("s3://secrets/x") == {"error": "Permission denied"}
        assert opened("nonsense") == {"error": "Invalid argument"}
