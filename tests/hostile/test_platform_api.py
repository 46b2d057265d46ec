# SPDX-License-Identifier: MIT
"""A function turns its own credentials against the platform, through the AWS SDK, from inside its sandbox.

Its role allows nothing yet: each operation is denied, and nothing has happened afterwards.
"""
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flow"))
from lambda_function import fresh_name, settings, zip_of  # noqa: E402

BOOTSTRAP = r"""#!/usr/bin/python3
import http.client, json, os
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

def session(name):
    return boto3.client(name, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=Config(
        retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=120,
        s3={"addressing_style": "path"}))

me = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
role = "arn:aws:iam::000000000000:role/lambda"
attempts = {
    "lambda:ListFunctions": lambda c: c.list_functions(),
    "lambda:GetFunction": lambda c: c.get_function(FunctionName=me),
    "lambda:CreateFunction": lambda c: c.create_function(
        FunctionName="made-from-inside", Runtime="provided.al2023", Handler="x", Role=role,
        Code={"ZipFile": b"x"}),
    "lambda:UpdateFunctionCode": lambda c: c.update_function_code(FunctionName=me, ZipFile=b"x"),
    "lambda:UpdateFunctionConfiguration": lambda c: c.update_function_configuration(
        FunctionName=me, Timeout=900),
    "lambda:PublishVersion": lambda c: c.publish_version(FunctionName=me),
    "lambda:DeleteFunction": lambda c: c.delete_function(FunctionName=me),
    "lambda:Invoke": lambda c: c.invoke(FunctionName=me, Payload=b"{}"),
    "s3:ListBuckets": lambda c: c.list_buckets(),
    "s3:GetObject": lambda c: c.get_object(Bucket="models", Key="model.onnx"),
}

def attack():
    results = {}
    for name, attempt in attempts.items():
        try:
            attempt(session(name.split(":")[0]))
            results[name] = "done"
        except ClientError as error:
            results[name] = [error.response["ResponseMetadata"]["HTTPStatusCode"],
                             error.response["Error"]["Code"]]
        except Exception as error:
            results[name] = repr(error)
    return results

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    answer.read()
    request = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    api.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", json.dumps(attack()))
    api.getresponse().read()
"""


def test_a_function_s_credentials_allow_nothing_on_the_platform(service):
    pytest.importorskip("boto3")
    client = service.client("lambda")
    name = fresh_name("inside")
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"bootstrap": BOOTSTRAP})},
                                      Timeout=300))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    before = client.get_function_configuration(FunctionName=name)
    answer = client.invoke(FunctionName=name)
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    assert payload == {attempt: [403, "AccessDenied" if attempt.startswith("s3:") else "AccessDeniedException"]
                       for attempt in payload}
    assert len(payload) == 10
    after = client.get_function_configuration(FunctionName=name)
    for volatile in ("ResponseMetadata",):
        before.pop(volatile), after.pop(volatile)
    assert after == before
    assert "made-from-inside" not in [one["FunctionName"] for one in client.list_functions()["Functions"]]
    client.delete_function(FunctionName=name)
