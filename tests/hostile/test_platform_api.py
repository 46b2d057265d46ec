# SPDX-License-Identifier: MIT
"""A function turns its credentials against the platform, from inside its sandbox, through the AWS SDK and by hand.

What its role allows is done; all else is denied, and nothing has happened afterwards. Each row of SECURITY.md's table of
who may do what has an attack here or in tests/flow/test_rights.py.
"""
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "flow"))
pytest.importorskip("boto3")
from calling_function import caller  # noqa: E402
from lambda_function import ARN, ROLE, fresh_name, function, refused  # noqa: E402

CONTROL = [
    ("lambda", "list_functions", {}),
    ("lambda", "get_function", {"FunctionName": "ME"}),
    ("lambda", "get_function_configuration", {"FunctionName": "ME"}),
    ("lambda", "create_function", {"FunctionName": "made-from-inside", "Runtime": "provided.al2023", "Handler": "x",
                                   "Role": ROLE, "Code": {"zeros": 1}}),
    ("lambda", "update_function_code", {"FunctionName": "ME", "ZipFile": {"zeros": 1}}),
    ("lambda", "update_function_configuration", {"FunctionName": "ME", "Timeout": 900}),
    ("lambda", "publish_version", {"FunctionName": "ME"}),
    ("lambda", "create_alias", {"FunctionName": "ME", "Name": "a", "FunctionVersion": "$LATEST"}),
    ("lambda", "add_permission", {"FunctionName": "ME", "StatementId": "s", "Action": "lambda:InvokeFunction",
                                  "Principal": "*"}),
    ("lambda", "create_function_url_config", {"FunctionName": "ME", "AuthType": "NONE"}),
    ("lambda", "put_function_concurrency", {"FunctionName": "ME", "ReservedConcurrentExecutions": 900}),
    ("lambda", "put_function_event_invoke_config", {"FunctionName": "ME", "MaximumRetryAttempts": 0}),
    ("lambda", "tag_resource", {"Resource": ARN + "ME", "Tags": {"a": "b"}}),
    ("lambda", "get_account_settings", {}),
    ("lambda", "delete_function", {"FunctionName": "ME"}),
]
OTHERS = [
    ("s3", "create_bucket", {"Bucket": "made-from-inside"}),
    ("s3", "delete_bucket", {"Bucket": "made-from-inside"}),
    ("iam", "list_roles", {}),
    ("iam", "create_role", {"RoleName": "made-from-inside", "AssumeRolePolicyDocument": "{}"}),
    ("iam", "put_role_policy", {"RoleName": "lambda", "PolicyName": "p", "PolicyDocument": "{}"}),
]


def denied(answer, code="AccessDeniedException"):
    assert (answer.get("status"), answer.get("code")) == (403, code), answer


def attack(ask):
    """Everything that no sandbox can do, tried."""
    calls = json.loads(json.dumps(CONTROL).replace("ME", ask.name))
    for call, answer in zip(calls, ask(*calls)):
        denied(answer)
        assert call[1] in ("list_functions", "get_account_settings") or "control plane" in answer["message"], answer
    for call, answer in zip(OTHERS, ask(*OTHERS)):
        denied(answer, "AccessDenied")


def test_the_control_plane_is_never_reached(service):
    client = service.client("lambda")
    name = fresh_name("inside")
    with caller(service, name, OTHER_FUNCTION_NAME=name) as ask:
        before = client.get_function_configuration(FunctionName=name)
        attack(ask)
        denied(ask(("s3", "list_buckets", {}))[0], "AccessDenied")
        denied(ask(("s3", "get_object", {"Bucket": "models", "Key": "m"}))[0], "AccessDenied")
        after = client.get_function_configuration(FunctionName=name)
        before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
        assert after == before
        assert "made-from-inside" not in [one["FunctionName"] for one in client.list_functions()["Functions"]]


def test_a_role_that_nobody_defined_calls_what_was_named_and_nothing_else(service):
    client = service.client("lambda")
    with function(client, fresh_name("named")) as named, function(client, fresh_name("other")) as other:
        with caller(service, fresh_name("caller"), NEXT_FUNCTION_NAME=named["FunctionName"]) as ask:
            answers = ask(*[("lambda", "invoke", {"FunctionName": target, "Payload": "7"})
                            for target in (named["FunctionName"], named["FunctionArn"], named["FunctionName"] + ":$LATEST",
                                           other["FunctionName"], other["FunctionArn"], ask.name, "nobody")])
            for answer in answers[:3]:
                assert (answer["StatusCode"], json.loads(answer["Payload"])["event"]) == (200, 7), answer
            for answer in answers[3:]:
                denied(answer)
                assert "assumed-role/nobody-made-it/" + ask.name in answer["message"], answer


def test_the_credentials_are_worth_nothing_elsewhere(service):
    """Neither on the public API nor on another sandbox's listener, nor with a part of them changed."""
    client = service.client("lambda")
    with function(client, fresh_name("named")) as named:
        environment = {"NEXT_FUNCTION_NAME": named["FunctionName"]}
        with caller(service, fresh_name("one"), **environment) as one, caller(service, fresh_name("two"), **environment) as two:
            key, secret, token = one.keys()
            for keys in ({"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token},
                         {"aws_access_key_id": key, "aws_secret_access_key": secret}):
                for api in ("lambda", "sts"):
                    outside = service.client(api, **keys)
                    with refused("UnrecognizedClientException" if api == "lambda" else "InvalidClientTokenId", 403):
                        outside.get_caller_identity() if api == "sts" else outside.invoke(FunctionName=named["FunctionName"])
            invoke = ("lambda", "invoke", {"FunctionName": named["FunctionName"]})
            owner = service.credentials
            wrong = {
                "another's": [key, secret, token],
                "no token": [two.keys()[0], two.keys()[1]],
                "another's token": [*two.keys()[:2], token],
                "a longer token": [*two.keys()[:2], two.keys()[2] + "x"],
                "the service's own": [owner["aws_access_key_id"], owner["aws_secret_access_key"]],
                "nobody's": ["ASIAAAAAAAAAAAAAAAAA", "x" * 40, "y" * 128],
            }
            for what, answer in zip(wrong, two(*[(*invoke, keys) for keys in wrong.values()])):
                assert (answer.get("code"), answer.get("status")) == ("UnrecognizedClientException", 403), (what, answer)
            forged, good = two((*invoke, [two.keys()[0], "x" * 40, two.keys()[2]]), invoke)
            assert (forged.get("code"), forged.get("status")) == ("InvalidSignatureException", 403)
            assert good["StatusCode"] == 200


def test_requests_that_no_sdk_makes(service):
    with caller(service, fresh_name("hand")) as ask:
        functions = "/2015-03-31/functions/%s/invocations" % ask.name
        status, headers, _ = ask.by_hand("POST", functions, "{}")  # no signature
        assert (status, headers["x-amzn-ErrorType"]) == (403, "MissingAuthenticationTokenException")
        for path in ("/healthz", "/readyz", "/metrics", "/", "/lamina/v1/status", "/_lamina/url/%s/" % ("a" * 32)):
            assert ask.by_hand("GET", path)[0] == 403, path  # what is open outside is not open here
        status, headers, _ = ask.by_hand("GET", "/lamina/v1/users", sign="header")
        assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        status, headers, _ = ask.by_hand("GET", "/2015-03-31/functions/", sign="query")
        assert status == 403
        # A package of 60 MB is not read before it is refused: half of it is never sent.
        status, headers, _ = ask.by_hand("PUT", "/lamina/v1/packages/" + "0" * 64, "x" * 1000, sign="header")
        assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        for other in ("dynamodb", "ec2"):
            status, headers, _ = ask.by_hand("POST", "/", sign="header", service=other)
            assert status == 403, other


def test_who_am_i_inside(service):
    with caller(service, fresh_name("who")) as ask:
        (who,) = ask(("sts", "get_caller_identity", {}))
        assert who["Arn"] == "arn:aws:sts::000000000000:assumed-role/nobody-made-it/" + ask.name
        assert who["Account"] == "000000000000"
        assert who["UserId"].startswith("AROA") and who["UserId"].endswith(":" + ask.name)
        (refusal,) = ask(("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "session"}))
        assert (refusal["code"], refusal["status"]) == ("InvalidAction", 400)
