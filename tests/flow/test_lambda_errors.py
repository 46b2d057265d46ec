# SPDX-License-Identifier: MIT
"""Requests that are wrong in form: every answer is JSON in AWS's shape, with AWS's type and status."""
import http.client
import json
import urllib.parse

import pytest

from lambda_function import ROLE, fresh_name, function, settings, signed

FUNCTIONS = "/2015-03-31/functions"


def check(answer, status, code, *texts):
    got, headers, body = answer
    error = json.loads(body)
    assert (got, headers.get("x-amzn-errortype")) == (status, code), body
    assert headers["content-type"] == "application/json" and headers["x-amzn-requestid"]
    for text in texts:
        assert text in error["message"], body
    return error


def create(service, body):
    return signed(service, "POST", FUNCTIONS, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("body", [b"{", b"nonsense", b'{"a":1,}', b'{"FunctionName":"f"', b'{"Code":{"ZipFile":"AAAA',
                                  b"\xff\xfe{}", b'{"FunctionName":"\xff"}', b"{}{}", b'{"a":' * 100 + b"1" + b"}" * 100])
def test_bad_json_is_refused_everywhere(service, body):
    check(create(service, body), 400, "InvalidRequestContentException", "Could not parse request body into json")
    name = fresh_name()
    with function(service.client("lambda"), name):
        check(signed(service, "PUT", f"{FUNCTIONS}/{name}/configuration", body), 400, "InvalidRequestContentException")
        check(signed(service, "PUT", f"{FUNCTIONS}/{name}/code", body), 400, "InvalidRequestContentException")
        check(signed(service, "POST", f"{FUNCTIONS}/{name}/versions", body), 400, "InvalidRequestContentException")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_json_that_is_no_object_is_refused(service, body):
    got, headers, _ = create(service, body)
    assert got == 400
    assert headers["x-amzn-errortype"] in ("SerializationException", "InvalidRequestContentException")


@pytest.mark.parametrize("changes, text", [
    ({"Timeout": "3"}, "STRING_VALUE can not be converted to an Integer"),
    ({"Timeout": 3.5}, "DECIMAL_VALUE can not be converted to an Integer"),
    ({"MemorySize": True}, "TRUE_VALUE can not be converted to an Integer"),
    ({"MemorySize": 1 << 40}, "NUMBER_VALUE can not be converted to an Integer"),
    ({"Description": 7}, "NUMBER_VALUE can not be converted to a String"),
    ({"Handler": ["h"]}, "START_ARRAY can not be converted to a String"),
    ({"Environment": "x"}, "STRING_VALUE can not be converted to an Object"),
    ({"Environment": {"Variables": {"AA": 1}}}, "NUMBER_VALUE can not be converted to a String"),
    ({"Publish": "true"}, "STRING_VALUE can not be converted to a Boolean"),
    ({"Architectures": "x86_64"}, "STRING_VALUE can not be converted to a List"),
    ({"Tags": []}, "START_ARRAY can not be converted to an Object"),
    ({"Code": "x"}, "STRING_VALUE can not be converted to an Object"),
])
def test_wrong_types_are_refused(service, changes, text):
    body = {"FunctionName": "f", "Runtime": "provided", "Handler": "h", "Role": ROLE, "Code": {"ZipFile": "UEsFBg=="}}
    check(create(service, {**body, **changes}), 400, "SerializationException", text)


@pytest.mark.parametrize("text", ["****", "AAA", "AAAA=", "AA\nAA", "AAAA AAAA", "=AAA"])
def test_zip_that_is_no_base64_is_refused(service, text):
    body = {"FunctionName": "f", "Runtime": "provided", "Handler": "h", "Role": ROLE, "Code": {"ZipFile": text}}
    check(create(service, body), 400, "SerializationException", "Code.ZipFile")


def test_null_members_are_absent_and_unknown_ones_ignored(service):
    name = fresh_name()
    client = service.client("lambda")
    with function(client, name):
        body = json.dumps({"Timeout": None, "Description": "d", "Nonsense": {"a": [1]}}).encode()
        got, _, answer = signed(service, "PUT", f"{FUNCTIONS}/{name}/configuration", body)
        assert got == 200 and json.loads(answer)["Description"] == "d"
        assert json.loads(answer)["Timeout"] == settings(name)["Timeout"]


def test_an_absent_body_is_an_empty_object(service):
    name = fresh_name()
    with function(service.client("lambda"), name):
        got, _, answer = signed(service, "POST", f"{FUNCTIONS}/{name}/versions", b"")
        assert got == 201 and json.loads(answer)["Version"] == "1"


def test_a_trailing_slash_is_accepted(service):
    got, _, answer = signed(service, "GET", FUNCTIONS + "/")
    assert got == 200 and "Functions" in json.loads(answer)


@pytest.mark.parametrize("method, path, operation", [
    ("POST", "/2015-03-31/event-source-mappings/", "CreateEventSourceMapping"),
    ("PUT", "/2020-06-30/functions/f/code-signing-config", "PutFunctionCodeSigningConfig"),
    ("POST", "/2025-11-30/capacity-providers", "CreateCapacityProvider"),
    ("GET", "/2026-07-09/resource-policy/arn%3Ax", "GetResourcePolicy"),
    ("POST", "/2025-12-01/durable-executions/arn%3Ax/stop", "StopDurableExecution"),
])
def test_operations_that_are_not_built_say_so(service, method, path, operation):
    check(signed(service, method, path), 501, "NotImplementedException", operation)


@pytest.mark.parametrize("method, path, code, status", [
    ("GET", "/2015-03-31/nothing", "UnknownOperationException", 404),
    ("GET", "/", "UnknownOperationException", 404),
    ("GET", FUNCTIONS + "//configuration", "UnknownOperationException", 404),
    ("PATCH", FUNCTIONS, "MethodNotAllowedException", 405),
    ("DELETE", FUNCTIONS, "MethodNotAllowedException", 405),
    ("GET", "/lamina/v2/status", "UnknownOperationException", 404),
    ("GET", FUNCTIONS + "/%zz", "ValidationException", 400),
    ("GET", FUNCTIONS + "/a%00b", "ValidationException", 400),
])
def test_paths_that_nobody_has_are_unknown(service, method, path, code, status):
    check(signed(service, method, path), status, code)


@pytest.mark.parametrize("name", ["sagemaker", "dynamodb"])
def test_other_services_are_not_lambda(service, name):
    """The service of the signature decides, not the path."""
    got, headers, _ = signed(service, "GET", FUNCTIONS, service_name=name)
    assert got in (403, 501) and "x-amzn-errortype" in headers


def test_a_path_of_lambda_signed_for_s3_is_a_bucket(service):
    """The same for the service that shares the address: no bucket's name shadows a route, nor a route a bucket."""
    got, headers, body = signed(service, "GET", FUNCTIONS, service_name="s3")
    assert "x-amzn-errortype" not in headers and got in (400, 403, 404) and b"<Error><Code>" in body, (got, body)


def test_nothing_is_answered_without_a_signature(service):
    place = urllib.parse.urlsplit(service.endpoint)
    for method, path in (("GET", FUNCTIONS), ("POST", FUNCTIONS), ("GET", "/lamina/v1/status"), ("GET", "/"),
                         ("POST", FUNCTIONS + "/f/invocations"), ("PUT", "/lamina/v1/packages/" + "0" * 64)):
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
        connection.request(method, path, body=b"{}" if method != "GET" else None)
        answer = connection.getresponse()
        check((answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()), 403,
              "MissingAuthenticationTokenException")
        connection.close()


def test_signature_version_2_is_refused_in_words(service):
    place = urllib.parse.urlsplit(service.endpoint)
    for path in (FUNCTIONS, "/lamina/v1/code/" + "0" * 64):
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=120)
        connection.request("GET", path + "?AWSAccessKeyId=AKIA&Expires=1&Signature=x")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (400, 403) and (
            b"signature version 2 are not accepted" in body or b"signature_version='s3v4'" in body), body
        connection.close()
