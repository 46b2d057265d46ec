# SPDX-License-Identifier: MIT
"""A function that calls the platform from inside its sandbox: an ordinary Python handler with boto3, as users write it.

    with caller(service, "name", NEXT_FUNCTION_NAME="other") as ask:
        ask(("lambda", "invoke", {"FunctionName": "other"}))    -> [{"Payload": "..."}] or [{"code": ..., "status": ...}]
"""
import contextlib
import json
import sys

from lambda_function import function, invoke, zip_of

RUNTIME = "python%d.%d" % sys.version_info[:2] if sys.version_info[:2] <= (3, 13) else "python3.13"

HANDLER = r'''
import http.client
import json
import os

import boto3
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=240, s3={"addressing_style": "path"})
PLACE = os.environ["AWS_ENDPOINT_URL"].split("//")[1]
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def call(service, operation, arguments, keys=None):
    """One operation through the SDK; `keys` replace this sandbox's."""
    arguments = {k: bytes(v["zeros"]) if isinstance(v, dict) and "zeros" in v else v for k, v in arguments.items()}
    if "Code" in arguments:
        arguments["Code"] = {"ZipFile": arguments["Code"]}
    given = dict(zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), keys)) if keys else {}
    client = boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=CONFIG, **given)
    try:
        answer = getattr(client, operation)(**arguments)
    except ClientError as error:
        return {"code": error.response["Error"]["Code"], "status": error.response["ResponseMetadata"]["HTTPStatusCode"],
                "message": error.response["Error"]["Message"]}
    answer["status"] = answer.pop("ResponseMetadata")["HTTPStatusCode"]
    return {k: v.read().decode() if hasattr(v, "read") else v for k, v in answer.items()}


def by_hand(method, path, body="", sign=None, headers=None, service="lambda"):
    """[status, headers, body] of a request that the SDK would not make."""
    body = body.encode()
    headers = dict(headers or {})
    if sign:
        request = AWSRequest(method, "http://" + PLACE + path, data=body, headers=headers)
        auth = {"header": SigV4Auth, "query": SigV4QueryAuth}[sign]
        auth(Credentials(*(os.environ[k] for k in KEYS)), service, os.environ["AWS_REGION"]).add_auth(request)
        headers = dict(request.headers.items())
        path = request.url.split(PLACE, 1)[1]
    connection = http.client.HTTPConnection(PLACE, timeout=240)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    return [answer.status, dict(answer.headers.items()), answer.read().decode(errors="replace")]


def handler(event, context):
    if event == "keys":
        return [os.environ[k] for k in KEYS]
    if "by_hand" in event:
        return by_hand(**event["by_hand"])
    return [call(*one) for one in event["calls"]]
'''

# call_next(function, kind, body) -> status, error, body. Signs by itself: importing boto3 takes long.
SIGNING = r'''
import hashlib, hmac, http.client, json, os, time

def call_next(name, kind, body):
    key, secret, token = (os.environ["AWS_" + k] for k in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
    place, path = "127.0.0.1:4566", "/2015-03-31/functions/%s/invocations" % name
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = "%s/%s/lambda/aws4_request" % (stamp[:8], os.environ["AWS_REGION"])
    headers = {"host": place, "x-amz-date": stamp, "x-amz-invocation-type": kind, "x-amz-security-token": token}
    signed = ";".join(sorted(headers))
    canonical = "\n".join(["POST", path, "", *("%s:%s" % (k, headers[k]) for k in sorted(headers)), "", signed,
                           hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    mac = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        mac = hmac.new(mac, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        key, scope, signed, hmac.new(mac, text.encode(), hashlib.sha256).hexdigest())
    connection = http.client.HTTPConnection(place, timeout=600)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.headers.get("x-amzn-ErrorType"), answer.read().decode()
'''


@contextlib.contextmanager
def caller(service, name, role="arn:aws:iam::000000000000:role/nobody-made-it", **environment):
    """ask(*calls) in a function of that name; ask.by_hand(...) for requests by hand; ask.keys() for its credentials."""
    client = service.client("lambda")
    with function(client, name, Runtime=RUNTIME, Handler="app.handler", Role=role, Timeout=300,
                  Code={"ZipFile": zip_of({"app.py": HANDLER})},
                  Environment={"Variables": environment} if environment else None):

        def ask(*calls):
            return invoke(client, name, json.dumps({"calls": calls}).encode())

        ask.by_hand = lambda *what, **how: invoke(client, name, json.dumps(
            {"by_hand": dict(zip(("method", "path", "body"), what), **how)}).encode())
        ask.keys = lambda: invoke(client, name, b'"keys"')
        ask.name = name
        yield ask
