# SPDX-License-Identifier: MIT
"""EFS's API with unmodified clients: access points that only narrow, and what is the administrator's alone."""
import contextlib
import json
import os
import sqlite3

import pytest
from botocore.exceptions import ClientError

from filesystem_function import configs, do, reader, share
from lambda_function import fresh_name, loose_client, refused, signed

GONE = "0123456789abcdef0"


@pytest.fixture(scope="module")
def shared(build):
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")
    with share(build) as running:
        yield running


@pytest.fixture(scope="module")
def efs(shared):
    return shared.service.client("efs")


@pytest.fixture(scope="module")
def made(shared):
    return shared.create(shared.directory("all"), "--name", "all")


def create(efs, made, **more):
    return efs.create_access_point(ClientToken=more.pop("ClientToken", fresh_name("token")),
                                   FileSystemId=made["FileSystemId"], **more)


# ---- what there is


def test_file_systems_are_described_by_id_by_arn_and_all(efs, made):
    by_id = efs.describe_file_systems(FileSystemId=made["FileSystemId"])["FileSystems"]
    assert efs.describe_file_systems(FileSystemId=made["FileSystemArn"])["FileSystems"] == by_id
    assert efs.describe_file_systems(CreationToken=made["FileSystemId"])["FileSystems"] == by_id
    assert efs.describe_file_systems(CreationToken="another")["FileSystems"] == []
    [one] = by_id
    assert (one["Name"], one["LifeCycleState"], one["NumberOfMountTargets"]) == ("all", "available", 1)
    assert one["OwnerId"] == "000000000000" and one["FileSystemArn"] == made["FileSystemArn"]
    every = [each for page in efs.get_paginator("describe_file_systems").paginate(PaginationConfig={"PageSize": 1})
             for each in page["FileSystems"]]
    assert one in every
    text = json.dumps(every, default=str)
    assert "lamina-share" not in text, "a directory of the host is nobody's business"


def test_mount_targets_are_one_and_always_there(efs, made):
    [target] = efs.describe_mount_targets(FileSystemId=made["FileSystemId"])["MountTargets"]
    assert target["LifeCycleState"] == "available" and target["FileSystemId"] == made["FileSystemId"]
    by_target = efs.describe_mount_targets(MountTargetId=target["MountTargetId"])["MountTargets"]
    assert by_target == efs.describe_mount_targets(AccessPointId=made["AccessPointId"])["MountTargets"] == [target]
    assert efs.describe_mount_target_security_groups(MountTargetId=target["MountTargetId"])["SecurityGroups"] == []
    with refused("BadRequest", 400):
        efs.describe_mount_targets()
    with refused("MountTargetNotFound", 404, "fsmt-" + GONE):
        efs.describe_mount_targets(MountTargetId="fsmt-" + GONE)


def test_settings_that_no_file_system_has(efs, made):
    ident = made["FileSystemId"]
    assert efs.describe_lifecycle_configuration(FileSystemId=ident)["LifecyclePolicies"] == []
    assert efs.describe_backup_policy(FileSystemId=ident)["BackupPolicy"]["Status"] == "DISABLED"
    with refused("PolicyNotFound", 404):
        efs.describe_file_system_policy(FileSystemId=ident)
    assert efs.describe_replication_configurations()["Replications"] == []
    assert efs.describe_account_preferences()["ResourceIdPreference"]["ResourceIdType"] == "LONG_ID"
    with refused("FileSystemNotFound", 404, "fs-" + GONE):
        efs.describe_lifecycle_configuration(FileSystemId="fs-" + GONE)


def test_file_systems_and_mount_targets_are_made_on_the_machine_only(efs, shared, made):
    with refused("BadRequest", 400, "lamina filesystem create"):
        efs.create_file_system(CreationToken="/")
    with refused("BadRequest", 400, "administrator"):
        efs.delete_file_system(FileSystemId=made["FileSystemId"])
    with refused("MountTargetConflict", 409):
        efs.create_mount_target(FileSystemId=made["FileSystemId"], SubnetId="subnet-" + GONE)
    with refused("BadRequest", 400):
        efs.delete_mount_target(MountTargetId="fsmt-" + GONE)
    with refused("BadRequest", 400, "PutFileSystemPolicy"):
        efs.put_file_system_policy(FileSystemId=made["FileSystemId"], Policy="{}")
    before = shared.file.read_text()
    for body in (b'{"CreationToken":"x","Path":"/"}', b'{"path":"/","Mount":"fuse.sh:/"}'):
        status, _, answer = signed(shared.service, "POST", "/2015-02-01/file-systems", body,
                                   service_name="elasticfilesystem")
        assert status == 400, answer
    assert shared.file.read_text() == before


def test_errors_have_efs_s_form(shared):
    status, headers, body = signed(shared.service, "GET", "/2015-02-01/access-points?AccessPointId=fsap-" + GONE,
                                   service_name="elasticfilesystem")
    answer = json.loads(body)
    assert (status, headers["x-amzn-errortype"], answer["ErrorCode"]) == (404, "AccessPointNotFound", "AccessPointNotFound")
    assert answer["Message"] == f"Access point 'fsap-{GONE}' does not exist."
    status, headers, body = signed(shared.service, "GET", "/2015-02-01/nothing", service_name="elasticfilesystem")
    assert status == 404 and json.loads(body)["ErrorCode"] == "UnknownOperationException"
    status, _, body = signed(shared.service, "POST", "/2015-02-01/access-points", b"{", service_name="elasticfilesystem")
    assert status == 400 and json.loads(body)["ErrorCode"] == "BadRequest"
    # a path of EFS's, signed for another service, is that service's
    assert signed(shared.service, "GET", "/2015-02-01/access-points")[0] == 404


# ---- access points


def test_an_access_point_s_life(efs, made):
    given = dict(PosixUser={"Uid": 1234, "Gid": 1234}, Tags=[{"Key": "Name", "Value": "p"}, {"Key": "k", "Value": "v"}],
                 RootDirectory={"Path": "/a", "CreationInfo": {"OwnerUid": 1234, "OwnerGid": 1234, "Permissions": "750"}})
    point = create(efs, made, **given)
    assert point["LifeCycleState"] == "available" and point["Name"] == "p" and point["Tags"] == given["Tags"]
    assert point["PosixUser"] == given["PosixUser"] and point["FileSystemId"] == made["FileSystemId"]
    assert point["RootDirectory"]["CreationInfo"] == {"OwnerUid": 1234, "OwnerGid": 1234, "Permissions": "0750"}
    assert point["AccessPointArn"].endswith(":access-point/" + point["AccessPointId"])
    [shown] = efs.describe_access_points(AccessPointId=point["AccessPointId"])["AccessPoints"]
    assert {k: v for k, v in point.items() if k != "ResponseMetadata"} == shown
    assert efs.describe_access_points(AccessPointId=point["AccessPointArn"])["AccessPoints"] == [shown]
    efs.delete_access_point(AccessPointId=point["AccessPointId"])
    for call in (efs.delete_access_point, efs.describe_access_points):
        with refused("AccessPointNotFound", 404, point["AccessPointId"]):
            call(AccessPointId=point["AccessPointId"])


def test_the_same_token_makes_one_access_point(efs, made):
    first = create(efs, made, ClientToken="once", RootDirectory={"Path": "/once"})
    again = create(efs, made, ClientToken="once", RootDirectory={"Path": "/once"})
    assert first["AccessPointId"] == again["AccessPointId"]
    with pytest.raises(ClientError) as problem:
        create(efs, made, ClientToken="once", RootDirectory={"Path": "/other"})
    assert problem.value.response["Error"]["Code"] == "AccessPointAlreadyExists"
    assert problem.value.response["AccessPointId"] == first["AccessPointId"]
    efs.delete_access_point(AccessPointId=first["AccessPointId"])
    assert create(efs, made, ClientToken="once")["AccessPointId"] != first["AccessPointId"]


def pages_of(efs, **parameters):
    """botocore of 2022 has no paginator for them."""
    while True:
        page = efs.describe_access_points(**parameters)
        yield page
        if "NextToken" not in page:
            return
        parameters["NextToken"] = page["NextToken"]


def test_lists_come_in_pages(efs, shared):
    own = shared.create(shared.directory("pages"))
    wanted = {create(efs, own)["AccessPointId"] for _ in range(7)} | {own["AccessPointId"]}
    pages = list(pages_of(efs, FileSystemId=own["FileSystemId"], MaxResults=3))
    listed = [each["AccessPointId"] for page in pages for each in page["AccessPoints"]]
    assert len(pages) == 3 and listed == sorted(wanted)
    every = [each["AccessPointId"] for page in pages_of(efs) for each in page["AccessPoints"]]
    assert wanted <= set(every)
    with refused("BadRequest", 400):
        efs.describe_access_points(FileSystemId=own["FileSystemId"], NextToken="../x")
    with refused("BadRequest", 400, "together"):
        efs.describe_access_points(FileSystemId=own["FileSystemId"], AccessPointId=own["AccessPointId"])
    with refused("FileSystemNotFound", 404):
        efs.describe_access_points(FileSystemId="fs-" + GONE)


@pytest.mark.parametrize("more, says", [
    (dict(PosixUser={"Uid": 0, "Gid": 1234}), "root"),
    (dict(PosixUser={"Uid": 1234, "Gid": 0}), "root"),
    (dict(PosixUser={"Uid": 1000, "Gid": 1234}), "1000"),
    (dict(PosixUser={"Uid": 1234, "Gid": 5}), "not among those"),
    (dict(PosixUser={"Uid": 1234, "Gid": 1234, "SecondaryGids": [4]}), "SecondaryGids"),
    (dict(PosixUser={"Uid": 1234}), "Gid is missing"),
    (dict(PosixUser={"Uid": -1, "Gid": 1234}), "0 to 4294967295"),
    (dict(PosixUser={"Uid": 2**32, "Gid": 1234}), "0 to 4294967295"),
    (dict(RootDirectory={"Path": "/.."}), "'..'"),
    (dict(RootDirectory={"Path": "/a/../../etc"}), "'..'"),
    (dict(RootDirectory={"Path": "/a/./b"}), "'.'"),
    (dict(RootDirectory={"Path": "a"}), "begin with"),
    (dict(RootDirectory={"Path": "/a//b"}), "empty"),
    (dict(RootDirectory={"Path": "/a/"}), "empty"),
    (dict(RootDirectory={"Path": "/a/b/c/d/e"}), "4 levels"),
    (dict(RootDirectory={"Path": "/" + "a" * 100}), "100 bytes"),
    (dict(RootDirectory={"Path": "/a\nb"}), "character"),
    (dict(RootDirectory={"Path": "/a", "CreationInfo": {"OwnerUid": 0, "OwnerGid": 0, "Permissions": "755"}}), "root"),
    (dict(RootDirectory={"Path": "/a", "CreationInfo": {"OwnerUid": 7, "OwnerGid": 7, "Permissions": "755"}}), "7"),
    (dict(RootDirectory={"Path": "/a", "CreationInfo": {"OwnerUid": 1234, "OwnerGid": 1234, "Permissions": "4755"}}), "0777"),
    (dict(RootDirectory={"Path": "/a", "CreationInfo": {"OwnerUid": 1234, "OwnerGid": 1234, "Permissions": "9"}}), "octal"),
    (dict(RootDirectory={"Path": "/a", "CreationInfo": {"OwnerUid": 1234, "Permissions": "755"}}), "OwnerGid is missing"),
    (dict(Tags=[{"Key": "aws:x", "Value": "y"}]), "aws:"),
    (dict(Tags=[{"Key": "k", "Value": "a"}, {"Key": "k", "Value": "b"}]), "twice"),
    (dict(Tags=[{"Key": str(i), "Value": ""} for i in range(51)]), "50"),
    (dict(ClientToken="x" * 65), "ClientToken"),
])
def test_what_would_widen_or_is_malformed_is_refused(shared, made, more, says):
    efs = loose_client(shared.service, "efs")
    with refused("BadRequest", 400, says):
        create(efs, made, **more)


def test_a_user_of_the_range_that_the_file_names(efs, shared):
    path = shared.directory("range", uid=3000)
    made = shared.create(path)
    text = shared.file.read_text().replace(f"path={path} uid=3000 gid=3000", f"path={path} uid=3000 gid=3000 uids=3001-3009 gids=3001-3009")
    shared.file.write_text(text)
    shared.service.lamina("filesystem", "create", "--path", shared.directory("other"))  # the file is read again
    point = create(efs, made, PosixUser={"Uid": 3005, "Gid": 3000}, RootDirectory={
        "Path": "/five", "CreationInfo": {"OwnerUid": 3005, "OwnerGid": 3000, "Permissions": "700"}})
    with refused("BadRequest", 400, "3010"):
        create(efs, made, PosixUser={"Uid": 3010, "Gid": 3000})
    client = shared.service.client("lambda")
    name = fresh_name()
    client.create_function(**reader(name, point["AccessPointArn"]))
    assert do(client, name, write=["/mnt/x/f", "f"])["write"] == "written"
    assert ((path / "five" / "f").stat().st_uid, (path / "five" / "f").stat().st_gid) == (3005, 3000)


def test_the_administrator_s_access_point_is_shown_and_not_changed(efs, made):
    [shown] = efs.describe_access_points(AccessPointId=made["AccessPointId"])["AccessPoints"]
    assert shown["RootDirectory"] == {"Path": "/"} and "PosixUser" not in shown
    with refused("BadRequest", 400, "administrator"):
        efs.delete_access_point(AccessPointId=made["AccessPointId"])
    with refused("BadRequest", 400, "administrator"):
        efs.tag_resource(ResourceId=made["AccessPointId"], Tags=[{"Key": "a", "Value": "b"}])


def test_tags_of_access_points(efs, made):
    ident = create(efs, made, Tags=[{"Key": "a", "Value": "1"}])["AccessPointId"]
    efs.tag_resource(ResourceId=ident, Tags=[{"Key": "a", "Value": "2"}, {"Key": "ü", "Value": ""}])
    assert {t["Key"]: t["Value"] for t in efs.list_tags_for_resource(ResourceId=ident)["Tags"]} == {"a": "2", "ü": ""}
    efs.untag_resource(ResourceId=ident, TagKeys=["a", "b"])
    assert efs.list_tags_for_resource(ResourceId=ident)["Tags"] == [{"Key": "ü", "Value": ""}]
    efs.untag_resource(ResourceId=ident, TagKeys=["ü"])
    assert efs.list_tags_for_resource(ResourceId=ident)["Tags"] == []
    assert efs.list_tags_for_resource(ResourceId=made["FileSystemId"])["Tags"] == [{"Key": "Name", "Value": "all"}]
    with refused("BadRequest", 400):
        efs.tag_resource(ResourceId=made["FileSystemId"], Tags=[{"Key": "a", "Value": "b"}])
    with refused("AccessPointNotFound", 404):
        efs.list_tags_for_resource(ResourceId="fsap-" + GONE)


def test_the_number_of_access_points_is_limited(build):
    """All but the last are put into the registry by hand, as copies of a first one: making them takes long."""
    with share(build) as own:
        made = own.create(own.directory("many"))
        first = create(own.service.client("efs"), made)["AccessPointId"]
        own.service.stop()
        with contextlib.closing(sqlite3.connect(own.service.data_dir / "registry.db")) as database, database:
            [(row, revision)] = database.execute("SELECT value, revision FROM registry WHERE kind = 'access-point'")
            database.executemany("INSERT INTO registry VALUES ('access-point', ?, ?, ?)",
                                 [(f"fsap-{index:017x}", row, revision) for index in range(998)])
        own.service.start()
        efs = own.service.client("efs")
        last = create(efs, made)["AccessPointId"]
        with refused("AccessPointLimitExceeded", 403, "1000"):
            create(efs, made)
        listed = [each["AccessPointId"] for page in pages_of(efs, FileSystemId=made["FileSystemId"])
                  for each in page["AccessPoints"]]
        assert len(listed) == 1001 and {first, last, made["AccessPointId"]} <= set(listed)
        efs.delete_access_point(AccessPointId=first)
        assert create(efs, made)


# ---- rights


def user(shared, name, *statements):
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    done = shared.service.lamina("user", "add", name, "--policy", policy)
    keys = dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)
    return lambda service: shared.service.client(service, **keys)


def test_users_need_the_right_to_what_they_do(shared, efs, made):
    allow = {"Effect": "Allow", "Resource": made["FileSystemArn"], "Action": "elasticfilesystem:CreateAccessPoint"}
    ann = user(shared, "ann", allow)("efs")
    point = create(ann, made)
    with refused("AccessDeniedException", 403, "elasticfilesystem:DeleteAccessPoint", point["AccessPointArn"]):
        ann.delete_access_point(AccessPointId=point["AccessPointId"])
    with refused("AccessDeniedException", 403, "elasticfilesystem:DescribeFileSystems"):
        ann.describe_file_systems()
    other = shared.create(shared.directory("not-hers"))
    with refused("AccessDeniedException", 403, other["FileSystemArn"]):
        create(ann, other)
    with refused("AccessDeniedException", 403):  # however it is spelled
        ann.create_access_point(ClientToken="t", FileSystemId=other["FileSystemArn"])


def with_query(client, text):
    """The client, whose requests have these parameters in front of their own; what is sent is signed."""
    def add(request, **_):
        path, _, query = request.url.partition("?")
        request.url = path + "?" + text + (query and "&" + query)
    client.meta.events.register("before-sign.efs", add)
    return client


def test_a_parameter_that_is_ignored_does_not_decide_a_right(shared, made):
    other = shared.create(shared.directory("ignored"))
    allow = {"Effect": "Allow", "Resource": made["FileSystemArn"], "Action": "elasticfilesystem:*"}
    connect = user(shared, "eve", allow)
    for text in ("FileSystemId", "AccessPointId", "MountTargetId"):
        efs = with_query(connect("efs"), f"{text}={made['FileSystemId'].replace('fs-', 'fsmt-' if text[0] == 'M' else 'fs-')}")
        with refused("AccessDeniedException", 403, other["FileSystemArn"]):
            create(efs, other)
    for text in (f"AccessPointId={made['FileSystemId']}", f"MountTargetId=fsmt-{made['FileSystemId'][3:]}"):
        efs = with_query(connect("efs"), text)
        with refused("AccessDeniedException", 403):
            efs.describe_file_systems(FileSystemId=other["FileSystemId"])
        with refused("AccessDeniedException", 403):
            efs.describe_file_systems()
    with refused("AccessDeniedException", 403):
        with_query(connect("efs"), f"MountTargetId=fsmt-{made['FileSystemId'][3:]}").describe_access_points()
    assert connect("efs").describe_file_systems(FileSystemId=made["FileSystemId"])["FileSystems"]
    assert connect("efs").describe_mount_targets(FileSystemId=made["FileSystemId"])["MountTargets"]
    assert connect("efs").describe_access_points(FileSystemId=made["FileSystemId"])["AccessPoints"]


def test_who_deploys_gives_no_file_system_that_they_may_not_use(shared, made):
    deploy = {"Effect": "Allow", "Resource": "*", "Action": ["lambda:*", "iam:PassRole"]}
    mount = {"Effect": "Allow", "Resource": made["FileSystemArn"], "Action": "elasticfilesystem:ClientMount"}
    bob = user(shared, "bob", deploy)("lambda")
    with refused("AccessDeniedException", 403, "elasticfilesystem:ClientMount", made["FileSystemArn"]):
        bob.create_function(**reader(fresh_name(), made["AccessPointArn"]))
    name = fresh_name()
    bob.create_function(**reader(name))
    with refused("AccessDeniedException", 403, "ClientMount"):
        bob.update_function_configuration(FunctionName=name, FileSystemConfigs=configs(made["AccessPointArn"]))
    cyd = user(shared, "cyd", deploy, mount)("lambda")
    with refused("AccessDeniedException", 403, "elasticfilesystem:ClientWrite"):
        cyd.create_function(**reader(fresh_name(), made["AccessPointArn"]))
    fixed = shared.create(shared.directory("read-only"), "--read-only")
    dee = user(shared, "dee", deploy, dict(mount, Resource=fixed["FileSystemArn"]))("lambda")
    dee.create_function(**reader(fresh_name(), fixed["AccessPointArn"]))


ASKS = """
import boto3, botocore.exceptions

def handler(event, context):
    client = boto3.client("efs", endpoint_url="http://127.0.0.1:4566")
    try:
        getattr(client, event["operation"])(**event["parameters"])
    except botocore.exceptions.ClientError as problem:
        return problem.response["Error"]["Code"]
    return "done"
"""


def test_a_function_s_credentials_never_reach_the_control_plane(shared, made):
    from lambda_function import invoke, zip_of
    client = shared.service.client("lambda")
    name = fresh_name()
    client.create_function(**reader(name, made["AccessPointArn"], Code={"ZipFile": zip_of({"app.py": ASKS})}))
    for operation, parameters in [("describe_file_systems", {}), ("describe_access_points", {}),
                                  ("create_access_point", {"ClientToken": "x", "FileSystemId": made["FileSystemId"]}),
                                  ("delete_access_point", {"AccessPointId": made["AccessPointId"]}),
                                  ("create_file_system", {"CreationToken": "/"})]:
        event = json.dumps({"operation": operation, "parameters": parameters}).encode()
        assert invoke(client, name, event) == "AccessDeniedException"


# ---- durable, and the command line's client


def test_access_points_are_durable(build):
    with share(build) as own:
        made = own.create(own.directory("d"))
        before = create(own.service.client("efs"), made, Tags=[{"Key": "a", "Value": "b"}],
                        PosixUser={"Uid": 1234, "Gid": 1234}, RootDirectory={"Path": "/x"})
        gone = create(own.service.client("efs"), made)
        own.service.client("efs").delete_access_point(AccessPointId=gone["AccessPointId"])
        own.service.stop(9)
        own.service.start()
        efs = own.service.client("efs")
        [after] = efs.describe_access_points(AccessPointId=before["AccessPointId"])["AccessPoints"]
        assert after == {k: v for k, v in before.items() if k != "ResponseMetadata"}
        with refused("AccessPointNotFound", 404):
            efs.describe_access_points(AccessPointId=gone["AccessPointId"])


def test_points_of_a_file_system_that_is_taken_away_are_hidden_and_come_back(efs, shared):
    own = shared.create(shared.directory("away"))
    point = create(efs, own)
    text = shared.file.read_text()
    shared.service.lamina("filesystem", "delete", own["FileSystemId"])
    with refused("AccessPointNotFound", 404):
        efs.describe_access_points(AccessPointId=point["AccessPointId"])
    shared.file.write_text(text)
    shared.service.lamina("filesystem", "create", "--path", shared.directory("more"))
    assert efs.describe_access_points(AccessPointId=point["AccessPointId"])["AccessPoints"]


def test_the_aws_command_line(shared, made):
    aws = shared.service.aws
    systems = json.loads(aws("efs", "describe-file-systems", "--file-system-id", made["FileSystemId"]).stdout)
    assert systems["FileSystems"][0]["FileSystemId"] == made["FileSystemId"]
    point = json.loads(aws("efs", "create-access-point", "--file-system-id", made["FileSystemId"], "--posix-user",
                           "Uid=1234,Gid=1234", "--root-directory", "Path=/cli", "--tags", "Key=Name,Value=cli").stdout)
    assert point["Name"] == "cli"
    listed = json.loads(aws("efs", "describe-access-points", "--file-system-id", made["FileSystemId"]).stdout)
    assert point["AccessPointId"] in [each["AccessPointId"] for each in listed["AccessPoints"]]
    aws("efs", "describe-mount-targets", "--file-system-id", made["FileSystemId"])
    aws("efs", "delete-access-point", "--access-point-id", point["AccessPointId"])
    failed = aws("efs", "create-file-system", check=False)
    assert failed.returncode == 254 and "lamina filesystem create" in failed.stderr
    name = fresh_name()
    client = shared.service.client("lambda")
    client.create_function(**reader(name))
    shown = json.loads(aws("lambda", "update-function-configuration", "--function-name", name, "--file-system-configs",
                           f"Arn={made['AccessPointArn']},LocalMountPath=/mnt/cli").stdout)
    assert shown["FileSystemConfigs"] == configs(made["AccessPointArn"], "/mnt/cli")
