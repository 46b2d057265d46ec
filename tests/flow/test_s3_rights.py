# SPDX-License-Identifier: MIT
"""Who may do what with buckets and objects: people by their policies, functions by their roles."""
import json
import types
import urllib.error
import urllib.request

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambda_function import fresh_name, invoke, settings, zip_of
from s3_signer import Signed, digest, exchange


def user(service, name, *statements):
    """A client of a user with these (actions, resources)."""
    policy = {"Version": "2012-10-17",
              "Statement": [{"Effect": effect, "Action": actions, "Resource": resources}
                            for effect, actions, resources in statements]}
    path = service.root / f"{name}.json"
    path.write_text(json.dumps(policy))
    made = json.loads(service.lamina("user", "add", name, "--policy", path, "-o", "json").stdout)
    return service.client("s3", aws_access_key_id=made["access_key_id"],
                          aws_secret_access_key=made["secret_access_key"])


def refused(call, **settings):
    with pytest.raises(ClientError) as failed:
        call(**settings)
    answer = failed.value.response
    code, status = answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]
    return status == 403 and code in ("AccessDenied", "403")


@pytest.fixture(scope="module")
def buckets(service):
    client = service.client("s3")
    for name in ("models", "private"):
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="k", Body=name.encode())
        client.put_object(Bucket=name, Key="public/k", Body=name.encode())
    return client


def test_a_user_has_what_its_policy_allows(service, buckets):
    client = user(service, "reader", ("Allow", ["s3:GetObject"], "arn:aws:s3:::models/*"),
                  ("Allow", "s3:ListBucket", "arn:aws:s3:::models"),
                  ("Deny", "s3:*", "arn:aws:s3:::models/secret*"))
    assert client.get_object(Bucket="models", Key="k")["Body"].read() == b"models"
    assert [item["Key"] for item in client.list_objects_v2(Bucket="models")["Contents"]] == ["k", "public/k"]
    assert refused(client.get_object, Bucket="models", Key="secret/k")
    assert refused(client.get_object, Bucket="private", Key="k")
    assert refused(client.head_object, Bucket="private", Key="k")
    assert refused(client.list_objects_v2, Bucket="private")
    assert refused(client.put_object, Bucket="models", Key="new", Body=b"x")
    assert refused(client.delete_object, Bucket="models", Key="k")
    assert refused(client.create_bucket, Bucket="another")
    assert refused(client.delete_bucket, Bucket="models")
    assert refused(client.list_buckets)
    assert refused(client.get_object, Bucket="models", Key="k", VersionId="null")  # a right of its own
    assert refused(client.create_multipart_upload, Bucket="models", Key="k")


def test_a_name_may_be_written_otherwise_and_needs_the_same_right(service, buckets):
    """?%76ersionId= is ?versionId=: it names a version, whose rights are its own."""
    reader = user(service, "writer-of-names", ("Allow", ["s3:GetObject", "s3:DeleteObject"], "arn:aws:s3:::versions/*"))
    keys = reader._request_signer._credentials
    store = types.SimpleNamespace(endpoint=service.endpoint, credentials={
        "aws_access_key_id": keys.access_key, "aws_secret_access_key": keys.secret_key})
    buckets.create_bucket(Bucket="versions")
    buckets.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    version = buckets.put_object(Bucket="versions", Key="k", Body=b"old")["VersionId"]
    buckets.put_object(Bucket="versions", Key="k", Body=b"new")
    for method in ("GET", "HEAD", "DELETE"):
        for name in ("versionId", "%76ersionId", "%76%65%72%73%69%6f%6e%49%64"):
            signed = Signed(store, method, f"/versions/k?versionId={version}", {}, digest(b""))
            status, _, body = exchange(store, method, f"/versions/k?{name}={version}", signed, b"")
            assert status == 403 and (method == "HEAD" or b"<Code>AccessDenied<" in body), (method, name, body)
    assert buckets.get_object(Bucket="versions", Key="k", VersionId=version)["Body"].read() == b"old"


def test_a_copy_needs_the_right_to_its_source(service, buckets):
    client = user(service, "copier", ("Allow", "s3:PutObject", "arn:aws:s3:::models/*"),
                  ("Allow", "s3:GetObject", "arn:aws:s3:::models/public/*"))
    client.copy_object(Bucket="models", Key="copy", CopySource="models/public/k")
    assert refused(client.copy_object, Bucket="models", Key="copy", CopySource="private/k")
    assert refused(client.copy_object, Bucket="models", Key="copy", CopySource="models/k")
    assert refused(client.copy_object, Bucket="private", Key="copy", CopySource="models/public/k")
    upload = client.create_multipart_upload(Bucket="models", Key="parts")["UploadId"]
    assert refused(client.upload_part_copy, Bucket="models", Key="parts", UploadId=upload, PartNumber=1,
                   CopySource="private/k")
    buckets.delete_object(Bucket="models", Key="copy")


def test_of_many_deletions_each_needs_its_right(service, buckets):
    client = user(service, "cleaner", ("Allow", "s3:DeleteObject", "arn:aws:s3:::models/tmp/*"))
    for key in ("tmp/1", "tmp/2"):
        buckets.put_object(Bucket="models", Key=key, Body=b"")
    answer = client.delete_objects(Bucket="models", Delete={"Objects": [{"Key": "tmp/1"}, {"Key": "k"}, {"Key": "tmp/2"}]})
    assert [item["Key"] for item in answer["Deleted"]] == ["tmp/1", "tmp/2"]
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("k", "AccessDenied")]
    assert buckets.get_object(Bucket="models", Key="k")["Body"].read() == b"models"


def test_a_users_presigned_url_is_the_users(service, buckets):
    """It may what the user may when it is used, not what the service may."""
    keys = user(service, "signer", ("Allow", "s3:GetObject", "arn:aws:s3:::models/public/*"))._request_signer._credentials
    client = service.client("s3", aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key,
                            config=Config(signature_version="s3v4"))

    def status(key):
        url = client.generate_presigned_url("get_object", Params={"Bucket": "models", "Key": key})
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status
        except urllib.error.HTTPError as failed:
            return failed.code

    assert (status("public/k"), status("k")) == (200, 403)
    service.lamina("user", "delete", "signer")
    assert status("public/k") == 403


HANDLER = """
import os, urllib.request, hashlib
import boto3
from botocore.exceptions import ClientError

def handler(event, context):
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    seen = {}
    for bucket in ("models", "private"):
        try:
            seen[bucket] = client.get_object(Bucket=bucket, Key="k")["Body"].read().decode()
        except ClientError as failed:
            seen[bucket] = failed.response["Error"]["Code"]
    try:
        client.put_object(Bucket="models", Key="from-inside", Body=b"x")
        seen["put"] = "done"
    except ClientError as failed:
        seen["put"] = failed.response["Error"]["Code"]
    return seen
"""


def test_a_function_reads_its_bucket_only(service, buckets):
    """With boto3 inside the sandbox, over the platform's listener; by default what its environment names."""
    client = service.client()
    name = fresh_name("s3")
    client.create_function(**settings(name, Runtime="python3.11", Handler="app.handler", Timeout=120, MemorySize=1024,
                                      Environment={"Variables": {"MODELS": "s3://models", "PYTHONDONTWRITEBYTECODE": "1"}},
                                      Code={"ZipFile": zip_of({"app.py": HANDLER})}))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    assert invoke(client, name) == {"models": "models", "private": "AccessDenied", "put": "AccessDenied"}
    client.delete_function(FunctionName=name)
