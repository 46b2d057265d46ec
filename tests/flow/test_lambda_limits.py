# SPDX-License-Identifier: MIT
"""Names, numbers and sizes at each limit and one past it, sent past boto3's own checks."""
import io
import os
import zipfile

import pytest

from lambda_function import ARN, BOOTSTRAP, fresh_name, function, loose_client, package, refused, settings, signed

ZIP_MAX = 52428800
UNZIPPED_MAX = 262144000
REQUEST_MAX = 70167211


@pytest.fixture(scope="module")
def client(service):
    return loose_client(service)


def accepted(client, **parameters):
    client.create_function(**parameters)
    client.delete_function(FunctionName=parameters["FunctionName"])


def constraint(value, member, words):
    return (f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
            f"Member must {words}")


@pytest.mark.parametrize("member, path, low, high", [
    ("MemorySize", "memorySize", 128, 10240),
    ("Timeout", "timeout", 1, 900),
])
def test_numbers(client, member, path, low, high):
    name = fresh_name()
    for value in (low, high):
        accepted(client, **settings(name, **{member: value}))
    with refused("ValidationException", 400, constraint(low - 1, path, f"have value greater than or equal to {low}")):
        client.create_function(**settings(name, **{member: low - 1}))
    with refused("ValidationException", 400, constraint(high + 1, path, f"have value less than or equal to {high}")):
        client.create_function(**settings(name, **{member: high + 1}))
    with function(client, name):
        with refused("ValidationException", 400, constraint(high + 1, path, "have value less than")):
            client.update_function_configuration(FunctionName=name, **{member: high + 1})


def test_ephemeral_storage(client):
    name = fresh_name()
    for value in (512, 10240):
        accepted(client, **settings(name, EphemeralStorage={"Size": value}))
    for value, words in ((511, "greater than or equal to 512"), (10241, "less than or equal to 10240")):
        with refused("ValidationException", 400, constraint(value, "ephemeralStorage.size", f"have value {words}")):
            client.create_function(**settings(name, EphemeralStorage={"Size": value}))


@pytest.mark.parametrize("member, path, most", [("Handler", "handler", 128), ("Description", "description", 256)])
def test_text_lengths(client, member, path, most):
    name = fresh_name()
    accepted(client, **settings(name, **{member: "é" * most}))
    with refused("ValidationException", 400, f"at '{path}'", f"have length less than or equal to {most}"):
        client.create_function(**settings(name, **{member: "é" * (most + 1)}))


def test_function_names(client):
    longest = "n" * 64
    accepted(client, **settings(longest))
    accepted(client, **settings(ARN + fresh_name()))
    for wrong in ("n" * 65, "", "with space", "dot.ted", "ümlaut", "a/b", "a:b:c"):
        code = "ValidationException" if ":" in wrong else "InvalidParameterValueException"
        with refused(code, 400, "at 'functionName' failed to satisfy constraint: Member must"):
            client.create_function(**settings(wrong))
    with refused("ValidationException", 400, "Value null at 'functionName'", "must not be null"):
        client.create_function(**settings(None))
    with refused("ResourceNotFoundException", 404):
        client.get_function(FunctionName="n" * 256)
    with refused("ValidationException", 400, "have length less than or equal to 256"):
        client.get_function(FunctionName="n" * 257)
    with refused("ResourceNotFoundException", 404):
        client.get_function(FunctionName="f", Qualifier="q" * 128)
    with refused("ValidationException", 400, "at 'qualifier'", "have length less than or equal to 128"):
        client.get_function(FunctionName="f", Qualifier="q" * 129)


def test_roles(client):
    name = fresh_name()
    for wrong in ("role", "arn:aws:iam::1:role/r", "arn:aws:iam::000000000000:user/r", ""):
        with refused("ValidationException", 400, "at 'role' failed to satisfy constraint: Member must satisfy regular "
                     "expression pattern"):
            client.create_function(**settings(name, Role=wrong))
    with refused("AccessDeniedException", 403, "Cross-account pass role is not allowed"):
        client.create_function(**settings(name, Role="arn:aws:iam::123456789012:role/r"))
    with refused("ValidationException", 400, "Value null at 'role'"):
        client.create_function(**settings(name, Role=None))


def test_environment(client):
    name = fresh_name()
    room = 4096 - len('{"AA":""}')
    accepted(client, **settings(name, Environment={"Variables": {"AA": "x" * room}}))
    with refused("InvalidParameterValueException", 400, "exceeded the 4KB limit. String measured: "):
        client.create_function(**settings(name, Environment={"Variables": {"AA": "x" * (room + 1)}}))
    for wrong in ("A", "1AB", "_AB", "A-B", "A B", ""):
        with refused("ValidationException", 400, "at 'environment.variables'"):
            client.create_function(**settings(name, Environment={"Variables": {wrong: "x"}}))
    for reserved in ("AWS_REGION", "AWS_LAMBDA_RUNTIME_API", "AWS_SECRET_ACCESS_KEY", "LAMBDA_TASK_ROOT"):
        with refused("InvalidParameterValueException", 400, "reserved keys", f"in this request: {reserved}"):
            client.create_function(**settings(name, Environment={"Variables": {reserved: "x"}}))


def test_runtimes_and_architectures(client):
    name = fresh_name()
    for runtime in ("provided", "provided.al2", "provided.al2023"):
        accepted(client, **settings(name, Runtime=runtime))
    accepted(client, **settings(name, Architectures=["x86_64"]))
    with refused("InvalidParameterValueException", 400, "The runtime java21 is not available in this service"):
        client.create_function(**settings(name, Runtime="java21"))
    with refused("InvalidParameterValueException", 400, "Value cobol85 at 'runtime' failed to satisfy constraint: "
                 "Member must satisfy enum value set"):
        client.create_function(**settings(name, Runtime="cobol85"))
    with refused("InvalidParameterValueException", 400, "arm64"):
        client.create_function(**settings(name, Architectures=["arm64"]))
    with refused("ValidationException", 400, "[x86_64, arm64]"):
        client.create_function(**settings(name, Architectures=["mips"]))
    with function(client, name):
        with refused("InvalidParameterValueException", 400, "arm64"):
            client.update_function_code(FunctionName=name, ZipFile=package(), Architectures=["arm64"])


def test_what_is_not_there_is_refused(client):
    name = fresh_name()
    for changes, text in (
            ({"PackageType": "Image", "Code": {"ImageUri": "x"}}, "The package type Image is not available"),
            ({"Layers": [ARN.replace("function", "layer") + "l:1"]}, "does not exist."),
            ({"Layers": ["a"] * 6}, "Cannot reference more than 5 layers."),
            ({"FileSystemConfigs": [{"Arn": "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-" + "0" * 17,
                                     "LocalMountPath": "/mnt/a"}]}, "does not exist"),
            ({"SnapStart": {"ApplyOn": "PublishedVersions"}, "Runtime": "nodejs20.x"},
             "nodejs20.x is not supported for SnapStart enabled functions."),
            ({"Code": {"S3Bucket": "b"}}, "both S3Bucket and S3Key"),
            ({"Code": {"S3Bucket": "b", "S3Key": "k"}}, "is not the name of a bucket"),
            ({"Code": {}}, "Please provide a source for function code."),
            ({"Handler": None}, "Runtime and Handler are mandatory parameters"),
            ({"Runtime": None}, "Runtime and Handler are mandatory parameters")):
        with refused("InvalidParameterValueException", 400, text):
            client.create_function(**settings(name, **changes))
    with refused("ResourceNotFoundException", 404):
        client.get_function(FunctionName=name)


def test_several_mistakes_are_told_together(client):
    with refused("ValidationException", 400, "3 validation errors detected: ", "at 'timeout'", "at 'memorySize'",
                 "at 'description'"):
        client.create_function(**settings(fresh_name(), Timeout=0, MemorySize=1, Description="d" * 257))


def test_tags(client):
    name = fresh_name()
    accepted(client, **settings(name, Tags={f"key-{i}": "v" * 256 for i in range(50)}))
    accepted(client, **settings(name, Tags={"k" * 128: ""}))
    with refused("InvalidParameterValueException", 400, "Number of tags exceeds resource tag limit."):
        client.create_function(**settings(name, Tags={f"key-{i}": "" for i in range(51)}))
    for tags in ({"k" * 129: ""}, {"k": "v" * 257}, {"": ""}):
        with refused("ValidationException", 400, "at 'tags'"):
            client.create_function(**settings(name, Tags=tags))


def stored_zip(total):
    """A working package of exactly `total` bytes, made longer by one stored file of noise."""
    def build(size):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            info = zipfile.ZipInfo("bootstrap", (2020, 1, 1, 0, 0, 0))
            info.external_attr = 0o100755 << 16
            archive.writestr(info, BOOTSTRAP)
            archive.writestr(zipfile.ZipInfo("noise", (2020, 1, 1, 0, 0, 0)), os.urandom(size))
        return buffer.getvalue()

    data = build(total - len(build(0)))
    assert len(data) == total
    return data


def test_zip_of_the_largest_size_and_one_byte_more(client):
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": stored_zip(ZIP_MAX)}))
    assert client.get_function_configuration(FunctionName=name)["CodeSize"] == ZIP_MAX
    client.delete_function(FunctionName=name)
    with refused("RequestEntityTooLargeException", 413, f"Zipped size must be smaller than {ZIP_MAX} bytes"):
        client.create_function(**settings(name, Code={"ZipFile": stored_zip(ZIP_MAX + 1)}))


def test_request_larger_than_any_zip_needs(service):
    body = b'{"FunctionName":"x","Code":{"ZipFile":"' + b"A" * REQUEST_MAX + b'"}}'
    status, headers, answer = signed(service, "POST", "/2015-03-31/functions", body)
    assert status == 413 and headers["x-amzn-errortype"] == "RequestEntityTooLargeException"
    assert b"Request must be smaller than 70167211 bytes for the CreateFunction operation" in answer


def zeros(size):
    """A zip that unpacks to a bootstrap and `size` bytes of zeros in all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        info = zipfile.ZipInfo("bootstrap", (2020, 1, 1, 0, 0, 0))
        info.external_attr = 0o100755 << 16
        archive.writestr(info, BOOTSTRAP)
        zeros_info = zipfile.ZipInfo("zeros", (2020, 1, 1, 0, 0, 0))
        zeros_info.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(zeros_info, "w") as file:
            left = size - len(BOOTSTRAP)
            while left:
                piece = min(left, 1 << 20)
                file.write(bytes(piece))
                left -= piece
    return buffer.getvalue()


def test_unzipped_size_past_the_limit(client):
    with refused("InvalidParameterValueException", 400, f"Unzipped size must be smaller than {UNZIPPED_MAX} bytes"):
        client.create_function(**settings(fresh_name(), Code={"ZipFile": zeros(UNZIPPED_MAX + 1)}))


def test_control_requests_have_a_limit(service):
    body = b'{"Description":"' + b"d" * (1 << 20) + b'"}'
    status, headers, _ = signed(service, "PUT", "/2015-03-31/functions/f/configuration", body)
    assert status == 413 and headers["x-amzn-errortype"] == "RequestEntityTooLargeException"


def test_page_sizes(client):
    for wrong, code in ((0, "ValidationException"), (-1, "ValidationException"), (10001, "ValidationException"),
                        ("x", "SerializationException")):
        with refused(code, 400):
            client.list_functions(MaxItems=wrong)
    assert client.list_functions(MaxItems=10000)["Functions"] == []
    with refused("InvalidParameterValueException", 400, "Invalid marker"):
        client.list_functions(Marker="%%%")
    with refused("ValidationException", 400, "[ALL]"):
        client.list_functions(FunctionVersion="SOME")
