# SPDX-License-Identifier: MIT
"""The same operations through AWS CLI 2 (Debian's), the JavaScript SDK v3, a newer boto3 and curl, each unmodified."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lambda_function import ARN, ROLE, fresh_name, package

ROOT = Path(__file__).resolve().parents[2]
JS_MODULES = ROOT / "build" / "deps" / "npm" / "aws-sdk" / "node_modules"

needs_cli = pytest.mark.skipif(not os.path.exists("/usr/bin/aws"), reason="Debian's awscli is not installed")
needs_js = pytest.mark.skipif(not (JS_MODULES / "@aws-sdk" / "client-lambda").exists() or not shutil.which("node"),
                              reason="node or @aws-sdk/client-lambda is missing (tools/deps check)")
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@pytest.fixture
def files(tmp_path):
    """Two packages as files: one.zip and two.zip."""
    for marker in ("one", "two"):
        (tmp_path / f"{marker}.zip").write_bytes(package(marker))
    return tmp_path


@needs_cli
def test_aws_cli(service, files):
    name = fresh_name("cli")

    def aws(*arguments):
        out = service.aws("lambda", *arguments, "--output", "json").stdout
        return json.loads(out) if out.strip() else {}

    def called(qualifier=None):
        out = files / "out.json"
        more = ["--qualifier", qualifier] if qualifier else []
        answer = aws("invoke", "--function-name", name, "--cli-binary-format", "raw-in-base64-out",
                     "--payload", '{"key": "value"}', "--log-type", "Tail", *more, str(out))
        assert answer["StatusCode"] == 200 and "FunctionError" not in answer
        assert "END RequestId" in base64.b64decode(answer["LogResult"]).decode()
        assert answer["ExecutedVersion"] == (qualifier or "$LATEST")
        return json.loads(out.read_text())

    answer = aws("create-function", "--function-name", name, "--runtime", "provided.al2023", "--handler", "bootstrap",
                 "--role", ROLE, "--timeout", "120", "--memory-size", "1769", "--zip-file", f"fileb://{files}/one.zip",
                 "--environment", "Variables={GREETING=hello}", "--tags", "team=ml")
    assert (answer["FunctionArn"], answer["State"]) == (ARN + name, "Pending")
    aws("wait", "function-active-v2", "--function-name", name)
    said = called()
    assert (said["event"], said["greeting"]) == ({"key": "value"}, "hello")
    assert aws("publish-version", "--function-name", name)["Version"] == "1"
    aws("update-function-code", "--function-name", name, "--zip-file", f"fileb://{files}/two.zip")
    aws("wait", "function-updated-v2", "--function-name", name)
    aws("update-function-configuration", "--function-name", name, "--memory-size", "2048")
    aws("wait", "function-updated", "--function-name", name)
    said = called()
    assert (said["marker"], said["memory"], called("1")["marker"]) == ("two", 2048, "one")
    assert aws("get-function", "--function-name", name)["Tags"] == {"team": "ml"}
    assert aws("get-function-configuration", "--function-name", ARN + name, "--qualifier", "1")["MemorySize"] == 1769
    versions = aws("list-versions-by-function", "--function-name", name)["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", "1"]
    assert name in [f["FunctionName"] for f in aws("list-functions")["Functions"]]
    aws("delete-function", "--function-name", name)
    failed = service.aws("lambda", "get-function", "--function-name", name, check=False)
    assert failed.returncode == 254 and "ResourceNotFoundException" in failed.stderr
    identity = json.loads(service.aws("sts", "get-caller-identity", "--output", "json").stdout)
    assert identity["Account"] == "000000000000" and identity["Arn"].startswith("arn:aws:iam::000000000000:")


JS = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const require = createRequire(process.env.JS_MODULES + "/");
const sdk = require("@aws-sdk/client-lambda");
const [name, role, one, two] = process.argv.slice(2);
const client = new sdk.LambdaClient({ endpoint: process.env.AWS_ENDPOINT_URL, region: "us-east-1", maxAttempts: 1 });
const send = (command, input) => client.send(new sdk[command + "Command"](input));
const said = async (input) => JSON.parse(Buffer.from((await send("Invoke", { FunctionName: name, ...input })).Payload));
const seen = {};
const wait = { client, maxWaitTime: 200, minDelay: 1, maxDelay: 1 };

seen.created = (await send("CreateFunction", { FunctionName: name, Runtime: "provided.al2023", Handler: "bootstrap",
  Role: role, Timeout: 120, MemorySize: 1769, Code: { ZipFile: readFileSync(one) } })).State;
seen.active = (await sdk.waitUntilFunctionActiveV2(wait, { FunctionName: name })).state;
seen.first = await said({ Payload: JSON.stringify({ key: "value" }) });
seen.version = (await send("PublishVersion", { FunctionName: name })).Version;
await send("UpdateFunctionCode", { FunctionName: name, ZipFile: readFileSync(two) });
seen.updated = (await sdk.waitUntilFunctionUpdatedV2(wait, { FunctionName: name })).state;
seen.second = await said({});
seen.old = await said({ Qualifier: "1" });
seen.failed = (await send("Invoke", { FunctionName: name, Payload: JSON.stringify("exit") })).FunctionError;
const got = await send("GetFunction", { FunctionName: name });
seen.sha = got.Configuration.CodeSha256;
seen.downloaded = Buffer.from(await (await fetch(got.Code.Location)).arrayBuffer()).equals(readFileSync(two));
seen.functions = [];
for await (const page of sdk.paginateListFunctions({ client, pageSize: 1 }, {}))
  seen.functions.push(...page.Functions.map((f) => f.FunctionName));
await send("DeleteFunction", { FunctionName: name });
seen.errors = [];
for (const [command, input] of [["GetFunction", { FunctionName: name }],
                                ["Invoke", { FunctionName: name, InvocationType: "Other" }],
                                ["Invoke", { FunctionName: "no body", Payload: "{}" }]])
  await send(command, input).catch((e) => seen.errors.push([e.name, e.$metadata.httpStatusCode, e.message]));
console.log(JSON.stringify(seen));
"""


@needs_js
def test_javascript_sdk(service, files):
    name = fresh_name("js")
    script = files / "client.mjs"
    script.write_text(JS)
    env = service.env
    env["JS_MODULES"] = str(JS_MODULES.parent)
    done = subprocess.run(["node", script, name, ROLE, files / "one.zip", files / "two.zip"], env=env, cwd=files,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr + service.log_tail()
    seen = json.loads(done.stdout)
    assert (seen["created"], seen["active"], seen["updated"]) == ("Pending", "SUCCESS", "SUCCESS")
    assert seen["first"]["event"] == {"key": "value"}
    assert (seen["first"]["marker"], seen["second"]["marker"], seen["old"]["marker"]) == ("one", "two", "one")
    assert (seen["version"], seen["failed"], seen["downloaded"]) == ("1", "Unhandled", True)
    assert seen["sha"] == base64.b64encode(hashlib.sha256(package("two")).digest()).decode()
    assert name in seen["functions"]
    assert [error[:2] for error in seen["errors"]][:2] == [["ResourceNotFoundException", 404], ["ValidationException", 400]]
    assert seen["errors"][0][2] == f"Function not found: {ARN}{name}"


def newer_python():
    """An interpreter with a boto3 of today, where the machine has one (Debian 12's is of 2022)."""
    script = "import sys, botocore; print(sys.executable); print(*botocore.__version__.split('.')[:2])"
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        candidate = os.path.join(directory, "python3")
        if not os.access(candidate, os.X_OK):
            continue
        try:
            done = subprocess.run([candidate, "-c", script], capture_output=True, text=True, timeout=120,
                                  stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            continue
        lines = done.stdout.splitlines()
        if done.returncode == 0 and tuple(map(int, lines[1].split())) >= (1, 34):
            return lines[0]
    return None


BOTO3 = """
import base64, json, sys
import boto3
name, role, one, two = sys.argv[1:]
client = boto3.client("lambda")  # the endpoint comes from AWS_ENDPOINT_URL
said = lambda **more: json.loads(client.invoke(FunctionName=name, **more)["Payload"].read())
seen = {"created": client.create_function(FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=role,
    Timeout=120, MemorySize=1769, Code={"ZipFile": open(one, "rb").read()}, Publish=True,
    LoggingConfig={"LogFormat": "Text"}, Architectures=["x86_64"])["State"]}
client.get_waiter("function_active_v2").wait(FunctionName=name)
client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
seen["first"] = said(Payload=json.dumps({"key": "value"}))
client.update_function_code(FunctionName=name, ZipFile=open(two, "rb").read())
client.get_waiter("function_updated_v2").wait(FunctionName=name)
seen["second"], seen["old"] = said(Payload=b"1"), said(Payload=b"1", Qualifier="1")
seen["logging"] = client.get_function_configuration(FunctionName=name)["LoggingConfig"]
seen["listed"] = [f["FunctionName"] for page in client.get_paginator("list_functions").paginate() for f in page["Functions"]]
client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
seen["url"] = client.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="BUFFERED")["InvokeMode"]
client.delete_function(FunctionName=name)
try:
    client.get_function(FunctionName=name)
except client.exceptions.ResourceNotFoundException as error:
    seen["error"] = error.response["Error"]["Message"]
print(json.dumps(seen))
"""


def test_boto3_of_today(service, files):
    python = newer_python()
    if not python:
        pytest.skip("no python3 with a newer boto3 on this machine")
    name = fresh_name("boto")
    done = subprocess.run([python, "-c", BOTO3, name, ROLE, files / "one.zip", files / "two.zip"], env=service.env,
                          cwd=files, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr + service.log_tail()
    seen = json.loads(done.stdout)
    assert (seen["created"], seen["first"]["event"], seen["url"]) == ("Pending", {"key": "value"}, "BUFFERED")
    assert (seen["first"]["marker"], seen["second"]["marker"], seen["old"]["marker"]) == ("one", "two", "one")
    assert seen["logging"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    assert name in seen["listed"] and seen["error"] == f"Function not found: {ARN}{name}"


@needs_curl
def test_curl(service, files):
    name = fresh_name("curl")
    keys = service.credentials
    who = f"{keys['aws_access_key_id']}:{keys['aws_secret_access_key']}"

    def curl(path, *arguments):
        done = subprocess.run(["curl", "-sS", "--max-time", "240", "--noproxy", "*", "-w", "\n%{http_code}", "--aws-sigv4",
                               "aws:amz:us-east-1:lambda", "--user", who, *arguments,
                               f"{service.endpoint}/2015-03-31/functions{path}"], env=service.env, cwd=files,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body.strip() else None

    request = {"FunctionName": name, "Runtime": "provided.al2", "Handler": "h", "Role": ROLE, "Timeout": 120,
               "MemorySize": 1769, "Code": {"ZipFile": base64.b64encode(package()).decode()}}
    (files / "create.json").write_text(json.dumps(request))
    status, answer = curl("", "--data-binary", "@create.json")
    assert (status, answer["FunctionName"]) == (201, name)
    status, answer = curl(f"/{name}/invocations", "--data-binary", '{"from": "curl"}')
    assert (status, answer["event"]) == (200, {"from": "curl"})
    status, answer = curl(f"/{name}/invocations", "--data-binary", "{")
    assert status == 400 and "Could not parse request body into json" in answer["message"]
    assert curl(f"/{name}", "-X", "DELETE")[0] == 204
    assert curl(f"/{name}")[0] == 404
