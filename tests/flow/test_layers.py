# SPDX-License-Identifier: MIT
"""Layers as boto3 sees them: publish, read, list, delete, who may use them, and what a function finds at /opt."""
import base64
import hashlib
import io
import json
import os
import re
import signal
import stat
import struct
import urllib.request
import zipfile

import pytest
from botocore.exceptions import ClientError

import lambda_function
from lambda_function import fresh_name, settings, zip_of
from lamina_service import wait_for
from onnx_file import FLOAT, model, node, value
from onnx_file import tensor as initializer

LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:"
LIMIT = 262144000
STATUS = {"AccessDeniedException": 403, "ResourceNotFoundException": 404, "ResourceConflictException": 409,
          "PreconditionFailedException": 412}


def refused(code, *texts):
    return lambda_function.refused(code, STATUS.get(code, 400), *texts)


LOOK = r"""#!/bin/bash
# Answers what it finds: {"path": its content or "(none)", ...} for the paths that the event, a JSON list, names.
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API##*:}
path=/2018-06-01/runtime/invocation
while exec 3<>"/dev/tcp/$host/$port"; do
    printf 'GET %s/next HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$path" "$host" >&3
    size=0
    while IFS= read -r line <&3; do
        line=${line%$'\r'}
        [ -n "$line" ] || break
        case ${line,,} in
        lambda-runtime-aws-request-id:*) id=${line#*: } ;;
        content-length:*) size=${line#*: } ;;
        esac
    done
    IFS= read -r -N "$size" event <&3
    exec 3<&- 3>&-
    answer='{' comma=
    for name in $(tr -d '[]",' <<<"$event"); do
        case $name in
        env:*) name=${name#env:} value=${!name} ;;
        run:*) name=${name#run:} value=$($name 2>&1) ;;
        ls:*) name=${name#ls:} value=$(ls "$name" 2>&1 | tr '\n' ' ') ;;
        inode:*) name=${name#inode:} value=$(stat -c %i "$name" 2>&1) ;;
        write:*) name=${name#write:} value=$( (echo x >"$name") 2>&1 && echo written || echo refused) ; value=${value##*$'\n'} ;;
        *) value=$(cat "$name" 2>/dev/null || echo '(none)') ;;
        esac
        answer+="$comma\"$name\":\"$value\"" comma=,
    done
    answer+='}'
    exec 3<>"/dev/tcp/$host/$port" || exit 1
    printf 'POST %s/%s/response HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: %s\r\n\r\n%s' \
        "$path" "$id" "$host" "${#answer}" "$answer" >&3
    while IFS= read -r line <&3; do :; done
    exec 3<&- 3>&-
done
"""


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def publish(client, files, name=None, **more):
    content = files if isinstance(files, bytes) else zip_of(files)
    return client.publish_layer_version(LayerName=name or fresh_name(), Content={"ZipFile": content}, **more)


def create(client, layers, files=None, **changes):
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of(files or {"bootstrap": LOOK})},
                                      Layers=[each["LayerVersionArn"] for each in layers], **changes))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return name


def look(client, name, *paths, **more):
    answer = client.invoke(FunctionName=name, Payload=json.dumps(paths), **more)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def members(answer):
    answer.pop("ResponseMetadata")
    return answer


# ---- The API

def test_publish_answers_as_aws_does(client):
    name, content = fresh_name(), zip_of({"bin/x": "1"})
    answer = publish(client, content, name, Description="d", LicenseInfo="MIT",
                     CompatibleRuntimes=["provided.al2023", "python3.11"], CompatibleArchitectures=["x86_64"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    members(answer)
    location = answer["Content"].pop("Location")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", answer.pop("CreatedDate"))
    sha = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assert answer == {
        "LayerArn": LAYER + name, "LayerVersionArn": f"{LAYER}{name}:1", "Version": 1, "Description": "d",
        "LicenseInfo": "MIT", "CompatibleRuntimes": ["provided.al2023", "python3.11"],
        "CompatibleArchitectures": ["x86_64"], "Content": {"CodeSha256": sha, "CodeSize": len(content)}}
    assert urllib.request.urlopen(location).read() == content


def test_what_was_not_given_is_absent(client):
    answer = members(publish(client, {"a": "1"}))
    assert sorted(answer) == ["Content", "CreatedDate", "LayerArn", "LayerVersionArn", "Version"]


def test_each_publish_is_a_new_version_and_numbers_are_not_used_again(client):
    name = fresh_name()
    assert [publish(client, {"a": "same"}, name)["Version"] for _ in range(3)] == [1, 2, 3]
    client.delete_layer_version(LayerName=name, VersionNumber=3)
    assert publish(client, {"a": "same"}, name)["Version"] == 4
    for number in (1, 2, 4):
        client.delete_layer_version(LayerName=name, VersionNumber=number)
    assert client.list_layer_versions(LayerName=name)["LayerVersions"] == []
    assert publish(client, {"a": "same"}, name)["Version"] == 5


def test_get_by_name_by_arn_and_by_version_arn_say_the_same(client):
    name = fresh_name()
    published = members(publish(client, {"a": "1"}, name))
    answers = [client.get_layer_version(LayerName=name, VersionNumber=1),
               client.get_layer_version(LayerName=LAYER + name, VersionNumber=1),
               client.get_layer_version_by_arn(Arn=f"{LAYER}{name}:1")]
    published["Content"].pop("Location")
    for answer in answers:
        assert answer["Content"].pop("Location").startswith("http://")
        assert members(answer) == published


def test_lists_have_newest_versions_filters_and_pages(client):
    prefix = fresh_name()
    names = [f"{prefix}-{i}" for i in range(3)]
    for name in names:
        publish(client, {"a": "1"}, name, CompatibleRuntimes=["python3.11"])
        publish(client, {"a": "2"}, name, CompatibleRuntimes=["nodejs18.x"], Description="new")
    listed = [each for page in client.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 2})
              for each in page["Layers"] if each["LayerName"] in names]
    assert [each["LayerName"] for each in listed] == names
    assert all(each["LatestMatchingVersion"]["Version"] == 2 and each["LayerArn"] == LAYER + each["LayerName"]
               for each in listed)
    old = [each for each in client.list_layers(CompatibleRuntime="python3.11")["Layers"]
           if each["LayerName"] in names]
    assert [each["LatestMatchingVersion"]["Version"] for each in old] == [1, 1, 1]
    versions = client.list_layer_versions(LayerName=names[0])["LayerVersions"]
    assert [each["Version"] for each in versions] == [2, 1]
    assert versions[0]["Description"] == "new" and "Content" not in versions[0]
    first = client.list_layer_versions(LayerName=names[0], MaxItems=1)
    second = client.list_layer_versions(LayerName=names[0], MaxItems=1, Marker=first["NextMarker"])
    assert [each["Version"] for each in first["LayerVersions"] + second["LayerVersions"]] == [2, 1]
    assert client.list_layer_versions(LayerName="never-published")["LayerVersions"] == []
    assert [each["Version"] for each in
            client.list_layer_versions(LayerName=names[0], CompatibleRuntime="nodejs18.x")["LayerVersions"]] == [2]


def test_delete_of_what_is_not_there_is_204(client):
    assert client.delete_layer_version(
        LayerName="never-published", VersionNumber=7)["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_policies_are_kept_and_shown(client):
    name = fresh_name()
    publish(client, {"a": "1"}, name)
    which = {"LayerName": name, "VersionNumber": 1}
    with refused("ResourceNotFoundException", "No policy is associated with the given resource."):
        client.get_layer_version_policy(**which)
    added = client.add_layer_version_permission(StatementId="all", Action="lambda:GetLayerVersion", Principal="*",
                                                OrganizationId="o-abcdefghij", **which)
    statement = {"Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "lambda:GetLayerVersion",
                 "Resource": f"{LAYER}{name}:1",
                 "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}}
    assert json.loads(added["Statement"]) == statement
    with refused("ResourceConflictException", "The statement id (all) provided already exists. Please provide a new "
                 "statement id, or remove the existing statement."):
        client.add_layer_version_permission(StatementId="all", Action="lambda:GetLayerVersion", Principal="*", **which)
    with refused("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. "
                 "Call the GetLayerPolicy API to retrieve the latest Revision Id"):
        client.add_layer_version_permission(StatementId="b", Action="lambda:GetLayerVersion", Principal="*",
                                            RevisionId="0", **which)
    client.add_layer_version_permission(StatementId="b", Action="lambda:GetLayerVersion", Principal="123456789012",
                                        RevisionId=added["RevisionId"], **which)
    policy = client.get_layer_version_policy(**which)
    assert policy["RevisionId"] != added["RevisionId"]
    document = json.loads(policy["Policy"])
    assert (document["Version"], document["Id"]) == ("2012-10-17", "default")
    assert document["Statement"][0] == statement
    assert document["Statement"][1]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    with refused("ResourceNotFoundException", "Statement nobody is not found in resource policy."):
        client.remove_layer_version_permission(StatementId="nobody", **which)
    for sid in ("all", "b"):
        client.remove_layer_version_permission(StatementId=sid, **which)
    with refused("ResourceNotFoundException", "No policy is associated with the given resource."):
        client.get_layer_version_policy(**which)


# ---- What a function sees

def test_layers_are_merged_in_order_into_opt(client):
    one = publish(client, {"only-one": "1", "both": "1", "d/x": "1", "file-then-dir": "f", "dir-then-file/x": "1"})
    two = publish(client, {"only-two": "2", "both": "2", "d/y": "2", "file-then-dir/x": "2", "dir-then-file": "f"})
    name = create(client, [one, two])
    shown = client.get_function_configuration(FunctionName=name)["Layers"]
    assert shown == [{"Arn": each["LayerVersionArn"], "CodeSize": each["Content"]["CodeSize"]} for each in (one, two)]
    found = look(client, name, "/opt/only-one", "/opt/only-two", "/opt/both", "/opt/d/x", "/opt/d/y",
                 "/opt/file-then-dir/x", "/opt/dir-then-file", "/opt/dir-then-file/x", "ls:/opt")
    assert found == {"/opt/only-one": "1", "/opt/only-two": "2", "/opt/both": "2", "/opt/d/x": "1", "/opt/d/y": "2",
                     "/opt/file-then-dir/x": "2", "/opt/dir-then-file": "f", "/opt/dir-then-file/x": "(none)",
                     "/opt": "both d dir-then-file file-then-dir lamina only-one only-two "}
    turned = create(client, [two, one])
    assert look(client, turned, "/opt/both", "/opt/file-then-dir")["/opt/both"] == "1"


def test_opt_is_read_only_and_our_runtime_cannot_be_replaced(client):
    layer = publish(client, {"lamina/lib/evil": "evil", "lamina/evil": "evil", "a": "1"})
    name = create(client, [layer])
    found = look(client, name, "write:/opt/b", "write:/opt/a", "/opt/lamina/evil", "/opt/lamina/lib/evil", "/opt/a")
    assert found == {"/opt/b": "refused", "/opt/a": "refused", "/opt/lamina/evil": "(none)",
                     "/opt/lamina/lib/evil": "(none)", "/opt/a": "1"}
    instead = create(client, [publish(client, {"lamina": "a file", "a": "2"})])
    assert look(client, instead, "/opt/lamina", "/opt/a")["/opt/a"] == "2"


def test_programs_and_libraries_of_a_layer_are_found(client):
    layer = publish(client, {"bin/from-layer": "#!/bin/bash\necho found\n", "lib/x": "1"})
    found = look(client, create(client, [layer]), "run:from-layer", "env:LD_LIBRARY_PATH", "env:PATH")
    assert found["from-layer"] == "found"
    assert "/opt/lib" in found["LD_LIBRARY_PATH"].split(":") and "/opt/bin" in found["PATH"].split(":")


def test_python_finds_a_layers_modules(client):
    layer = publish(client, {"python/a_module.py": "NAME = 'a'\n",
                             "python/lib/python3.11/site-packages/b_module.py": "NAME = 'b'\n"})
    handler = "import a_module, b_module\ndef handler(event, context):\n    return a_module.NAME + b_module.NAME\n"
    name = create(client, [layer], {"app.py": handler}, Runtime="python3.11", Handler="app.handler")
    assert json.load(client.invoke(FunctionName=name)["Payload"]) == "ab"


def test_node_finds_a_layers_modules(client):
    layer = publish(client, {"nodejs/node_modules/a/index.js": "module.exports = 'a';",
                             "nodejs/node18/node_modules/b/index.js": "module.exports = 'b';"})
    handler = "exports.handler = async () => require('a') + require('b');"
    name = create(client, [layer], {"app.js": handler}, Runtime="nodejs18.x", Handler="app.handler")
    assert json.load(client.invoke(FunctionName=name)["Payload"]) == "ab"


def test_the_bootstrap_may_come_from_a_layer(client):
    layer = publish(client, {"bootstrap": LOOK})
    name = create(client, [layer], {"data": "mine"})
    assert look(client, name, "/var/task/data") == {"/var/task/data": "mine"}


@pytest.mark.parametrize("runtime, name, handler", [
    ("python3.11", "app.py", "import os\ndef handler(event, context):\n    return os.environ.get('WRAPPED')\n"),
    ("nodejs18.x", "app.js", "exports.handler = async () => process.env.WRAPPED;"),
])
def test_a_layers_wrapper_starts_a_managed_runtime(client, runtime, name, handler):
    """AWS_LAMBDA_EXEC_WRAPPER: with the runtime's own command behind it."""
    layer = publish(client, {"wrap": '#!/bin/bash\nexport WRAPPED="yes, $#"\nexec "$@"\n'})
    function = create(client, [layer], {name: handler}, Runtime=runtime, Handler="app.handler",
                      Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}})
    assert json.load(client.invoke(FunctionName=function)["Payload"]) == "yes, 1"
    missing = create(client, [layer], {name: handler}, Runtime=runtime, Handler="app.handler",
                     Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nothing"}})
    answer = json.load(client.invoke(FunctionName=missing)["Payload"])
    assert answer["errorType"] == "Runtime.InvalidEntrypoint"


def test_a_file_in_a_layer_and_in_a_package_is_one_inode(client):
    content = "the same bytes " * 1000
    layer = publish(client, {"x/weights": content})
    name = create(client, [layer], {"bootstrap": LOOK, "elsewhere": content})
    found = look(client, name, "inode:/opt/x/weights", "inode:/var/task/elsewhere")
    assert found["/opt/x/weights"] == found["/var/task/elsewhere"] and found["/opt/x/weights"].isdigit()


def test_a_deleted_version_goes_on_serving_those_that_have_it(client):
    name = fresh_name()
    layer = publish(client, {"a": "kept"}, name)
    function = create(client, [layer])
    client.delete_layer_version(LayerName=name, VersionNumber=1)
    assert look(client, function, "/opt/a") == {"/opt/a": "kept"}
    client.update_function_configuration(FunctionName=function, Environment={"Variables": {"MORE": "1"}})
    assert look(client, function, "/opt/a") == {"/opt/a": "kept"}
    client.update_function_code(FunctionName=function, ZipFile=zip_of({"bootstrap": LOOK, "more": "1"}))
    assert look(client, function, "/opt/a", "/var/task/more") == {"/opt/a": "kept", "/var/task/more": "1"}
    assert client.get_function_configuration(FunctionName=function)["Layers"][0]["Arn"] == layer["LayerVersionArn"]
    with refused("InvalidParameterValueException", f"Layer version {layer['LayerVersionArn']} does not exist."):
        client.update_function_configuration(FunctionName=function, Layers=[layer["LayerVersionArn"]])


def test_layers_of_versions_stay_and_an_update_replaces_all(client):
    one, two = publish(client, {"a": "1"}), publish(client, {"a": "2"})
    name = create(client, [one])
    client.publish_version(FunctionName=name)
    answer = client.update_function_configuration(FunctionName=name, Layers=[two["LayerVersionArn"]])
    assert answer["LastUpdateStatus"] == "InProgress"
    assert [each["Arn"] for each in answer["Layers"]] == [two["LayerVersionArn"]]
    assert look(client, name, "/opt/a") == {"/opt/a": "2"}
    assert look(client, name, "/opt/a", Qualifier="1") == {"/opt/a": "1"}
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    answer = client.update_function_configuration(FunctionName=name, Layers=[])
    assert "Layers" not in answer
    assert look(client, name, "/opt/a") == {"/opt/a": "(none)"}
    assert look(client, name, "/opt/a", Qualifier="2") == {"/opt/a": "2"}


def test_nothing_is_lost_over_a_kill(make_service):
    service = make_service()
    client = service.client("lambda")
    name = fresh_name()
    layers = [publish(client, {"a": str(i)}, name) for i in (1, 2)]
    client.add_layer_version_permission(LayerName=name, VersionNumber=1, StatementId="s",
                                        Action="lambda:GetLayerVersion", Principal="*")
    function = create(client, [layers[0]])
    client.delete_layer_version(LayerName=name, VersionNumber=1)
    os.kill(service.pid("laminad"), signal.SIGKILL)
    wait_for(lambda: not service.processes(), "everything to end with laminad")
    service.stop()
    service.start()
    client = service.client("lambda")
    assert [each["Version"] for each in client.list_layer_versions(LayerName=name)["LayerVersions"]] == [2]
    assert look(client, function, "/opt/a") == {"/opt/a": "1"}
    assert publish(client, {"a": "3"}, name)["Version"] == 3


# ---- What is refused

def test_bad_references(client):
    layers = [publish(client, {"a": str(i)}) for i in range(6)]
    arns = [each["LayerVersionArn"] for each in layers]
    name = arns[0].rsplit(":", 1)[0]
    publish(client, {"a": "again"}, name.rsplit(":", 1)[1])

    def refuses(code, message, *wanted):
        with refused(code, message):
            client.create_function(**settings(fresh_name(), Layers=list(wanted)))

    refuses("InvalidParameterValueException", "Cannot reference more than 5 layers.", *arns)
    for twice in ([f"{name}:1", f"{name}:2"], [f"{name}:1", f"{name}:1"]):
        refuses("InvalidParameterValueException", "Two different versions of the same layer are not allowed to be "
                f"referenced in the same function. {twice[0]} and {twice[1]} are versions of the same layer.", *twice)
    refuses("InvalidParameterValueException", f"Layer version {name}:9 does not exist.", f"{name}:9")
    elsewhere = name.replace("us-east-1", "eu-west-1") + ":1"
    refuses("InvalidParameterValueException", "Layers are not in the same region as the function. Layers are "
            "expected to be in region us-east-1.", elsewhere)
    foreign = name.replace("000000000000", "123456789012") + ":1"
    refuses("AccessDeniedException", "User: arn:aws:iam::000000000000:root is not authorized to perform: "
            f"lambda:GetLayerVersion on resource: {foreign} because no resource-based policy allows the "
            "lambda:GetLayerVersion action", foreign)
    for bad in (name, "not-an-arn", name + ":x", name + ":"):
        with pytest.raises(ClientError) as caught:
            client.create_function(**settings(fresh_name(), Layers=[bad]))
        assert caught.value.response["Error"]["Code"] == "ValidationException", bad


def bad_zip(kind):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if kind == "climbs":
            archive.writestr("../../etc/passwd", "x")
        elif kind == "absolute":
            archive.writestr("/etc/passwd", "x")
        elif kind == "twice":
            archive.writestr("a", "file")
            archive.writestr("a/b", "so a is a directory")
        elif kind == "link":
            info = zipfile.ZipInfo("python")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "../../../etc")
    return buffer.getvalue() if kind != "no zip" else b"this is no zip" * 10


@pytest.mark.parametrize("kind", ["no zip", "climbs", "absolute", "twice", "link"])
def test_bad_archives(client, kind):
    name = fresh_name()
    with pytest.raises(ClientError) as caught:
        publish(client, bad_zip(kind), name)
    error = caught.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException" and "Could not unzip uploaded file" in error["Message"]
    assert client.list_layer_versions(LayerName=name)["LayerVersions"] == []
    assert publish(client, {"a": "1"}, name)["Version"] == 1


def zeros(size):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("zeros", "w") as out:
            for _ in range(size >> 20):
                out.write(bytes(1 << 20))
    return buffer.getvalue()


def test_the_total_is_limited(client):
    """250 MB unzipped, package and layers together."""
    half = publish(client, zeros(125 << 20))
    other = publish(client, zeros(126 << 20))
    with refused("InvalidParameterValueException",
                 f"Layers consume more than the available size of {LIMIT} bytes"):
        client.create_function(**settings(fresh_name(), Layers=[half["LayerVersionArn"], other["LayerVersionArn"]]))
    name = fresh_name()
    with refused("InvalidParameterValueException", "Function code combined with layers exceeds the maximum allowed "
                 f"size of {LIMIT} bytes. The actual size is {251 << 20} bytes."):
        client.create_function(**settings(name, Code={"ZipFile": zeros(125 << 20)}, Layers=[other["LayerVersionArn"]]))
    function = create(client, [half])
    with refused("InvalidParameterValueException", "Function code combined with layers exceeds the maximum allowed "
                 f"size of {LIMIT} bytes. The actual size is {251 << 20} bytes."):
        client.update_function_code(FunctionName=function, ZipFile=zeros(126 << 20))
    assert look(client, function, "ls:/opt") == {"/opt": "lamina zeros "}


def test_bad_requests(client):
    name = fresh_name()
    for what, code in ((dict(CompatibleRuntimes=["cobol85"]), "ValidationException"),
                       (dict(CompatibleArchitectures=["sparc"]), "ValidationException"),
                       (dict(LicenseInfo="x" * 513), "ValidationException"),
                       (dict(Description="x" * 257), "ValidationException"),
                       (dict(CompatibleRuntimes=["python3.11"] * 16), "ValidationException"),
                       (dict(LayerName="no spaces"), "ValidationException")):
        parameters = {"LayerName": name, "Content": {"ZipFile": zip_of({"a": "1"})}, **what}
        with pytest.raises(ClientError) as caught:
            client.publish_layer_version(**parameters)
        assert caught.value.response["Error"]["Code"] == code, what
    with refused("InvalidParameterValueException", "Layer Version Cannot be less than 1."):
        client.get_layer_version(LayerName=name, VersionNumber=0)
    with refused("ResourceNotFoundException", "The resource you requested does not exist."):
        client.get_layer_version(LayerName=name, VersionNumber=1)
    with refused("ResourceNotFoundException", "The resource you requested does not exist."):
        client.get_layer_version_by_arn(Arn=f"{LAYER}{name}:1")
    with pytest.raises(ClientError) as caught:
        client.get_layer_version_by_arn(Arn="arn:aws:lambda:us-east-1:000000000000:function:x")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


# ---- lamina deploy --strategy layer

def net(factor):
    weight = initializer("w", FLOAT, [3], struct.pack("<3f", *[factor] * 3))
    return model([node("Mul", ["x", "w"], ["y"])], [value("x", FLOAT, ["batch", 3])], [value("y", FLOAT, ["batch", 3])],
                 [weight])


def ask(client, name):
    answer = lambda_function.invoke(client, name, json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}))
    return answer["outputs"][0]["data"], answer["model_version"]


@pytest.fixture
def with_models(service):
    if not (service.build / "runtime/lib/libonnxruntime.so").exists():
        pytest.skip("this build has no ONNX Runtime")
    return service


def deploy(service, path, *arguments):
    return json.loads(service.lamina("deploy", path, "--strategy", "layer", "-o", "json", *arguments).stdout)


def test_deploy_by_layer(with_models, client, tmp_path):
    """One command: a layer with the model, a function of the runtime that has it; the same file is the same layer."""
    path = tmp_path / "scale.onnx"
    path.write_bytes(net(2))
    told = deploy(with_models, path)
    assert (told["strategy"], told["action"], told["layer"]) == ("layer", "created", LAYER + "scale:1")
    assert told["handler"] == "/opt/model/scale.onnx" and told["is_layer_new"]
    assert ask(client, "scale") == ([2, 4, 6], hashlib.sha256(net(2)).hexdigest())
    other = deploy(with_models, path, "--name", "scale-b")
    assert (other["layer"], other["is_layer_new"], other["action"]) == (LAYER + "scale:1", False, "created")
    assert deploy(with_models, path)["action"] == "unchanged"
    path.write_bytes(net(5))
    told = deploy(with_models, path)
    assert (told["action"], told["layer"]) == ("updated", LAYER + "scale:2")
    assert ask(client, "scale")[0] == [5, 10, 15]
    assert ask(client, "scale-b")[0] == [2, 4, 6], "versions are pinned"


def test_the_only_model_of_the_layers_is_found(with_models, client, build):
    """No MODEL_PATH, no file name as the handler: a layer made by hand, as on AWS."""
    runtime = {"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()}
    layer = publish(client, {"weights/any.onnx": net(3)})
    name = create(client, [layer], runtime, Timeout=60, MemorySize=1769)
    assert ask(client, name)[0] == [3, 6, 9]
    named = create(client, [layer, publish(client, {"weights/other.onnx": net(4)})], runtime, Timeout=60,
                   MemorySize=1769, Environment={"Variables": {"MODEL_PATH": "/opt/weights/other.onnx"}})
    assert ask(client, named)[0] == [4, 8, 12]


def test_only_a_model_is_divided(service, tmp_path):
    (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
    (tmp_path / "bootstrap").chmod(0o755)
    done = service.lamina("deploy", tmp_path, "--strategy", "layer", check=False)
    assert done.returncode == 1 and "is not one model" in done.stderr
