# SPDX-License-Identifier: MIT
"""FileSystemConfigs as boto3 sees them: what a function finds in /mnt, who it is there, and what is refused."""
import json
import os

import pytest

from filesystem_function import configs, do, reader, share
from lambda_function import fresh_name, invoke, refused
from lamina_service import wait_for

POINT = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/"
NOBODY = POINT + "fsap-0123456789abcdef0"


@pytest.fixture(scope="module")
def shared(build):
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")
    with share(build) as running:
        yield running


@pytest.fixture(scope="module")
def client(shared):
    return shared.service.client("lambda")


@pytest.fixture(scope="module")
def efs(shared):
    return shared.service.client("efs")


@pytest.fixture(scope="module")
def models(shared):
    """(its directory, what `lamina filesystem create` said)"""
    path = shared.directory("models")
    (path / "a.txt").write_text("one")
    return path, shared.create(path, "--name", "models")


# ---- what a function finds


def test_a_function_reads_and_writes_what_the_administrator_named(client, models):
    path, made = models
    name = fresh_name()
    answer = client.create_function(**reader(name, made["AccessPointArn"], "/mnt/models-1.0_x"))
    assert answer["FileSystemConfigs"] == configs(made["AccessPointArn"], "/mnt/models-1.0_x")
    seen = do(client, name, list="/mnt/models-1.0_x", read="/mnt/models-1.0_x/a.txt",
              write=["/mnt/models-1.0_x/b.txt", "two"])
    assert seen["list"] == ["a.txt"] and seen["read"] == "one" and seen["write"] == "written"
    written = (path / "b.txt").stat()
    assert (path / "b.txt").read_text() == "two" and (written.st_uid, written.st_gid) == (1234, 1234)
    (path / "b.txt").unlink()


def test_what_a_function_makes_is_its_own_user_s_and_never_root_s(client, models):
    path, made = models
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"]))
    seen = do(client, name, ids=0, mkdir="/mnt/x/mine", stat="/mnt/x/mine", mknod="/mnt/x/null",
              chown=["/mnt/x/mine", 0, 0], mounts="/mnt/x")
    assert seen["mknod"] == {"error": "EPERM"} and seen["chown"] == {"error": "EOVERFLOW"}  # root is not mapped
    assert [seen["stat"]["uid"], seen["stat"]["gid"]] == seen["ids"] and seen["ids"][0] >= 900000
    assert {"nosuid", "nodev"} <= set(seen["mounts"][0].split(","))
    assert ((path / "mine").stat().st_uid, (path / "mine").stat().st_gid) == (1234, 1234)
    (path / "mine").rmdir()


def test_shown_by_get_list_and_versions(client, models):
    _, made = models
    name = fresh_name()
    wanted = configs(made["AccessPointArn"])
    client.create_function(**reader(name, made["AccessPointArn"], Publish=True))
    assert client.get_function(FunctionName=name)["Configuration"]["FileSystemConfigs"] == wanted
    assert client.get_function_configuration(FunctionName=name, Qualifier="1")["FileSystemConfigs"] == wanted
    listed = [each for page in client.get_paginator("list_functions").paginate() for each in page["Functions"]]
    assert [each["FileSystemConfigs"] for each in listed if each["FunctionName"] == name] == [wanted]
    versions = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [each["FileSystemConfigs"] for each in versions] == [wanted, wanted]
    assert client.publish_version(FunctionName=name)["Version"] == "1"  # nothing changed


def test_update_replaces_and_an_empty_list_clears(client, models):
    path, made = models
    name = fresh_name()
    client.create_function(**reader(name))
    assert "FileSystemConfigs" not in client.get_function_configuration(FunctionName=name)
    assert do(client, name, list="/mnt/x")["list"] == {"error": "ENOENT"}
    updated = client.update_function_configuration(FunctionName=name, FileSystemConfigs=configs(made["AccessPointArn"]))
    assert updated["FileSystemConfigs"] == configs(made["AccessPointArn"])
    assert do(client, name, list="/mnt/x")["list"] == ["a.txt"]
    client.update_function_configuration(FunctionName=name, Description="stays")
    assert do(client, name, list="/mnt/x")["list"] == ["a.txt"]
    client.publish_version(FunctionName=name)
    cleared = client.update_function_configuration(FunctionName=name, FileSystemConfigs=[])
    assert "FileSystemConfigs" not in cleared
    assert do(client, name, list="/mnt/x")["list"] == {"error": "ENOENT"}
    assert do(client, name + ":1", list="/mnt/x")["list"] == ["a.txt"], "a published version keeps it"


def test_still_there_after_a_restart(build):
    with share(build) as own:
        path = own.directory("kept")
        (path / "x").write_text("y")
        made = own.create(path)
        point = own.service.client("efs").create_access_point(ClientToken="t", FileSystemId=made["FileSystemId"],
                                                              RootDirectory={"Path": "/"})
        own.service.client("lambda").create_function(**reader("f", point["AccessPointArn"]))
        own.service.stop()
        own.service.start()
        assert do(own.service.client("lambda"), "f", list="/mnt/x")["list"] == ["x"]


# ---- identity and rights


def test_an_access_point_narrows_root_user_and_nothing_leaves_it(client, efs, shared):
    path = shared.directory("narrow", uid=2000)
    (path / "inner").mkdir()
    os.chown(path / "inner", 2000, 2000)
    (path / "outer.txt").write_text("secret")
    made = shared.create(path)
    point = efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"],
                                    PosixUser={"Uid": 2000, "Gid": 2000}, RootDirectory={"Path": "/inner"})
    name = fresh_name()
    client.create_function(**reader(name, point["AccessPointArn"]))
    seen = do(client, name, list="/mnt/x/..", read="/mnt/x/../outer.txt", symlink=["/etc/shadow", "/mnt/x/s"],
              write=["/mnt/x/t", "t"])
    assert "outer.txt" not in seen["list"] and seen["read"] == {"error": "ENOENT"} and seen["write"] == "written"
    assert (path / "inner" / "t").stat().st_uid == 2000


def test_a_root_that_is_missing_is_made_with_creation_info_and_an_error_without(client, efs, shared):
    path = shared.directory("made", uid=2001)
    made = shared.create(path)

    def point(root):
        return efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"],
                                       RootDirectory=root)["AccessPointArn"]

    with_info = point({"Path": "/a/b", "CreationInfo": {"OwnerUid": 2001, "OwnerGid": 2001, "Permissions": "0750"}})
    name = fresh_name()
    client.create_function(**reader(name, with_info))
    assert do(client, name, list="/mnt/x")["list"] == []
    assert (path / "a" / "b").stat().st_mode & 0o7777 == 0o750 and (path / "a" / "b").stat().st_uid == 2001
    name = fresh_name()
    client.create_function(**reader(name, point({"Path": "/nowhere"})))
    with refused("EFSMountFailureException", 403, "couldn't mount"):
        invoke(client, name)


def test_a_root_that_is_a_symbolic_link_out_is_not_followed(client, efs, shared):
    path = shared.directory("linked", uid=2002)
    (path / "out").symlink_to("/etc")
    made = shared.create(path)
    point = efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"],
                                    RootDirectory={"Path": "/out"})
    name = fresh_name()
    client.create_function(**reader(name, point["AccessPointArn"]))
    with refused("EFSMountFailureException", 403):
        invoke(client, name)


def test_read_only_is_read_only(client, shared):
    path = shared.directory("fixed")
    (path / "a").write_text("b")
    made = shared.create(path, "--read-only")
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"]))
    seen = do(client, name, read="/mnt/x/a", write=["/mnt/x/c", "c"])
    assert seen == {"read": "b", "write": {"error": "EROFS"}}


def role_of(shared, name, *statements):
    iam = shared.service.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": list(statements)}))
    return arn


def test_a_role_without_client_write_mounts_read_only_and_one_without_client_mount_not_at_all(client, shared, models):
    path, made = models
    mount = {"Effect": "Allow", "Action": "elasticfilesystem:ClientMount", "Resource": made["FileSystemArn"]}
    write = {"Effect": "Allow", "Action": "elasticfilesystem:ClientWrite", "Resource": "*"}
    read_only = role_of(shared, fresh_name("role"), mount)
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"], Role=read_only))
    assert do(client, name, write=["/mnt/x/c", "c"])["write"] == {"error": "EROFS"}
    both = role_of(shared, fresh_name("role"), mount, write)
    client.update_function_configuration(FunctionName=name, Role=both)
    assert do(client, name, write=["/mnt/x/c", "c"])["write"] == "written"
    (path / "c").unlink()
    none = role_of(shared, fresh_name("role"), {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    with refused("InvalidParameterValueException", 400, "does not have permissions", "ClientMount"):
        client.create_function(**reader(fresh_name(), made["AccessPointArn"], Role=none))
    denied = role_of(shared, fresh_name("role"), {"Effect": "Allow", "Action": "*", "Resource": "*"},
                     {"Effect": "Deny", "Action": "elasticfilesystem:*", "Resource": made["AccessPointArn"]})
    with refused("InvalidParameterValueException", 400, "ClientMount"):
        client.create_function(**reader(fresh_name(), made["AccessPointArn"], Role=denied))


def test_a_right_that_is_taken_from_the_role_counts_at_the_next_start(client, shared, models):
    _, made = models
    role = fresh_name("role")
    arn = role_of(shared, role, {"Effect": "Allow", "Action": "elasticfilesystem:*", "Resource": "*"})
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"], Role=arn))
    assert do(client, name, list="/mnt/x")["list"] == ["a.txt"]
    shared.service.client("iam").put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
    client.update_function_configuration(FunctionName=name, MemorySize=512)  # new instances
    with refused("EFSMountFailureException", 403, "ClientMount"):
        invoke(client, name)


# ---- what is refused


@pytest.mark.parametrize("path", ["/data", "/mnt", "/mnt/", "/mnt/a/b", "/mnt/ü", "mnt/a", "/mnt/" + "a" * 156, ""])
def test_a_path_outside_mnt(client, models, path):
    with refused("ValidationException", 400, "fileSystemConfigs.1.member.localMountPath"):
        client.create_function(**reader(fresh_name(), models[1]["AccessPointArn"], path))


@pytest.mark.parametrize("path", ["/mnt/.", "/mnt/.."])
def test_a_path_that_is_no_name(client, models, path):
    with refused("InvalidParameterValueException", 400, path):
        client.create_function(**reader(fresh_name(), models[1]["AccessPointArn"], path))


@pytest.mark.parametrize("arn", [
    "arn:aws:s3:::bucket", POINT, POINT + "fsap-1", POINT + "fsap-0123456789abcdef0/x", POINT + "fs-0123456789abcdef0",
    "arn:aws:elasticfilesystem:us-east-1:000000000000:file-system/fs-0123456789abcdef0",
    "arn:aws:s3files:us-east-1:000000000000:access-point/fsap-0123456789abcdef0", "x" * 300])
def test_what_is_no_access_point_s_arn(client, arn):
    with refused("ValidationException", 400, "fileSystemConfigs.1.member.arn"):
        client.create_function(**reader(fresh_name(), arn))


def test_an_arn_that_nobody_registered_and_those_of_elsewhere(client, models):
    with refused("InvalidParameterValueException", 400, NOBODY, "does not exist"):
        client.create_function(**reader(fresh_name(), NOBODY))
    with refused("InvalidParameterValueException", 400, "eu-west-1", "region us-east-1"):
        client.create_function(**reader(fresh_name(), models[1]["AccessPointArn"].replace("us-east-1", "eu-west-1")))
    with refused("InvalidParameterValueException", 400, "account 000000000000"):
        client.create_function(**reader(fresh_name(), models[1]["AccessPointArn"].replace("0" * 12, "1" * 12)))


def test_two_configs_snap_start_and_images(client, models):
    arn = models[1]["AccessPointArn"]
    with refused("ValidationException", 400, "fileSystemConfigs", "less than or equal to 1"):
        client.create_function(**reader(fresh_name(), arn, FileSystemConfigs=configs(arn) + configs(arn, "/mnt/y")))
    with refused("InvalidParameterValueException", 400, "SnapStart"):
        client.create_function(**reader(fresh_name(), arn, SnapStart={"ApplyOn": "PublishedVersions"}))
    name = fresh_name()
    client.create_function(**reader(name, arn))
    with refused("InvalidParameterValueException", 400, "SnapStart"):
        client.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"})


def test_an_s3_files_arn_names_the_same_access_point_and_has_its_own_errors(client, efs, shared, models):
    _, made = models
    arn = "arn:aws:s3files:us-east-1:000000000000:file-system/{}/access-point/{}"
    name = fresh_name()
    client.create_function(**reader(name, arn.format(made["FileSystemId"], made["AccessPointId"])))
    assert do(client, name, list="/mnt/x")["list"] == ["a.txt"]
    with refused("InvalidParameterValueException", 400, "does not exist"):
        client.create_function(**reader(fresh_name(), arn.format("fs-0123456789abcdef0", made["AccessPointId"])))
    point = efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"])
    name = fresh_name()
    client.create_function(**reader(name, arn.format(made["FileSystemId"], point["AccessPointId"])))
    efs.delete_access_point(AccessPointId=point["AccessPointId"])
    with refused("S3FilesMountFailureException", 403, "does not exist"):
        invoke(client, name)


# ---- trouble at a start


def test_an_access_point_that_was_deleted_is_a_mount_failure_and_comes_back_with_another(client, efs, models):
    _, made = models
    point = efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"])
    name = fresh_name()
    client.create_function(**reader(name, point["AccessPointArn"]))
    efs.delete_access_point(AccessPointId=point["AccessPointId"])
    with refused("EFSMountFailureException", 403, point["AccessPointArn"], "does not exist"):
        invoke(client, name)
    client.update_function_configuration(FunctionName=name, FileSystemConfigs=configs(made["AccessPointArn"]))
    assert do(client, name, list="/mnt/x")["list"] == ["a.txt"]


def test_provisioned_concurrency_that_cannot_mount_says_so(client, efs, models):
    _, made = models
    point = efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"])
    name = fresh_name()
    client.create_function(**reader(name, point["AccessPointArn"], Publish=True))
    efs.delete_access_point(AccessPointId=point["AccessPointId"])
    of = dict(FunctionName=name, Qualifier="1")
    client.put_provisioned_concurrency_config(**of, ProvisionedConcurrentExecutions=1)
    wait_for(lambda: client.get_provisioned_concurrency_config(**of)["Status"] != "IN_PROGRESS", "the end of its start")
    now = client.get_provisioned_concurrency_config(**of)
    assert (now["Status"], now.get("StatusReason")) == ("FAILED", "EFSMountFailure")


def test_a_file_system_that_the_administrator_took_away(client, shared):
    made = shared.create(shared.directory("gone"))
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"]))
    shared.service.lamina("filesystem", "delete", made["FileSystemId"])
    with refused("EFSMountFailureException", 403, "does not exist"):
        invoke(client, name)


def test_an_event_waits_for_a_file_system_that_comes_back(client, shared):
    path = shared.directory("late")
    made = shared.create(path)
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"]))
    path.rename(path.with_name("late-away"))
    with refused("EFSMountFailureException", 403):
        invoke(client, name)
    event = json.dumps({"write": ["/mnt/x/came", "yes"]}).encode()
    assert client.invoke(FunctionName=name, Payload=event, InvocationType="Event")["StatusCode"] == 202
    path.with_name("late-away").rename(path)
    wait_for((path / "came").exists, "the event to be tried again")


def test_through_a_function_url_trouble_is_502(client, shared, efs, models):
    import urllib.error
    import urllib.request
    _, made = models
    point = efs.create_access_point(ClientToken=fresh_name("token"), FileSystemId=made["FileSystemId"])
    name = fresh_name()
    client.create_function(**reader(name, point["AccessPointArn"]))
    url = client.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    client.add_permission(FunctionName=name, StatementId="s", Action="lambda:InvokeFunctionUrl", Principal="*",
                          FunctionUrlAuthType="NONE")
    efs.delete_access_point(AccessPointId=point["AccessPointId"])
    host = url.split("/")[2].split(".")[0]
    with pytest.raises(urllib.error.HTTPError) as problem:
        urllib.request.urlopen(f"{shared.service.endpoint}/_lamina/url/{host}/")
    assert problem.value.code == 502
