# SPDX-License-Identifier: MIT
"""The same client scripts against our object store and against a real one (Ceph's radosgw), with the same results:
AWS's CLI, boto3's transfers, the JavaScript SDK, presigned URLs, a wrong secret.

Where Debian 12's radosgw (16.2) differs from AWS, and ours does not, one by one:
 1. it takes a trailer behind an aws-chunked body for content: streams of the JavaScript SDK, test_trailers
 2. it does not know x-amz-checksum-*: test_checksums, test_checksums_of_parts (and GetObjectAttributes)
 3. it has no If-None-Match: * and no If-Match on PUT: test_create_only_and_replace_only
 4. it accepts presigned URLs of signature version 2: test_version_2_is_refused_in_words
 5. its errors have no Message, over which the CLI stumbles: exit status 255 in place of 254
 6. it takes any text for a continuation token
 7. parts in the wrong order are InvalidPart, not InvalidPartOrder
 8. ListParts of an upload that is gone is NoSuchKey, not NoSuchUpload
 9. an upload can be completed with all of its parts only, not with some
10. the answer to CompleteMultipartUpload has an empty ETag
11. completing an upload that is gone is InternalError, not NoSuchUpload
12. its frontend does not take keys that are "." and ".." segments or begin with "/"
"""
import base64
import concurrent.futures
import datetime
import filecmp
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parents[2]
JS_MODULES = ROOT / "build" / "deps" / "npm" / "aws-sdk" / "node_modules"
MIB = 1 << 20

needs_js = pytest.mark.skipif(not (JS_MODULES / "@aws-sdk" / "client-s3").exists() or not shutil.which("node"),
                              reason="node or @aws-sdk/client-s3 is missing (tools/deps check)")


class Ours:
    """tests/lamina_service.Service under the names that radosgw.RadosGateway has."""

    name = "lamina"

    def __init__(self, service):
        self.service = service
        self.endpoint, self.env, self.credentials = service.endpoint, service.env, service.credentials
        self.aws = service.aws

    def client(self, **settings):
        return self.service.client("s3", **settings)


@pytest.fixture(params=["lamina", "radosgw"])
def store(request):
    """The store under test."""
    if request.param == "lamina":
        return Ours(request.getfixturevalue("service"))
    gateway = request.getfixturevalue("radosgw")
    gateway.name = "radosgw"
    return gateway


@pytest.fixture
def ours(service):
    return Ours(service)


names = iter(range(10**6))


@pytest.fixture
def bucket(request):
    """The name of a bucket that exists, of this test's own."""
    where = request.getfixturevalue("store" if "store" in request.fixturenames else "ours")
    name = f"test-{os.getpid()}-{next(names)}"
    where.client().create_bucket(Bucket=name)
    return name


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def is_aws_like(store):
    """False: one of the numbered differences above."""
    return store.name == "lamina"


def code(call, *arguments, **settings):
    """(AWS's code, HTTP status) of a call that must fail."""
    with pytest.raises(ClientError) as failed:
        call(*arguments, **settings)
    answer = failed.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


# ---- AWS's CLI


def test_cli_copies_lists_and_removes(store, tmp_path):
    bucket = f"cli-{os.getpid()}-{next(names)}"
    here, back = tmp_path / "here", tmp_path / "back"
    here.mkdir()
    (here / "small.bin").write_bytes(noise(100_000))
    (here / "large.bin").write_bytes(noise(20 * MIB + 5))
    store.aws("s3", "mb", f"s3://{bucket}")
    store.aws("s3", "cp", "--recursive", here, f"s3://{bucket}/models", "--content-type", "application/x-model",
              "--metadata", "maker=us")
    store.aws("s3", "mv", f"s3://{bucket}/models/small.bin", f"s3://{bucket}/models/moved.bin")
    head = store.client().head_object(Bucket=bucket, Key="models/moved.bin")
    assert (head["ContentType"], head["Metadata"], head["ContentLength"]) == ("application/x-model", {"maker": "us"}, 100_000)
    listed = store.aws("s3", "ls", f"s3://{bucket}/models/").stdout.split("\n")
    assert [line.split()[2:] for line in listed if line] == [["20971525", "large.bin"], ["100000", "moved.bin"]]
    store.aws("s3", "cp", "--recursive", f"s3://{bucket}", back)
    for name, copy in (("large.bin", "large.bin"), ("small.bin", "moved.bin")):
        assert filecmp.cmp(here / name, back / "models" / copy, shallow=False)
    store.aws("s3", "rb", "--force", f"s3://{bucket}")  # removes what is in it first
    failed = store.aws("s3", "ls", f"s3://{bucket}", check=False)
    if is_aws_like(store):
        assert failed.returncode == 254 and "NoSuchBucket" in failed.stderr
    assert failed.returncode != 0


def test_cli_streams_from_standard_input(store, bucket):
    content = base64.b64encode(noise(MIB)).decode()
    store.aws("s3", "cp", "-", f"s3://{bucket}/stream", input=content)
    assert store.aws("s3", "cp", f"s3://{bucket}/stream", "-").stdout == content


def test_cli_synchronises_directories(store, bucket, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("a.txt", "deep/er/b.txt", "with space/ü+%.txt", "c"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    said = store.aws("s3", "sync", here, f"s3://{bucket}/tree").stdout
    assert said.count("upload:") == 4
    (here / "a.txt").write_text("changed and longer")
    (here / "c").unlink()
    said = store.aws("s3", "sync", "--delete", here, f"s3://{bucket}/tree").stdout
    assert (said.count("upload:"), said.count("delete:")) == (1, 1)  # the others have not changed
    store.aws("s3", "sync", f"s3://{bucket}/tree", there)
    compared = filecmp.dircmp(here, there)
    assert not compared.left_only and not compared.right_only
    assert (there / "a.txt").read_text() == "changed and longer"
    assert (there / "with space/ü+%.txt").read_text() == "with space/ü+%.txt"


# ---- boto3


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 20 * MIB + 3])
def test_boto3_transfers(store, bucket, size):
    client, content = store.client(), noise(size)
    settings = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=10)
    client.upload_fileobj(io.BytesIO(content), bucket, "object", Config=settings)
    read = io.BytesIO()
    client.download_fileobj(bucket, "object", read, Config=settings)
    assert read.getvalue() == content
    head = client.head_object(Bucket=bucket, Key="object")
    parts = [content[i:i + 8 * MIB] for i in range(0, size, 8 * MIB)]
    if size < 8 * MIB:
        etag = hashlib.md5(content).hexdigest()
    else:
        etag = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest() + f"-{len(parts)}"
    assert (head["ContentLength"], head["ETag"]) == (size, f'"{etag}"')


def test_many_transfers_at_once(store, bucket):
    client = store.client()
    contents = {f"k{i}": noise(3 * MIB + i, seed=i) for i in range(12)}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda item: client.put_object(Bucket=bucket, Key=item[0], Body=item[1]), contents.items()))
        read = pool.map(lambda key: (key, client.get_object(Bucket=bucket, Key=key)["Body"].read()), contents)
        assert dict(read) == contents


def test_ranges(store, bucket):
    client, content = store.client(), noise(1000)
    client.put_object(Bucket=bucket, Key="k", Body=content)
    for text, start, end in (("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=990-", 990, 999),
                             ("bytes=-5", 995, 999), ("bytes=-2000", 0, 999), ("bytes=900-5000", 900, 999)):
        got = client.get_object(Bucket=bucket, Key="k", Range=text)
        assert got["Body"].read() == content[start:end + 1], text
        assert got["ContentRange"] == f"bytes {start}-{end}/1000"
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert code(client.get_object, Bucket=bucket, Key="k", Range="bytes=1000-") == ("InvalidRange", 416)


def test_conditions(store, bucket):
    client = store.client()
    etag = client.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    hour = datetime.timedelta(hours=1)
    now = datetime.datetime.now(datetime.timezone.utc)

    def status(**condition):
        try:
            return client.get_object(Bucket=bucket, Key="k", **condition)["ResponseMetadata"]["HTTPStatusCode"]
        except ClientError as failed:
            return failed.response["ResponseMetadata"]["HTTPStatusCode"]

    assert status(IfMatch=etag) == 200
    assert status(IfMatch='"0123"') == 412
    assert status(IfNoneMatch=etag) == 304
    assert status(IfNoneMatch='"0123"') == 200
    assert status(IfModifiedSince=now - hour) == 200
    assert status(IfModifiedSince=now + hour) in (304, 200)  # in the future: HTTP says it is not looked at
    assert status(IfUnmodifiedSince=now + hour) == 200
    assert status(IfUnmodifiedSince=now - hour) == 412


def test_headers_and_metadata_come_back(store, bucket):
    client = store.client()
    sent = dict(ContentType="text/x", CacheControl="max-age=5", ContentDisposition='attachment; filename="x"',
                ContentEncoding="gzip", ContentLanguage="de", Metadata={"one": "1", "two": "zwei"})
    client.put_object(Bucket=bucket, Key="k", Body=b"x", **sent)
    got = client.head_object(Bucket=bucket, Key="k")
    assert {name: got[name] for name in sent} == sent
    client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    got = client.head_object(Bucket=bucket, Key="copy")
    assert {name: got[name] for name in sent} == sent
    client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k", MetadataDirective="REPLACE",
                       Metadata={"new": "3"}, ContentType="a/b")
    got = client.head_object(Bucket=bucket, Key="copy")
    assert (got["Metadata"], got["ContentType"]) == ({"new": "3"}, "a/b")
    got = client.get_object(Bucket=bucket, Key="k", ResponseContentType="x/y", ResponseCacheControl="no-store")
    assert (got["ContentType"], got["CacheControl"]) == ("x/y", "no-store")


def pages(client, bucket, **settings):
    """[(keys, prefixes)] of every page."""
    seen, token = [], {}
    while True:
        page = client.list_objects_v2(Bucket=bucket, **settings, **token)
        seen.append(([item["Key"] for item in page.get("Contents", [])],
                     [item["Prefix"] for item in page.get("CommonPrefixes", [])]))
        assert page["KeyCount"] == len(seen[-1][0]) + len(seen[-1][1])
        if not page["IsTruncated"]:
            return seen
        token = {"ContinuationToken": page["NextContinuationToken"]}


def flat(seen):
    return sum((keys for keys, _ in seen), []), sum((prefixes for _, prefixes in seen), [])


KEYS = ["a", "a/1", "a/2", "a/b/3", "a0", "b", "b/", "b//x", "c/1", "c/2", "é", "日本/1", "~"]


def test_lists(store, bucket):
    client = store.client()
    for key in KEYS:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    ordered = sorted(KEYS, key=str.encode)
    assert flat(pages(client, bucket)) == (ordered, [])
    for size in (1, 2, 3, 5):
        seen = pages(client, bucket, MaxKeys=size)
        assert flat(seen) == (ordered, []) and max(len(keys) for keys, _ in seen) == size
    top = (["a", "a0", "b", "~", "é"], ["a/", "b/", "c/", "日本/"])
    for size in (1, 2, 3, 1000):
        assert flat(pages(client, bucket, Delimiter="/", MaxKeys=size)) == top
    assert flat(pages(client, bucket, Prefix="a/", Delimiter="/")) == (["a/1", "a/2"], ["a/b/"])
    assert flat(pages(client, bucket, Prefix="a/")) == (["a/1", "a/2", "a/b/3"], [])
    assert flat(pages(client, bucket, StartAfter="b")) == (["b/", "b//x", "c/1", "c/2", "~", "é", "日本/1"], [])
    assert flat(pages(client, bucket, Prefix="nothing")) == ([], [])
    old = client.list_objects(Bucket=bucket, MaxKeys=2, Marker="a")
    assert ([item["Key"] for item in old["Contents"]], old["IsTruncated"]) == (["a/1", "a/2"], True)
    old = client.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert old["NextMarker"] == "a/"
    old = client.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2, Marker="a/")
    assert [item["Key"] for item in old["Contents"]] == ["a0", "b"]
    if is_aws_like(store):
        assert code(client.list_objects_v2, Bucket=bucket, ContinuationToken="%%%") == ("InvalidArgument", 400)


def test_keys_with_every_byte(store, bucket):
    """Every character that UTF-8 can say in one or two bytes, and what URLs and XML give a meaning to."""
    client = store.client()
    keys = ["".join(chr(c) for c in range(0x20, 0x7f)), "".join(chr(c) for c in range(0xa0, 0x180)),
            "a b", "a+b", "a%20b", "a&b<c>\"'", "..", "../x", "./x", "/lead", "double//slash", "trail/", "?q=1", "#h", "\\",
            "x" * 1024, "tab\there", "\x01\x02"]
    if not is_aws_like(store):
        keys = [key for key in keys if key not in ("..", "../x", "./x", "/lead")]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in keys:
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode(), key
    assert flat(pages(client, bucket)) == (sorted(keys, key=str.encode), [])
    assert code(client.put_object, Bucket=bucket, Key="x" * 1025, Body=b"")[1] == 400
    for key in keys:
        client.delete_object(Bucket=bucket, Key=key)
    assert flat(pages(client, bucket)) == ([], [])


def test_deleting_many(store, bucket):
    client = store.client()
    for i in range(5):
        client.put_object(Bucket=bucket, Key=f"k{i}", Body=b"")
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ("k0", "k1", "absent")]})
    assert sorted(item["Key"] for item in answer["Deleted"]) == ["absent", "k0", "k1"]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k2"}], "Quiet": True})
    assert "Deleted" not in answer and "Errors" not in answer
    assert flat(pages(client, bucket)) == (["k3", "k4"], [])
    assert client.delete_object(Bucket=bucket, Key="absent")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_uploads_in_parts(store, bucket):
    client, content = store.client(), noise(12 * MIB)
    upload = client.create_multipart_upload(Bucket=bucket, Key="k", Metadata={"a": "b"}, ContentType="x/y")["UploadId"]
    here = dict(Bucket=bucket, Key="k", UploadId=upload)
    first = client.upload_part(**here, PartNumber=2, Body=content[5 * MIB:10 * MIB])["ETag"]
    client.upload_part(**here, PartNumber=1, Body=noise(6 * MIB, seed=9))
    again = client.upload_part(**here, PartNumber=1, Body=content[:5 * MIB])["ETag"]  # replaces the one before
    last = client.upload_part(**here, PartNumber=7, Body=content[10 * MIB:])["ETag"]
    listed = client.list_parts(**here)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(1, 5 * MIB), (2, 5 * MIB), (7, 2 * MIB)]
    assert [part["PartNumber"] for part in client.list_parts(**here, MaxParts=1, PartNumberMarker=1)["Parts"]] == [2]
    assert [item["UploadId"] for item in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    parts = [{"PartNumber": 1, "ETag": again}, {"PartNumber": 2, "ETag": first}, {"PartNumber": 7, "ETag": last}]

    def complete(parts):
        return client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})

    assert code(complete, [parts[0], {"PartNumber": 2, "ETag": '"0123456789abcdef0123456789abcdef"'}])[0] == "InvalidPart"
    wanted = "InvalidPartOrder" if is_aws_like(store) else "InvalidPart"
    assert code(complete, [parts[1], parts[0]])[0] == wanted
    assert code(complete, [parts[0], {"PartNumber": 3, "ETag": first}])[0] == "InvalidPart"
    assert code(client.head_object, Bucket=bucket, Key="k")[1] == 404
    etag = complete(parts)["ETag"]
    got = client.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == content
    assert (got["Metadata"], got["ContentType"]) == ({"a": "b"}, "x/y")
    assert etag == (got["ETag"] if is_aws_like(store) else "")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_an_upload_that_is_given_up_leaves_nothing(store, bucket):
    client = store.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    here = dict(Bucket=bucket, Key="k", UploadId=upload)
    etag = client.upload_part(**here, PartNumber=1, Body=b"x" * 100)["ETag"]
    client.abort_multipart_upload(**here)
    assert code(client.list_parts, **here) == ("NoSuchUpload" if is_aws_like(store) else "NoSuchKey", 404)
    assert code(client.upload_part, **here, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)
    failed = code(client.complete_multipart_upload, **here, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert failed == ("NoSuchUpload", 404) or not is_aws_like(store)
    assert flat(pages(client, bucket)) == ([], [])


def test_small_parts_are_refused(store, bucket):
    client = store.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    here = dict(Bucket=bucket, Key="k", UploadId=upload)
    parts = [{"PartNumber": n, "ETag": client.upload_part(**here, PartNumber=n, Body=b"x" * 100)["ETag"]} for n in (1, 2)]
    assert code(client.complete_multipart_upload, **here, MultipartUpload={"Parts": parts}) == ("EntityTooSmall", 400)
    if not is_aws_like(store):
        return
    client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts[:1]})
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" * 100


def test_parts_that_are_copied(store, bucket):
    client, content = store.client(), noise(11 * MIB)
    client.put_object(Bucket=bucket, Key="from", Body=content)
    upload = client.create_multipart_upload(Bucket=bucket, Key="to")["UploadId"]
    here = dict(Bucket=bucket, Key="to", UploadId=upload)
    parts = []
    for number, (start, end) in enumerate(((6 * MIB, 11 * MIB), (0, 3 * MIB)), start=1):
        answer = client.upload_part_copy(**here, PartNumber=number, CopySource={"Bucket": bucket, "Key": "from"},
                                         CopySourceRange=f"bytes={start}-{end - 1}")
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket=bucket, Key="to")["Body"].read() == content[6 * MIB:] + content[:3 * MIB]


def test_versions(store, bucket):
    client = store.client()
    client.put_object(Bucket=bucket, Key="k", Body=b"before")
    assert "Status" not in client.get_bucket_versioning(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    ids = [client.put_object(Bucket=bucket, Key="k", Body=str(n).encode())["VersionId"] for n in range(3)]
    assert len(set(ids)) == 3
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    for n, version in enumerate(ids):
        got = client.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert (got["Body"].read(), got["VersionId"]) == (str(n).encode(), version)
    assert client.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"before"
    marker = client.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] and code(client.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    assert client.get_object(Bucket=bucket, Key="k", VersionId=ids[2])["Body"].read() == b"2"
    assert flat(pages(client, bucket)) == ([], [])
    listed = client.list_object_versions(Bucket=bucket)
    assert [item["VersionId"] for item in listed["Versions"]] == [*reversed(ids), "null"]
    assert [item["VersionId"] for item in listed["DeleteMarkers"]] == [marker["VersionId"]]
    first = client.list_object_versions(Bucket=bucket, MaxKeys=2)
    rest = client.list_object_versions(Bucket=bucket, KeyMarker=first["NextKeyMarker"],
                                       VersionIdMarker=first["NextVersionIdMarker"])
    assert [item["VersionId"] for item in first["Versions"] + rest["Versions"]] == [*reversed(ids), "null"]
    client.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])  # brings the key back
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    client.delete_object(Bucket=bucket, Key="k", VersionId=ids[2])
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1"
    client.copy_object(Bucket=bucket, Key="old", CopySource={"Bucket": bucket, "Key": "k", "VersionId": ids[0]})
    assert client.get_object(Bucket=bucket, Key="old")["Body"].read() == b"0"
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    client.put_object(Bucket=bucket, Key="k", Body=b"after")
    assert client.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"after"
    assert client.get_object(Bucket=bucket, Key="k", VersionId=ids[1])["Body"].read() == b"1"


def test_tags(store, bucket):
    client = store.client()
    client.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="team=ml&stage=a%20b")
    tags = sorted((tag["Key"], tag["Value"]) for tag in client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"])
    assert tags == [("stage", "a b"), ("team", "ml")]
    client.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "<&>", "Value": "ü"}]})
    assert client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "<&>", "Value": "ü"}]
    client.delete_object_tagging(Bucket=bucket, Key="k")
    assert client.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_errors(store, bucket):
    client = store.client()
    absent = f"absent-{os.getpid()}"
    assert code(client.get_object, Bucket=absent, Key="k") == ("NoSuchBucket", 404)
    assert code(client.put_object, Bucket=absent, Key="k", Body=b"x") == ("NoSuchBucket", 404)
    assert code(client.list_objects_v2, Bucket=absent) == ("NoSuchBucket", 404)
    assert code(client.head_bucket, Bucket=absent) == ("404", 404)
    assert code(client.delete_bucket, Bucket=absent) == ("NoSuchBucket", 404)
    assert code(client.get_object, Bucket=bucket, Key="absent") == ("NoSuchKey", 404)
    assert code(client.head_object, Bucket=bucket, Key="absent") == ("404", 404)
    assert code(client.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/absent") == ("NoSuchKey", 404)
    assert code(client.put_object, Bucket=bucket, Key="k", Body=b"x",
                ContentMD5=base64.b64encode(hashlib.md5(b"y").digest()).decode()) == ("BadDigest", 400)
    assert code(client.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="nonsense") == ("InvalidDigest", 400)
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(client.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    assert code(client.copy_object, Bucket=bucket, Key="k", CopySource=f"{bucket}/k") == ("InvalidRequest", 400)
    assert code(client.create_bucket, Bucket="No_Bucket")[1] == 400
    assert code(store.client(aws_secret_access_key="wrong").list_buckets) == ("SignatureDoesNotMatch", 403)
    assert code(store.client(aws_access_key_id="AKIANOBODY").list_buckets) == ("InvalidAccessKeyId", 403)


# ---- Presigned URLs


def fetch_url(url, method="GET", data=None, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers or {})) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as failed:
        return failed.code, failed.read()


def presigner(store):
    return store.client(config=Config(signature_version="s3v4"))


def test_presigned_urls(store, bucket):
    client = presigner(store)
    there = {"Bucket": bucket, "Key": "a b/ü"}
    assert fetch_url(client.generate_presigned_url("put_object", Params=there), "PUT", b"content")[0] == 200
    url = client.generate_presigned_url("get_object", Params=there)
    assert fetch_url(url) == (200, b"content")
    assert fetch_url(url, headers={"Range": "bytes=1-2"}) == (206, b"on")
    status, body = fetch_url(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"))
    assert status == 403 and b"SignatureDoesNotMatch" in body
    assert fetch_url(url, "DELETE")[0] == 403
    assert fetch_url(client.generate_presigned_url("delete_object", Params=there), "DELETE")[0] == 204
    assert fetch_url(url)[0] == 404


def test_version_2_is_refused_in_words(ours, bucket):
    """boto3's default for another endpoint than AWS's."""
    url = ours.client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert "AWSAccessKeyId=" in url
    status, body = fetch_url(url)
    assert status == 400 and b"InvalidRequest" in body and b"signature_version='s3v4'" in body


def test_an_expired_url(ours, bucket):
    client = presigner(ours)
    past = datetime.datetime.utcnow() - datetime.timedelta(days=2)
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    class Yesterday(botocore.auth.S3SigV4QueryAuth):
        def add_auth(self, request):
            real, botocore.auth.datetime.datetime = botocore.auth.datetime.datetime, Clock
            try:
                super().add_auth(request)
            finally:
                botocore.auth.datetime.datetime = real

    class Clock(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return past

    keys = ours.credentials
    signer = Yesterday(botocore.credentials.Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"]), "s3",
                       "us-east-1", expires=60)
    request = botocore.awsrequest.AWSRequest("GET", f"{ours.endpoint}/{bucket}/k")
    signer.add_auth(request)
    status, body = fetch_url(request.url)
    assert status == 403 and b"<Code>AccessDenied</Code><Message>Request has expired" in body
    del client


# ---- What only ours is asked


def test_virtual_host_style(ours, bucket):
    """JavaScript's default: the bucket in the host's name."""
    port = urllib.parse.urlsplit(ours.endpoint).port
    client = ours.client(endpoint_url=f"http://s3.localhost:{port}",
                         config=Config(s3={"addressing_style": "virtual"}, proxies={}))

    def to_loopback(request, **_):
        host = urllib.parse.urlsplit(request.url)
        request.headers["Host"] = host.netloc
        request.url = request.url.replace(host.netloc, f"127.0.0.1:{port}", 1)

    client.meta.events.register("before-send.s3", to_loopback)
    client.put_object(Bucket=bucket, Key="models/k", Body=b"x")
    assert client.get_object(Bucket=bucket, Key="models/k")["Body"].read() == b"x"
    assert [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["models/k"]
    assert ours.client().get_object(Bucket=bucket, Key="models/k")["Body"].read() == b"x"


def test_a_bucket_may_have_a_routes_name(ours):
    """Which service is meant is in the signature, so no name can shadow another's path."""
    client = ours.client()
    for name in ("healthz", "metrics", "lamina", "2015-03-31", "2018-06-01", "ping"):
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="functions", Body=name.encode())
        assert client.get_object(Bucket=name, Key="functions")["Body"].read() == name.encode()
    assert "Functions" in ours.service.client("lambda").list_functions()
    with urllib.request.urlopen(ours.endpoint + "/healthz") as answer:
        assert answer.status == 200
    for name in ("healthz", "metrics", "lamina", "2015-03-31", "2018-06-01", "ping"):
        client.delete_object(Bucket=name, Key="functions")
        client.delete_bucket(Bucket=name)


def test_without_a_signature_nothing_is_told_or_taken(ours, bucket):
    """In S3's words: public-read is what some clients try first."""
    ours.client().put_object(Bucket=bucket, Key="k", Body=b"x")
    for method, path in (("GET", f"/{bucket}/k"), ("GET", f"/{bucket}"), ("GET", "/no-such-bucket/k"),
                         ("PUT", f"/{bucket}/new"), ("DELETE", f"/{bucket}/k"), ("POST", f"/{bucket}/new?uploads")):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(ours.endpoint).netloc)
        connection.request(method, path, body=b"x" if method == "PUT" else None)
        answer = connection.getresponse()
        assert answer.status == 403 and answer.getheader("content-type") == "application/xml", (method, path)
        assert b"<Code>AccessDenied</Code>" in answer.read(), (method, path)
        connection.close()
    assert [item["Key"] for item in ours.client().list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


def test_a_part_that_says_it_is_endless(ours, bucket):
    from s3_signer import Signed

    upload = ours.client().create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    target = f"/{bucket}/k?partNumber=1&uploadId={upload}"
    for size in (5 * 1024 * MIB + 1, 2**63 - 1, 2**63 + 1, 2**64 - 1):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(ours.endpoint).netloc)
        connection.putrequest("PUT", target, skip_host=True, skip_accept_encoding=True)
        for name, value in Signed(ours, "PUT", target, {}, "UNSIGNED-PAYLOAD").headers.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(size))
        connection.endheaders(b"x" * 1000)
        answer = connection.getresponse()
        assert (answer.status, b"<Code>EntityTooLarge<" in answer.read()) == (400, True), size
        connection.close()
    ours.client().abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


def test_create_only_and_replace_only(ours, bucket):
    from s3_signer import signed_request

    def put(body, **headers):
        return signed_request(ours, "PUT", f"/{bucket}/k", body, headers)

    assert put(b"1", **{"If-Match": '"0"'})[0] == 404
    assert put(b"1", **{"If-None-Match": "*"})[0] == 200
    status, _, body = put(b"2", **{"If-None-Match": "*"})
    assert status == 412 and b"<Code>PreconditionFailed</Code>" in body
    etag = '"' + hashlib.md5(b"1").hexdigest() + '"'
    assert put(b"3", **{"If-Match": '"0"'})[0] == 412
    assert put(b"3", **{"If-Match": etag})[0] == 200
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda n: signed_request(ours, "PUT", f"/{bucket}/race", b"%d" % n,
                                                          {"If-None-Match": "*"})[0], range(8)))
    assert sorted(statuses) == [200] + [412] * 7


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_checksums(ours, bucket):
    """Each kind in a header: kept, given back, and a wrong one refused."""
    from s3_signer import signed_request

    content = noise(300_000)
    values = {"crc32": crc32(content), "sha1": base64.b64encode(hashlib.sha1(content).digest()).decode(),
              "sha256": base64.b64encode(hashlib.sha256(content).digest()).decode()}
    for kind, value in values.items():
        name = f"x-amz-checksum-{kind}"
        status, headers, _ = signed_request(ours, "PUT", f"/{bucket}/{kind}", content, {name: value})
        assert (status, headers[name]) == (200, value)
        status, headers, _ = signed_request(ours, "HEAD", f"/{bucket}/{kind}", b"", {"x-amz-checksum-mode": "ENABLED"})
        assert (headers[name], headers["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
        status, headers, _ = signed_request(ours, "HEAD", f"/{bucket}/{kind}", b"", {})
        assert name not in headers
        status, _, body = signed_request(ours, "PUT", f"/{bucket}/bad", content[:-1], {name: value})
        assert status == 400 and b"<Code>BadDigest</Code>" in body
    # The check value of the catalogues: the nine digits.
    known = {"crc32": "y/Q5Jg==", "crc32c": "4waSgw==", "crc64nvme": "rosUhgp5mIg="}
    for kind, value in known.items():
        status, headers, body = signed_request(ours, "PUT", f"/{bucket}/known", b"123456789",
                                               {f"x-amz-checksum-{kind}": value})
        assert status == 200, body
    assert code(ours.client().head_object, Bucket=bucket, Key="bad") == ("404", 404)


def test_checksums_of_parts(ours, bucket):
    """Composite: of the parts' checksums; full object: what the whole has."""
    client, content = ours.client(), noise(11 * MIB)
    halves = content[:6 * MIB], content[6 * MIB:]
    for kind, expected in (("COMPOSITE", crc32(b"".join(base64.b64decode(crc32(half)) for half in halves)) + "-2"),
                           ("FULL_OBJECT", crc32(content))):
        from s3_signer import signed_request

        status, headers, body = signed_request(ours, "POST", f"/{bucket}/{kind}?uploads", b"",
                                               {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": kind})
        assert (status, headers["x-amz-checksum-type"]) == (200, kind), body
        upload = body.split(b"<UploadId>")[1].split(b"<")[0].decode()
        here = dict(Bucket=bucket, Key=kind, UploadId=upload)
        parts = [{"PartNumber": n, "ETag": client.upload_part(**here, PartNumber=n, Body=half, ChecksumAlgorithm="CRC32",
                                                              ChecksumCRC32=crc32(half))["ETag"]}
                 for n, half in enumerate(halves, start=1)]
        answer = client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})
        assert answer["ChecksumCRC32"] == expected
        got = client.get_object(Bucket=bucket, Key=kind, ChecksumMode="ENABLED")
        assert (got["ChecksumCRC32"], got["Body"].read() == content) == (expected, True)
        known = client.get_object_attributes(Bucket=bucket, Key=kind,
                                             ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize"])
        assert known["ObjectSize"] == len(content) and known["ObjectParts"]["TotalPartsCount"] == 2
        assert known["Checksum"]["ChecksumCRC32"] == expected
        part = client.get_object(Bucket=bucket, Key=kind, PartNumber=2)
        assert (part["Body"].read() == halves[1], part["PartsCount"]) == (True, 2)


def chunked(content, trailer, size=65536):
    pieces = [content[i:i + size] for i in range(0, len(content), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return framed + b"0\r\n" + trailer + b"\r\n"


def test_trailers(ours, bucket):
    """aws-chunked: the framing is not stored, nor its name in Content-Encoding; a wrong trailer leaves nothing."""
    from s3_signer import signed_request

    content = noise(200_000)

    def put(key, body, more=None):
        return signed_request(ours, "PUT", f"/{bucket}/{key}", body,
                              {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(content)),
                               "x-amz-trailer": "x-amz-checksum-crc32", **(more or {})},
                              payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")

    trailer = b"x-amz-checksum-crc32:" + crc32(content).encode() + b"\r\n"
    status, headers, body = put("good", chunked(content, trailer))
    assert (status, headers.get("x-amz-checksum-crc32")) == (200, crc32(content)), body
    got = ours.client().get_object(Bucket=bucket, Key="good")
    assert got["Body"].read() == content and "ContentEncoding" not in got
    for key, bad, wanted in (
            ("value", chunked(content, b"x-amz-checksum-crc32:AAAAAA==\r\n"), b"BadDigest"),
            ("none", chunked(content, b""), b"MalformedTrailerError"),
            ("short", chunked(content[:-1], trailer), b"IncompleteBody"),
            ("long", chunked(content + b"x", trailer), b"IncompleteBody"),
            ("cut", chunked(content, trailer)[:-30], b"InvalidRequest"),
            ("more", chunked(content, trailer) + b"more", b"InvalidRequest"),
            ("frame", b"zz\r\n" + chunked(content, trailer), b"InvalidRequest")):
        status, _, body = put(key, bad)
        assert status == 400 and b"<Code>" + wanted + b"</Code>" in body, (key, status, body)
        assert code(ours.client().head_object, Bucket=bucket, Key=key) == ("404", 404)


def test_signed_chunks(ours, bucket):
    """Java's and older clients' form: each chunk signed, with and without a signed trailer."""
    from s3_signer import signed_chunks

    content = noise(200_000)
    trailer = b"x-amz-checksum-crc32:" + crc32(content).encode() + b"\n"
    assert signed_chunks(ours, f"/{bucket}/plain", content)[0] == 200
    assert signed_chunks(ours, f"/{bucket}/trailer", content, trailer)[0] == 200
    for key in ("plain", "trailer"):
        assert ours.client().get_object(Bucket=bucket, Key=key)["Body"].read() == content
    for spoil in ("data", "signature", "trailer"):
        status, _, body = signed_chunks(ours, f"/{bucket}/bad", content, trailer, spoil=spoil)
        assert status == 403 and b"SignatureDoesNotMatch" in body, (spoil, body)
    assert code(ours.client().head_object, Bucket=bucket, Key="bad") == ("404", 404)


def test_a_body_that_is_not_what_was_signed(ours, bucket):
    from s3_signer import signed_request

    status, _, body = signed_request(ours, "PUT", f"/{bucket}/k", b"other", {}, payload=hashlib.sha256(b"this").hexdigest())
    assert status == 400 and b"XAmzContentSHA256Mismatch" in body
    assert code(ours.client().head_object, Bucket=bucket, Key="k") == ("404", 404)


def test_an_upload_that_is_cut_leaves_nothing(ours, bucket):
    from s3_signer import signed_request

    connection = http.client.HTTPConnection(urllib.parse.urlsplit(ours.endpoint).netloc)
    signed_request(ours, "PUT", f"/{bucket}/cut", noise(3 * MIB), {}, connection=connection, send=2 * MIB)
    connection.close()
    staged = ours.service.data_dir / "tmp"
    from lamina_service import wait_for

    wait_for(lambda: not [name for name in os.listdir(staged) if name.startswith("put-")], "the staged file to go")
    assert code(ours.client().head_object, Bucket=bucket, Key="cut") == ("404", 404)


def test_a_model_is_one_file_however_it_came(ours, bucket):
    """Uploaded, copied, and uploaded in parts: one inode."""
    client, content = ours.client(), noise(6 * MIB, seed=77)
    client.put_object(Bucket=bucket, Key="one", Body=content)
    client.copy_object(Bucket=bucket, Key="two", CopySource=f"{bucket}/one")
    upload = client.create_multipart_upload(Bucket=bucket, Key="three")["UploadId"]
    etag = client.upload_part(Bucket=bucket, Key="three", UploadId=upload, PartNumber=1, Body=content)["ETag"]
    client.complete_multipart_upload(Bucket=bucket, Key="three", UploadId=upload,
                                     MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    name = hashlib.sha256(content).hexdigest()
    path = ours.service.data_dir / "objects" / name[:2] / name
    assert path.stat().st_size == len(content) and path.stat().st_nlink == 1
    assert not os.listdir(ours.service.data_dir / "uploads")


def test_completing_twice(ours, bucket):
    """A client that did not hear the answer asks again."""
    client = ours.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    here = dict(Bucket=bucket, Key="k", UploadId=upload)
    parts = {"Parts": [{"PartNumber": 1, "ETag": client.upload_part(**here, PartNumber=1, Body=b"x")["ETag"]}]}
    first = client.complete_multipart_upload(**here, MultipartUpload=parts)
    assert client.complete_multipart_upload(**here, MultipartUpload=parts)["ETag"] == first["ETag"]


def test_what_is_not_there_is_said(ours, bucket):
    client = ours.client()
    assert code(client.get_bucket_policy, Bucket=bucket) == ("NotImplemented", 501)
    assert code(client.put_object_acl, Bucket=bucket, Key="k", ACL="private") == ("NotImplemented", 501)
    assert code(client.get_bucket_lifecycle_configuration, Bucket=bucket) == ("NotImplemented", 501)


# ---- The JavaScript SDK

JS = """
import { createRequire } from "node:module";
import { Readable } from "node:stream";
import { createHash } from "node:crypto";
const require = createRequire(process.env.JS_MODULES + "/");
const sdk = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");
const [bucket, streams] = process.argv.slice(2);
const client = new sdk.S3Client({ endpoint: process.env.AWS_ENDPOINT_URL, region: "us-east-1", maxAttempts: 1,
                                  forcePathStyle: true });
const send = (command, input) => client.send(new sdk[command + "Command"]({ Bucket: bucket, ...input }));
const read = async (key) => Buffer.from(await (await send("GetObject", { Key: key })).Body.transformToByteArray());
const content = Buffer.alloc(11 * 1024 * 1024, "0123456789abcdef-");
const seen = {};

await send("PutObject", { Key: "buffer", Body: content, ContentType: "x/y", Metadata: { a: "b" } });
seen.buffer = (await read("buffer")).equals(content);
const head = await send("HeadObject", { Key: "buffer" });
seen.head = [head.ContentLength, head.ContentType, head.Metadata];
await send("PutObject", { Key: "text", Body: "hello" });
if (streams === "yes") {
  await send("PutObject", { Key: "stream", Body: Readable.from([content]), ContentLength: content.length });
  seen.stream = (await read("stream")).equals(content);
}
const upload = new Upload({ client, params: { Bucket: bucket, Key: "upload", Body: Readable.from([content]) },
                            partSize: 5 * 1024 * 1024, queueSize: 4 });
seen.etag = (await upload.done()).ETag;
seen.upload = (await read("upload")).equals(content);
await send("CopyObject", { Key: "copy", CopySource: bucket + "/text" });
seen.copy = (await read("copy")).toString();
seen.keys = [];
for await (const page of sdk.paginateListObjectsV2({ client, pageSize: 2 }, { Bucket: bucket }))
  seen.keys.push(...page.Contents.map((item) => item.Key));
const url = await getSignedUrl(client, new sdk.GetObjectCommand({ Bucket: bucket, Key: "text" }), { expiresIn: 60 });
seen.presigned = await (await fetch(url)).text();
const put = await getSignedUrl(client, new sdk.PutObjectCommand({ Bucket: bucket, Key: "put" }), { expiresIn: 60 });
seen.presignedPut = (await fetch(put, { method: "PUT", body: "put by url" })).status;
seen.put = (await read("put")).toString();
const gone = await send("DeleteObjects", { Delete: { Objects: [{ Key: "text" }, { Key: "copy" }, { Key: "put" }] } });
seen.deleted = gone.Deleted.map((item) => item.Key).sort();
seen.errors = [];
for (const [command, input] of [["GetObject", { Key: "absent" }], ["HeadObject", { Key: "absent" }],
                                ["GetObject", { Bucket: "absent-" + bucket, Key: "k" }]])
  await send(command, input).catch((e) => seen.errors.push([e.name, e.$metadata.httpStatusCode]));
console.log(JSON.stringify(seen));
"""


@needs_js
def test_javascript_sdk(store, bucket, tmp_path):
    script = tmp_path / "client.mjs"
    script.write_text(JS)
    env = {**store.env, "JS_MODULES": str(JS_MODULES.parent)}
    streams = "yes" if is_aws_like(store) else "no"
    if not is_aws_like(store):
        env["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
    done = subprocess.run(["node", script, bucket, streams], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    if is_aws_like(store):
        assert seen.pop("stream")
    content = b"0123456789abcdef-" * (11 * MIB // 17 + 1)
    parts = [content[:11 * MIB][i:i + 5 * MIB] for i in range(0, 11 * MIB, 5 * MIB)]
    etag = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest() + "-3"
    keys = ["buffer", "copy", "stream", "text", "upload"]
    assert seen == {
        "buffer": True, "head": [11 * MIB, "x/y", {"a": "b"}], "etag": f'"{etag}"' if is_aws_like(store) else "", "upload": True, "copy": "hello",
        "keys": keys if is_aws_like(store) else [key for key in keys if key != "stream"],
        "presigned": "hello", "presignedPut": 200, "put": "put by url", "deleted": ["copy", "put", "text"],
        "errors": [["NoSuchKey", 404], ["NotFound", 404], ["NoSuchBucket", 404]]}
