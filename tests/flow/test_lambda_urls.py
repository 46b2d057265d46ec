# SPDX-License-Identifier: MIT
"""Function URLs: their configuration, who may call them, the event, the answer, other origins."""
import base64
import http.client
import json
import re
import urllib.parse

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambda_function import ARN, fresh_name, function, loose_client, package, refused, settings, signed, zip_of
from raw_http import Connection


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def strip(answer):
    answer.pop("ResponseMetadata")
    return answer


def open_to_all(client, name, **more):
    client.add_permission(FunctionName=name, StatementId="public", Action="lambda:InvokeFunctionUrl", Principal="*",
                          FunctionUrlAuthType="NONE", **more)


class Url:
    """A URL as a client sees it: call("GET", "/path?query", body, headers) over the path form or the host form."""

    def __init__(self, service, config, by_host=False):
        self.place = urllib.parse.urlsplit(service.endpoint)
        self.host = urllib.parse.urlsplit(config["FunctionUrl"]).netloc
        self.id = self.host.split(".")[0]
        self.by_host = by_host

    def call(self, method="GET", path="/", body=None, headers=None):
        connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=240)
        headers = dict(headers or {})
        if self.by_host:
            headers["Host"] = self.host
        try:
            connection.putrequest(method, path if self.by_host else f"/_lamina/url/{self.id}{path}",
                                  skip_host="Host" in headers, skip_accept_encoding=True)
            for key, value in headers.items():
                for one in value if isinstance(value, list) else [value]:
                    connection.putheader(key, one)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            data = answer.read()
            self.status, self.headers = answer.status, answer.headers
            return data
        finally:
            connection.close()

    def event(self, *arguments, **more):
        """The event that the function got (its answer has no statusCode: it is the body)."""
        data = self.call(*arguments, **more)
        assert self.status == 200, data
        return json.loads(data)["event"]


@pytest.fixture(scope="module")
def public(service, client):
    """A URL that everybody may call, of a function that answers with its event."""
    name = fresh_name("url")
    with function(client, name):
        config = client.create_function_url_config(FunctionName=name, AuthType="NONE")
        open_to_all(client, name)
        yield Url(service, config)


# ---- Configuration


def test_configuration_life(service, client):
    name = fresh_name("config")
    port = urllib.parse.urlsplit(service.endpoint).port
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET", "POST"], "MaxAge": 60}
    with function(client, name, Publish=True):
        with refused("ResourceNotFoundException", 404, "The resource you requested does not exist."):
            client.get_function_url_config(FunctionName=name)
        created = client.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)
        assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
        assert re.fullmatch(rf"http://[a-z0-9]{{32}}\.lambda-url\.localhost:{port}/", created["FunctionUrl"])
        assert (created["FunctionArn"], created["AuthType"], created["Cors"]) == (ARN + name, "NONE", cors)
        with refused("ResourceConflictException", 409, "FunctionUrlConfig exists for this Lambda function"):
            client.create_function_url_config(FunctionName=name, AuthType="NONE")
        shown = strip(client.get_function_url_config(FunctionName=name))
        assert shown["FunctionUrl"] == created["FunctionUrl"] and shown["CreationTime"] == shown["LastModifiedTime"]
        updated = client.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
        assert (updated["AuthType"], updated["Cors"]) == ("AWS_IAM", cors), "what is absent stays"
        assert updated["FunctionUrl"] == created["FunctionUrl"]
        assert "Cors" not in client.update_function_url_config(FunctionName=name, Cors={})
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        alias = client.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
        assert alias["FunctionArn"] == f"{ARN}{name}:live" and alias["FunctionUrl"] != created["FunctionUrl"]
        listed = client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
        assert [config["FunctionArn"] for config in listed] == [ARN + name, f"{ARN}{name}:live"]
        page = client.list_function_url_configs(FunctionName=name, MaxItems=1)
        rest = client.list_function_url_configs(FunctionName=name, Marker=page["NextMarker"])["FunctionUrlConfigs"]
        assert [config["FunctionArn"] for config in rest] == [f"{ARN}{name}:live"]
        for qualifier in ("1", "$LATEST"):
            with refused("ValidationException", 400, "at 'qualifier'"):
                loose_client(service).create_function_url_config(FunctionName=name, Qualifier=qualifier, AuthType="NONE")
        assert client.delete_function_url_config(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
        with refused("ResourceNotFoundException", 404):
            client.delete_function_url_config(FunctionName=name)


def test_configurations_that_cannot_be(service, client):
    name, loose = fresh_name("wrong"), loose_client(service)
    with function(client, name):
        for wrong, path in (({"AuthType": "OPEN"}, "authType"), ({}, "authType"),
                            ({"AuthType": "NONE", "Cors": {"MaxAge": 86401}}, "cors.maxAge"),
                            ({"AuthType": "NONE", "Cors": {"AllowMethods": ["GET"] * 7}}, "cors.allowMethods"),
                            ({"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"] * 101}}, "cors.allowOrigins")):
            with refused("ValidationException", 400, f"at '{path}'"):
                loose.create_function_url_config(FunctionName=name, **wrong)
        status, headers, body = signed(service, "POST", f"/2021-10-31/functions/{name}/url",
                                       json.dumps({"AuthType": "NONE", "InvokeMode": "SLOW"}).encode())
        assert status == 400 and b"[RESPONSE_STREAM, BUFFERED]" in body
        loose.create_function_url_config(FunctionName=name, AuthType="NONE",
                                         Cors={"MaxAge": 86400, "AllowOrigins": ["*"] * 100})


# ---- Who may call


def test_nobody_may_call_without_a_policy(service, client):
    name = fresh_name("closed")
    with function(client, name, Publish=True):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="NONE"))

        def status():
            body = url.call()
            if url.status == 403:
                assert url.headers["x-amzn-ErrorType"] == "AccessDeniedException"
                assert b"Forbidden. For troubleshooting Function URL authorization issues" in body
            return url.status

        assert status() == 403
        for number, wrong in enumerate((dict(Action="lambda:InvokeFunction", Principal="*"),
                                        dict(Action="lambda:InvokeFunctionUrl", Principal="111111111111"),
                                        dict(Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="AWS_IAM"),
                                        dict(Action="lambda:InvokeFunctionUrl", Principal="*", FunctionUrlAuthType="NONE",
                                             SourceAccount="111111111111"))):
            client.add_permission(FunctionName=name, StatementId=f"w{number}", **wrong)
            assert status() == 403, wrong
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        open_to_all(client, name, Qualifier="live")
        assert status() == 403, "the alias' policy is not the function's"
        open_to_all(client, name)
        assert status() == 200
        client.remove_permission(FunctionName=name, StatementId="public")
        assert status() == 403


def test_iam_urls_need_a_signature(service, client):
    name = fresh_name("iam")
    with function(client, name):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM"))
        open_to_all(client, name)
        assert b"Forbidden" in url.call() and url.status == 403
        path = f"/_lamina/url/{url.id}/model?a=b"
        status, headers, body = signed(service, "POST", path, b'{"x":1}', {"Content-Type": "application/json"})
        assert status == 200, body
        event = json.loads(body)["event"]
        assert (event["rawPath"], event["body"]) == ("/model", '{"x":1}')
        assert event["requestContext"]["accountId"] == "000000000000"
        assert event["requestContext"]["authorizer"]["iam"]["userArn"] == "arn:aws:iam::000000000000:root"
        assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == service.credentials["aws_access_key_id"]
        assert "authorization" not in event["headers"], "the function has no use for the signature"
        assert signed(service, "POST", path, b"{}", service_name="s3")[0] == 403
        assert url.call(headers={"Authorization": "AWS4-HMAC-SHA256 nonsense"}) and url.status in (400, 403)


def test_a_url_that_is_closed_while_a_body_arrives(service, client):
    """What the owner said last counts, however early the request began."""
    changes = (
        lambda name: client.update_function_url_config(FunctionName=name, AuthType="AWS_IAM"),
        lambda name: client.remove_permission(FunctionName=name, StatementId="public"),
    )
    for change in changes:
        name = fresh_name("closing")
        with function(client, name):
            url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="NONE"))
            open_to_all(client, name)
            with Connection(service.endpoint) as slow:
                slow.send(f"POST /_lamina/url/{url.id}/ HTTP/1.1\r\nHost: {slow.host}\r\nContent-Length: 4\r\n"
                          "Expect: 100-continue\r\n\r\n".encode())
                assert slow.answer().status == 100, "its head was accepted"
                slow.send(b"ab")
                change(name)
                answer = slow.send(b"cd").answer()
            assert answer.status == 403 and b"Forbidden" in answer.body, answer


def test_the_function_sees_no_presigned_signature(service, client):
    keys = service.credentials
    name = fresh_name("presigned")
    with function(client, name):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM"))
        for query, pairs in (("", None), ("a=b%20c&X-Amz-Else=1", {"a": "b c", "X-Amz-Else": "1"})):
            path = f"/_lamina/url/{url.id}/model?{query}"
            request = AWSRequest(method="GET", url=service.endpoint + path)
            S3SigV4QueryAuth(Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), "lambda",
                             "us-east-1", expires=300).add_auth(request)  # S3's signs no payload's hash
            place = urllib.parse.urlsplit(request.url)
            assert "X-Amz-Signature" in place.query
            event = url.event(path="/model?" + place.query)
            assert event.get("queryStringParameters") == pairs
            assert urllib.parse.parse_qsl(event["rawQueryString"]) == urllib.parse.parse_qsl(query)
            assert "Signature" not in json.dumps(event)


def test_ids_that_nobody_has(service, public):
    for wrong in ("0" * 32, "short", "A" * 32, "../../healthz", "%2e"):
        public_id, public.id = public.id, wrong
        try:
            public.call()
            assert public.status == 404, wrong
        finally:
            public.id = public_id


def test_a_url_goes_with_its_function(service, client):
    name = fresh_name("gone")
    with function(client, name):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="NONE"))
        open_to_all(client, name)
        assert url.call() and url.status == 200
        client.delete_function(FunctionName=name)
        url.call()
        assert url.status == 404


# ---- The event


def test_event_of_a_get(service, public):
    by_host = Url.__new__(Url)
    by_host.__dict__.update(public.__dict__, by_host=True)
    for url in (public, by_host):
        event = url.event("GET", "/a%2Fb/c?x=1&y=a%20b&x=2&empty=&plus=a+b", headers={
            "X-Custom": ["one", "two"], "Cookie": "a=1; b=2", "User-Agent": "test/1", "Accept": "*/*"})
        assert (event["version"], event["routeKey"]) == ("2.0", "$default")
        assert event["rawPath"] == "/a%2Fb/c", "as received"
        assert event["rawQueryString"] == "x=1&y=a%20b&x=2&empty=&plus=a+b"
        assert event["queryStringParameters"] == {"x": "1,2", "y": "a b", "empty": "", "plus": "a b"}
        assert event["cookies"] == ["a=1", "b=2"] and "cookie" not in event["headers"]
        assert event["headers"]["x-custom"] == "one,two" and event["headers"]["accept"] == "*/*"
        assert event["headers"]["x-forwarded-proto"] == "http" and event["headers"]["x-forwarded-for"] == "127.0.0.1"
        assert "body" not in event and event["isBase64Encoded"] is False
        context = event["requestContext"]
        assert (context["accountId"], context["apiId"], context["domainPrefix"]) == ("anonymous", url.id, url.id)
        assert context["http"] == {"method": "GET", "path": "/a%2Fb/c", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                                   "userAgent": "test/1"}
        assert (context["stage"], context["routeKey"]) == ("$default", "$default")
        assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])
        assert context["timeEpoch"] > 1600000000000 and "authorizer" not in context
    assert by_host.event()["requestContext"]["domainName"] == f"{public.id}.lambda-url.localhost"
    assert "queryStringParameters" not in public.event() and "cookies" not in public.event()
    assert public.event("GET", "")["rawPath"] == "/"


def test_query_parameters_have_a_limit(public):
    event = public.event("GET", "/?" + "&".join(f"p{n % 256}={n}" for n in range(512)))
    assert len(event["queryStringParameters"]) == 256 and event["queryStringParameters"]["p3"] == "3,259"
    public.call("GET", "/?" + "&".join("a" for _ in range(513)))
    assert public.status == 400


@pytest.mark.parametrize("kind, body, is_text", [
    ("application/json", b'{"a": [1, "\xc3\xbc"]}', True),
    ("text/plain; charset=utf-8", "héllo\n".encode(), True),
    ("application/x-www-form-urlencoded", b"a=b&c=d", True),
    ("application/octet-stream", b"\x00\x01\xff", False),
    ("multipart/form-data; boundary=x", b"--x--", False),
    ("application/json", b"\xff\xfe", False),
    (None, b"plain", False),
])
def test_event_of_a_body(public, kind, body, is_text):
    event = public.event("POST", "/", body, {"Content-Type": kind} if kind else {})
    assert event["isBase64Encoded"] is not is_text
    assert (event["body"].encode() if is_text else base64.b64decode(event["body"])) == body


def test_bodies_have_a_limit(public):
    body = b"x" * 6291457
    public.call("POST", "/", body)
    assert public.status == 413


# ---- The answer


def answered(service, client, name, url, answer):
    """What the client gets when the function answers so."""
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"ANSWER": answer}})
    body = url.call()
    return url.status, url.headers, body


def test_answers_become_responses(service, client):
    name = fresh_name("answers")
    with function(client, name):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="NONE"))
        open_to_all(client, name)

        def get(answer):
            return answered(service, client, name, url, answer if isinstance(answer, str) else json.dumps(answer))

        status, headers, body = get({"statusCode": 201, "headers": {"Content-Type": "text/html", "X-Number": 7, "x-yes": True},
                                     "cookies": ["a=1; Secure", "b=2"], "body": "<p>hé</p>"})
        assert (status, body) == (201, "<p>hé</p>".encode())
        assert (headers["content-type"], headers["x-number"], headers["x-yes"]) == ("text/html", "7", "true")
        assert headers.get_all("set-cookie") == ["a=1; Secure", "b=2"]
        assert headers["x-amzn-requestid"]
        picture = bytes(range(256))
        status, headers, body = get({"statusCode": 200, "headers": {"content-type": "image/png"}, "isBase64Encoded": True,
                                     "body": base64.b64encode(picture).decode()})
        assert (status, headers["content-type"], body) == (200, "image/png", picture)
        for answer, wanted in (('{"no":"status"}', b'{"no":"status"}'), ('"a string"', b"a string"), ("[1, 2]", b"[1, 2]"),
                               ("null", b"null"), ("17", b"17")):
            status, headers, body = get(answer)
            assert (status, headers["content-type"], body) == (200, "application/json", wanted)
        assert get({"statusCode": 204})[::2] == (204, b"")
        assert get({"statusCode": 302, "headers": {"Location": "/elsewhere"}})[1]["location"] == "/elsewhere"
        status, headers, body = get({"statusCode": 200, "headers": {"Content-Length": "1", "Transfer-Encoding": "chunked",
                                                                    "Connection": "close"}, "body": "whole"})
        assert (status, body, headers["content-length"]) == (200, b"whole", "5"), "framing is the server's"
        for wrong in ({"statusCode": "x"}, {"statusCode": 99}, {"statusCode": 600}, {"statusCode": 200, "body": 5},
                      {"statusCode": 200, "headers": []}, {"statusCode": 200, "headers": {"a": []}},
                      {"statusCode": 200, "headers": {"bad name": "x"}},
                      {"statusCode": 200, "headers": {"x": "a\r\nInjected: yes"}},
                      {"statusCode": 200, "cookies": ["a=1\r\nInjected: yes"]}, {"statusCode": 200, "cookies": "a"},
                      {"statusCode": 200, "body": "***", "isBase64Encoded": True},
                      {"statusCode": 200, "headers": {f"h{n}": "v" for n in range(101)}}, "not json"):
            status, headers, body = get(wrong)
            assert status == 502, (wrong, body)
            assert json.loads(body) == {"Message": "Internal Server Error"} and "injected" not in headers


def test_a_function_that_fails_is_a_502(service, client):
    name = fresh_name("fails")
    with function(client, name):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="NONE"))
        open_to_all(client, name)
        client.update_function_code(FunctionName=name, ZipFile=zip_of({"bootstrap": "#!/bin/sh\nexit 1\n"}))
        assert json.loads(url.call()) == {"Message": "Internal Server Error"} and url.status == 502


def test_an_alias_url_calls_its_version(service, client):
    name = fresh_name("alias")
    with function(client, name, Publish=True):
        client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        url = Url(service, client.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE"))
        open_to_all(client, name, Qualifier="live")
        client.update_function_code(FunctionName=name, ZipFile=package("two"))
        said = json.loads(url.call())
        assert (said["marker"], said["version"], said["arn"]) == ("one", "1", f"{ARN}{name}:live")


# ---- Other origins


def test_cors(service, client):
    name = fresh_name("cors")
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET", "PUT"], "AllowHeaders": ["x-one", "x-two"],
            "ExposeHeaders": ["x-three"], "AllowCredentials": True, "MaxAge": 300}
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
    with function(client, name):
        url = Url(service, client.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors))
        assert url.call("OPTIONS", headers=asks) == b"" and url.status == 200, "a preflight needs no permission"
        assert {key: url.headers[key] for key in ("access-control-allow-origin", "access-control-allow-methods",
                                                  "access-control-allow-headers", "access-control-max-age",
                                                  "access-control-allow-credentials", "vary")} == {
            "access-control-allow-origin": "https://a.example", "access-control-allow-methods": "GET,PUT",
            "access-control-allow-headers": "x-one,x-two", "access-control-max-age": "300",
            "access-control-allow-credentials": "true", "vary": "Origin"}
        url.call("OPTIONS", headers={**asks, "Origin": "https://b.example"})
        assert "access-control-allow-origin" not in url.headers
        open_to_all(client, name)
        answer = json.dumps({"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*", "X-Three": "3"}, "body": "x"})
        client.update_function_configuration(FunctionName=name, Environment={"Variables": {"ANSWER": answer}})
        assert url.call(headers={"Origin": "https://a.example"}) == b"x"
        assert url.headers.get_all("access-control-allow-origin") == ["https://a.example"], "the platform decides"
        assert (url.headers["access-control-expose-headers"], url.headers["x-three"]) == ("x-three", "3")
        url.call(headers={"Origin": "https://b.example"})
        assert "access-control-allow-origin" not in url.headers and url.status == 200
        client.update_function_url_config(FunctionName=name, Cors={"AllowOrigins": ["*"]})
        url.call(headers={"Origin": "https://b.example"})
        assert url.headers["access-control-allow-origin"] == "*"
        client.update_function_url_config(FunctionName=name, Cors={})
        url.call(headers={"Origin": "https://b.example"})
        assert url.headers["access-control-allow-origin"] == "*", "without a Cors setting the function says"


def test_urls_survive_a_restart(fresh_service):
    service, client = fresh_service, fresh_service.client("lambda")
    client.create_function(**settings("f"))
    config = client.create_function_url_config(FunctionName="f", AuthType="NONE")
    open_to_all(client, "f")
    service.stop()
    service.start()
    assert Url(service, config).event("GET", "/x")["rawPath"] == "/x"
    assert service.client("lambda").get_function_url_config(FunctionName="f")["AuthType"] == "NONE"
