# SPDX-License-Identifier: MIT
"""Models out of a real object store, Ceph's radosgw: by the service, and by lamina-model itself, as on AWS."""
import hashlib
import pathlib
import shutil
import tempfile

import pytest

from lambda_function import function
from model_function import infer, model_function, needs_library, tensor
from s3_origin import KEY, SECRET, Origin
from test_s3_models import PACKAGE, content, failure, invoke, with_model
from test_s3_switch import scale

MB = 1 << 20
X = tensor("x", "FP32", [1, 2], [1, 2])


@pytest.fixture
def models(radosgw):
    """put(key, data) into the real store's bucket."""
    s3 = radosgw.client("s3")
    if "models" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="models")
    return lambda key, data: s3.put_object(Bucket="models", Key=key, Body=data)


@pytest.fixture
def config(radosgw):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lamina-test-"))
    folder.chmod(0o755)
    keys = folder / "credentials"
    keys.write_text(f"[default]\naws_access_key_id = {radosgw.credentials['aws_access_key_id']}\naws_secret_access_key = {radosgw.credentials['aws_secret_access_key']}\n")
    keys.chmod(0o644)
    path = folder / "lamina.conf"
    path.write_text(f"[s3_origin ceph]\nendpoint = {radosgw.endpoint}\nregion = {radosgw.region}\n"
                    f"credentials_file = {keys}\nbuckets = models, nobucket\n")
    yield path
    shutil.rmtree(folder)


def test_the_service_fetches_from_a_real_store(make_service, models, config):
    data = content(37 * MB)
    models("a b/ü+&=?'()/m,;:@$.onnx", data)
    for name in ("m.onnx", "data/w1", "data/w2"):
        models(f"v1/{name}", name.encode())
    service = make_service("--config", config)
    client = service.client("lambda")
    with function(client, "f", **with_model("s3://models/a b/ü+&=?'()/m,;:@$.onnx")), \
            function(client, "g", **with_model("s3://models/v1/")):
        assert invoke(client, "f")["sha256"] == hashlib.sha256(data).hexdigest()
        assert invoke(client, "g")["files"] == "data m.onnx"
    assert "NoSuchKey" in failure(client, "h", "s3://models/none")[1]
    assert "NoSuchBucket" in failure(client, "i", "s3://nobucket/none")[1]


def test_a_wrong_secret_is_told_in_the_stores_words(make_service, models, config):
    text = config.read_text()
    keys = config.parent / "wrong"
    keys.write_text((config.parent / "credentials").read_text() + "aws_secret_access_key = wrong\n")
    keys.chmod(0o644)
    config.write_text(text.replace(str(config.parent / "credentials"), str(keys)))
    models("m", b"x")
    service = make_service("--config", config)
    code, reason = failure(service.client("lambda"), "f", "s3://models/m")
    assert code == "InsufficientRolePermissions" and "SignatureDoesNotMatch" in reason


def alone(radosgw, uri, **more):
    return {"MODEL_URI": uri, "AWS_ENDPOINT_URL": radosgw.endpoint, "AWS_REGION": radosgw.region,
            "AWS_ACCESS_KEY_ID": radosgw.credentials["aws_access_key_id"], "AWS_SECRET_ACCESS_KEY": radosgw.credentials["aws_secret_access_key"], **more}


@needs_library
def test_lamina_model_fetches_by_itself(build, radosgw, models):
    model = scale(3)
    models("some folder/m.onnx", model)
    with model_function(build, **alone(radosgw, "s3://models/some folder/m.onnx")) as api:
        assert infer(api, X)["y"]["data"] == [3, 6]
        answer = api.invoke({})
        assert answer.json["versions"] == [hashlib.sha256(model).hexdigest()]


@needs_library
def test_lamina_model_signs_with_a_long_secret(build):
    """Against a store of the tests' own that checks each signature: radosgw's secrets are short."""
    with Origin() as origin:
        origin.put("models", "m.onnx", scale(3))
        with model_function(build, MODEL_URI="s3://models/m.onnx", AWS_ENDPOINT_URL=origin.endpoint, AWS_REGION="us-east-1",
                            AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET) as api:
            assert infer(api, X)["y"]["data"] == [3, 6]


@needs_library
def test_lamina_model_fetches_many_parts(build, radosgw, models):
    """More parts than connections: a model with a doc string of 80 MB."""
    text = b"x" * (80 * MB)
    size = bytearray()
    number = len(text)
    while number > 127:
        size.append(number & 127 | 128)
        number >>= 7
    size.append(number)
    model = scale(4) + b"\x32" + bytes(size) + text
    models("large.onnx", model)
    with model_function(build, **alone(radosgw, "s3://models/large.onnx")) as api:
        assert infer(api, X)["y"]["data"] == [4, 8]
        assert api.invoke({}).json["versions"] == [hashlib.sha256(model).hexdigest()]


@needs_library
@pytest.mark.parametrize("uri, more, says", [
    ("s3://models/none.onnx", {}, "NoSuchKey"),
    ("s3://models/m.onnx", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
    ("s3://models/prefix/", {}, "one object"),
    ("s3://models/m.onnx", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "fetch the model from 127.0.0.1:1"),
])
def test_lamina_model_says_what_it_could_not_fetch(build, radosgw, models, uri, more, says):
    models("m.onnx", scale(1))
    with model_function(build, **{**alone(radosgw, uri), **more}) as api:
        answer = api.answer()
        assert answer.kind == "init" and says in answer.json["errorMessage"]
