# SPDX-License-Identifier: MIT
"""The object store whose laminad is killed -9, or refused the disk, at each kind of call of an upload: what was answered is
there, what was not is whole or absent, nothing half-made stays, and the same again works."""

import hashlib
import os

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults, points, wait_end
from lamina_service import wait_for
from store_reader import check
from test_damage import fill, own_mounts, small_disk  # noqa: F401 (fixtures)

MIB = 1 << 20


@pytest.fixture
def struck(make_service):
    service = make_service(start=False)
    return service, Faults(service)


def content(seed, size=6 * MIB):
    return hashlib.sha256(seed.encode()).digest() * (size // 32)


def put(client, seed):
    client.put_object(Bucket="models", Key=seed, Body=content(seed, MIB))


def multipart(client, seed):
    """A part in its place, one of its own (sent again), a small last one."""
    whole = content(seed)
    upload = client.create_multipart_upload(Bucket="models", Key=seed)["UploadId"]
    here = dict(Bucket="models", Key=seed, UploadId=upload)
    client.upload_part(**here, PartNumber=1, Body=content("other", 5 * MIB))
    parts = [{"PartNumber": n, "ETag": client.upload_part(**here, PartNumber=n, Body=body)["ETag"]}
             for n, body in ((2, whole[5 * MIB:]), (1, whole[:5 * MIB]))]
    client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts[::-1]})


SIZES = {put: MIB, multipart: 6 * MIB}


def keys(client):
    return [item["Key"] for item in client.list_objects_v2(Bucket="models").get("Contents", [])]


def check_whole(service, client, act):
    """What is listed can be read whole; what was staged is gone, or belongs to an upload that can be ended."""
    assert [name for name in os.listdir(service.data_dir / "tmp")] == []
    for key in keys(client):
        assert client.get_object(Bucket="models", Key=key)["Body"].read() == content(key, SIZES[act]), key
    for upload in client.list_multipart_uploads(Bucket="models").get("Uploads", []):
        client.abort_multipart_upload(Bucket="models", Key=upload["Key"], UploadId=upload["UploadId"])
    assert os.listdir(service.data_dir / "uploads") == []
    check(service.data_dir)


def calls_of(service, faults, act):
    faults.prepare("count")
    service.start()
    client = service.client("s3")
    client.create_bucket(Bucket="models")
    faults.arm()
    act(client, "counted")
    faults.disarm()
    service.stop()
    return points(faults.calls(), varying=("write", "pwrite64"))


@pytest.mark.parametrize("act", [put, multipart])
def test_killed_at_each_call(struck, act):
    service, faults = struck
    answered = ["counted"]
    for name, nth in calls_of(service, faults, act):
        faults.prepare("kill", name, nth)
        service.start()
        client = service.client("s3")
        check_whole(service, client, act)
        assert set(answered) <= set(keys(client))
        seed = f"{name}-{nth}"
        faults.arm()
        try:
            act(client, seed)
            answered.append(seed)  # the call came after the answer (a file that is no longer needed)
        except (BotoCoreError, ClientError):
            pass
        faults.disarm()
        wait_end(service)
    faults.prepare("count")
    service.start()
    client = service.client("s3")
    check_whole(service, client, act)
    assert set(answered) <= set(keys(client))
    act(client, "again")
    check_whole(service, client, act)


@pytest.mark.parametrize("error", [28, 5], ids=["ENOSPC", "EIO"])
def test_a_disk_that_is_full_or_fails_at_each_call(struck, error):
    service, faults = struck
    act = multipart
    last = dict(calls_of(service, faults, act))  # of each name: of the parts' own calls the disk's room is asked before
    for name, nth in last.items():
        faults.prepare(str(error), name, nth)
        service.start()
        client = service.client("s3")
        seed = f"{name}-{nth}"
        faults.arm()
        try:
            act(client, seed)
        except ClientError as failed:
            assert failed.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 507), failed
            assert seed not in keys(client)
        faults.disarm()
        service.stop()
    faults.prepare("count")
    service.start()
    client = service.client("s3")
    check_whole(service, client, act)
    act(client, "again")
    check_whole(service, client, act)


def test_a_disk_that_is_full(small_disk):  # noqa: F811
    service = small_disk
    client = service.client("s3")
    client.create_bucket(Bucket="models")
    put(client, "kept")
    ballast = fill(service, leave=20 << 20)
    with pytest.raises(ClientError) as failed:
        client.put_object(Bucket="models", Key="large", Body=os.urandom(12 * MIB))
    assert failed.value.response["Error"]["Code"] == "InsufficientStorage"
    here = dict(Bucket="models", Key="parts", UploadId=client.create_multipart_upload(Bucket="models", Key="parts")["UploadId"])
    with pytest.raises(ClientError) as failed:  # what is kept free for the registry is not for parts either
        client.upload_part(**here, PartNumber=1, Body=os.urandom(12 * MIB))
    assert failed.value.response["Error"]["Code"] == "InsufficientStorage"
    assert os.listdir(service.data_dir / "uploads") == []
    client.abort_multipart_upload(**here)
    wait_for(lambda: not os.listdir(service.data_dir / "tmp"), "the staged file to go")
    assert keys(client) == ["kept"]
    assert client.get_object(Bucket="models", Key="kept")["Body"].read() == content("kept", MIB)
    ballast.unlink()
    client.put_object(Bucket="models", Key="large", Body=os.urandom(12 * MIB))
    check(service.data_dir)
