# SPDX-License-Identifier: MIT
"""Who may call: signatures that are missing, broken, old, of others, of another request. Each is refused with the
error that AWS's SDKs know, and none reaches an operation."""
import hashlib
import json
import re
import subprocess

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from raw_http import FUNCTIONS, Connection, call, request_bytes, signed_headers

MISMATCH = "The request signature we calculated does not match the signature you provided."


def refused(answer, status, error, text=""):
    """The answer is AWS's: header, both members, a request id, and no secret in it."""
    assert (answer.status, answer.error) == (status, error), answer
    body = json.loads(answer.body)
    assert body["message"] == body["Message"]
    assert body["message"].startswith(text), body
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-requestid"])


def test_signed_calls_are_accepted(service):
    answer = call(service, "GET", FUNCTIONS)
    assert answer.status == 200 and "Functions" in json.loads(answer.body)
    assert call(service, "GET", FUNCTIONS, names_hash=False).status == 200
    assert call(service, "GET", FUNCTIONS + "?MaxItems=5&Marker=").status == 200


def test_unsigned_calls_are_refused(service):
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("GET", FUNCTIONS, [("Host", connection.host)]))
        refused(connection.answer(), 403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        # The connection lives on.
        connection.send(request_bytes("GET", FUNCTIONS, signed_headers(service, "GET", FUNCTIONS)))
        assert connection.answer().status == 200


@pytest.mark.parametrize("method, target", [
    ("GET", FUNCTIONS), ("POST", FUNCTIONS), ("DELETE", FUNCTIONS + "f"), ("POST", FUNCTIONS + "f/invocations"),
    ("GET", "/lamina/v1/status"), ("PUT", "/lamina/v1/packages/" + 64 * "0"), ("POST", "/"), ("GET", "/lamina/v1/nowhere"),
    ("POST", "/lamina/v1/functions/f/stop"),
])
def test_nothing_but_health_answers_without_a_signature(service, method, target):
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes(method, target, [("Host", connection.host), ("Content-Length", "2")], b"{}"))
        refused(connection.answer(), 403, "MissingAuthenticationTokenException")


def test_a_wrong_secret_is_refused(service):
    refused(call(service, "GET", FUNCTIONS, secret="x" * 40), 403, "InvalidSignatureException", MISMATCH)
    refused(call(service, "GET", FUNCTIONS, secret="x" * 40, names_hash=False), 403, "InvalidSignatureException", MISMATCH)
    client = service.client(aws_secret_access_key="x" * 40)
    with pytest.raises(ClientError) as caught:
        client.list_functions()
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"


def test_an_unknown_key_is_refused(service):
    text = "The security token included in the request is invalid."
    refused(call(service, "GET", FUNCTIONS, key="AKIAIOSFODNN7EXAMPLE"), 403, "UnrecognizedClientException", text)
    client = service.client(aws_access_key_id="AKIAIOSFODNN7EXAMPLE")
    with pytest.raises(ClientError) as caught:
        client.list_functions()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_a_session_token_that_nobody_gave_is_refused(service):
    client = service.client(aws_session_token="invented")
    with pytest.raises(ClientError) as caught:
        client.list_functions()
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


class Clock:
    """Makes botocore sign at another time."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, auth):
        import datetime

        moment = datetime.datetime.utcnow() + datetime.timedelta(seconds=self.seconds)

        def add_auth(request):
            request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
            auth._modify_request_before_signing(request)
            text = auth.canonical_request(request)
            auth._inject_signature_to_request(request, auth.signature(auth.string_to_sign(request, text), request))

        auth.add_auth = add_auth


@pytest.mark.parametrize("seconds, text", [(-3600, "Signature expired: "), (3600, "Signature not yet current: "),
                                           (-86400, "Signature expired: ")])
def test_a_skewed_clock_is_refused_and_told(service, seconds, text):
    answer = call(service, "GET", FUNCTIONS, adjust=Clock(seconds))
    refused(answer, 403, "InvalidSignatureException", text)
    assert "date" in answer.headers  # SDKs correct their clock by it


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_few_minutes_of_skew_are_accepted(service, seconds):
    assert call(service, "GET", FUNCTIONS, adjust=Clock(seconds)).status == 200


@pytest.mark.parametrize("name", ["ec2", "dynamodb", "lambda2", "Lambda"])
def test_another_service_is_refused(service, name):
    refused(call(service, "GET", FUNCTIONS, name=name), 403, "InvalidSignatureException",
            "Credential should be scoped to correct service: 'lambda'.")


@pytest.mark.parametrize("name", ["s3", "sagemaker", "sts"])
def test_a_signature_for_one_api_opens_no_other(service, name):
    answer = call(service, "GET", FUNCTIONS, name=name)
    assert answer.status >= 400 and b"Functions" not in answer.body, answer


def test_another_region_is_refused(service):
    refused(call(service, "GET", FUNCTIONS, region="eu-west-1"), 403, "InvalidSignatureException",
            "Credential should be scoped to a valid region: 'us-east-1'.")


@pytest.mark.parametrize("names_hash", [True, False])
def test_a_tampered_body_is_refused(service, names_hash):
    body = b'{"FunctionName":"a"}'
    headers = signed_headers(service, "POST", FUNCTIONS, body=body, names_hash=names_hash)
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("POST", FUNCTIONS, headers, body.replace(b"a", b"b", 1)))
        refused(connection.answer(), 403, "InvalidSignatureException", MISMATCH)


def test_a_tampered_body_that_is_streamed_is_refused(service):
    """CreateFunction goes to disk as it arrives; it must not take effect."""
    import base64
    import zipfile
    import io

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("bootstrap", b"x" * 100000)
    body = json.dumps({"FunctionName": "tampered", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "h",
                       "Runtime": "provided.al2023",
                       "Code": {"ZipFile": base64.b64encode(archive.getvalue()).decode()}}).encode()
    for names_hash in (True, False):
        headers = signed_headers(service, "POST", FUNCTIONS, body=body, names_hash=names_hash)
        with Connection(service.endpoint) as connection:
            connection.send(request_bytes("POST", FUNCTIONS, headers, body.replace(b"tampered", b"tempered")))
            refused(connection.answer(), 403, "InvalidSignatureException", MISMATCH)
    listed = json.loads(call(service, "GET", FUNCTIONS).body)["Functions"]
    assert not [f for f in listed if f["FunctionName"] in ("tampered", "tempered")]


@pytest.mark.parametrize("change", [
    lambda h: h.update({"X-Amz-Date": "20200101T000000Z"}),
    lambda h: h.update({"X-Amz-Invocation-Type": "Event"}),
    lambda h: h.update({"X-Amz-Content-SHA256": hashlib.sha256(b"x").hexdigest()}),
    lambda h: h.update({"Host": "other:1"}),
    lambda h: h.pop("X-Amz-Invocation-Type"),
], ids=["date", "type", "hash", "host", "removed"])
def test_a_changed_header_is_refused(service, change):
    target = FUNCTIONS + "nothing/invocations"
    headers = dict(signed_headers(service, "POST", target, {"X-Amz-Invocation-Type": "DryRun"}, b"{}"))
    change(headers)
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("POST", target, headers.items(), b"{}"))
        answer = connection.answer()
    assert answer.status in (400, 403) and answer.error in ("InvalidSignatureException", "IncompleteSignatureException")


@pytest.mark.parametrize("method, target", [("DELETE", FUNCTIONS + "f"), ("GET", FUNCTIONS + "g"),
                                            ("GET", FUNCTIONS + "f?Qualifier=1")])
def test_a_signature_is_for_one_request(service, method, target):
    headers = signed_headers(service, "GET", FUNCTIONS + "f")
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes(method, target, headers))
        refused(connection.answer(), 403, "InvalidSignatureException", MISMATCH)


def test_an_added_amz_header_is_refused(service):
    """Whoever sees a signed request could else turn a call into an asynchronous one."""
    headers = signed_headers(service, "GET", FUNCTIONS) + [("X-Amz-Invocation-Type", "Event")]
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("GET", FUNCTIONS, headers))
        refused(connection.answer(), 403, "InvalidSignatureException", "'x-amz-invocation-type' must be a 'SignedHeader'")


@pytest.mark.parametrize("payload", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x", ""])
def test_a_body_must_be_hashed(service, payload):
    body = b"{}"
    keys = service.credentials
    request = AWSRequest("POST", service.endpoint + FUNCTIONS, data=body,
                         headers={"Host": service.endpoint.split("//")[1], "X-Amz-Content-SHA256": payload})
    auth = SigV4Auth(Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), "lambda", "us-east-1")
    auth.add_auth(request)
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("POST", FUNCTIONS, list(request.headers.items()) + [("Content-Length", "2")], body))
        answer = connection.answer()
    refused(answer, 403, "InvalidSignatureException")


@pytest.mark.parametrize("value, status, error", [
    ("", 400, "IncompleteSignatureException"),
    ("Basic YWJjOmRlZg==", 400, "IncompleteSignatureException"),
    ("Bearer x", 400, "IncompleteSignatureException"),
    ("AWS5-HMAC AKIA:sig", 400, "IncompleteSignatureException"),
    ("AWS4-HMAC-SHA256", 400, "IncompleteSignatureException"),
    ("AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request", 400, "IncompleteSignatureException"),
    ("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=" + 64 * "0", 400, "IncompleteSignatureException"),
    ("AWS4-ECDSA-P256-SHA256 Credential=a/20260101/lambda/aws4_request, SignedHeaders=host, Signature=00", 400,
     "IncompleteSignatureException"),
])
def test_half_a_signature_is_told_so(service, value, status, error):
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("GET", FUNCTIONS, [("Host", connection.host), ("X-Amz-Date", "20260101T000000Z"),
                                                        ("Authorization", value)]))
        refused(connection.answer(), status, error)


def test_presigned_queries_open_only_code_locations(service):
    keys = service.credentials
    request = AWSRequest("GET", service.endpoint + FUNCTIONS)
    SigV4QueryAuth(Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), "lambda", "us-east-1",
                   expires=60).add_auth(request)
    with Connection(service.endpoint) as connection:
        connection.send(request_bytes("GET", request.url[len(service.endpoint):], [("Host", connection.host)]))
        refused(connection.answer(), 403, "InvalidSignatureException")


def test_curl_signs(service):
    keys = service.credentials
    user = f"{keys['aws_access_key_id']}:{keys['aws_secret_access_key']}"

    def curl(*arguments, as_user=user):
        done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:lambda", "--user", as_user,
                               "-w", "\n%{http_code}", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              check=True, timeout=240)
        body, _, status = done.stdout.decode().rpartition("\n")
        return int(status), body

    status, body = curl(service.endpoint + FUNCTIONS)
    assert status == 200 and "Functions" in json.loads(body)
    status, body = curl("-X", "POST", "-H", "Content-Type: application/json", "-d", "{}", service.endpoint + FUNCTIONS)
    assert status == 400 and "ignature" not in body  # the signature was right; the parameters are not
    status, body = curl(service.endpoint + FUNCTIONS, as_user=user + "x")
    assert status == 403 and json.loads(body)["message"].startswith(MISMATCH)


def test_the_secret_is_in_no_answer_and_no_log(service):
    secret = service.credentials["aws_secret_access_key"]
    answers = [call(service, "GET", FUNCTIONS), call(service, "GET", FUNCTIONS, secret="y" * 40)]
    assert not [a for a in answers if secret.encode() in a.body]
    assert secret not in service.log()
    assert (service.data_dir / "credentials").stat().st_mode & 0o777 == 0o600
