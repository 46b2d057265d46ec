# SPDX-License-Identifier: MIT
"""Every operation that is one transaction, at each of its fault points (`lamina doctor --fault-points`): kill -9 before the
log is written, before it is synced, and behind that; a disk that is full or fails (ENOSPC, EIO) at each. The change is there
whole or not at all, the caller hears of a failure, nothing accepted before is lost, and the same again works."""

import json
import os
import subprocess

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from faults import Faults, wait_end
from lamina_service import DEADLINE_S, Service, open_url, wait_for
from store_reader import check

from lambda_function import ARN, invoke, settings, signed, zip_of

ENOSPC, EIO = 28, 5
TRUST = json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                                   "Action": "sts:AssumeRole"}]})
POLICY = json.dumps({"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}]})
VOLATILE = {"RevisionId", "LastModified", "LastModifiedTime", "CreationTime", "CreateDate", "FunctionUrl", "ResponseMetadata",
            "RoleId", "Date", "AccessKeyId", "LastUpdateStatus", "Status", "StatusReason", "LastUpdateStatusReason",
            "AvailableProvisionedConcurrentExecutions", "AllocatedProvisionedConcurrentExecutions", "UploadId", "Initiated"}
FAILURES = (ClientError, BotoCoreError, AssertionError, subprocess.TimeoutExpired)  # AssertionError: `lamina` did not end with 0


class World:
    """The service, its clients, and what the steps need."""

    def __init__(self, service):
        self.service = service
        self.connect()

    def connect(self):
        self.aws, self.iam, self.s3, self.efs = (self.service.client(api) for api in ("lambda", "iam", "s3", "efs"))

    def user(self, *words):
        return self.service.lamina("user", *words)

    def users(self):
        return {each["name"] for each in json.loads(self.user("list", "-o", "json").stdout)["users"]}


def alias(w, n):
    w.aws.create_alias(FunctionName="f", Name=n, FunctionVersion="1")


def event_config(w, n, **more):
    w.aws.put_function_event_invoke_config(FunctionName="f", Qualifier=n, MaximumRetryAttempts=1, **more)


def url(w, n):
    w.aws.create_function_url_config(FunctionName="f", Qualifier=n, AuthType="NONE")


def permission(w, n):
    w.aws.add_permission(FunctionName="f", StatementId=n, Action="lambda:InvokeFunction", Principal="000000000000")


def layer(w, n):
    w.aws.publish_layer_version(LayerName=n, Content={"ZipFile": zip_of({"it": n})})


def layer_permission(w, n):
    w.aws.add_layer_version_permission(LayerName=n, VersionNumber=1, StatementId="s", Principal="*",
                                       Action="lambda:GetLayerVersion")


def role(w, n):
    w.iam.create_role(RoleName=n, AssumeRolePolicyDocument=TRUST)


def role_policy(w, n):
    w.iam.put_role_policy(RoleName=n, PolicyName="p", PolicyDocument=POLICY)


def access_point(w, n):
    w.efs.create_access_point(ClientToken=n, FileSystemId=w.filesystem, RootDirectory={"Path": f"/{n}"},
                              Tags=[{"Key": "Name", "Value": n}])


def access_points(w, n):
    """Those of that name: without their ids, which differ each time."""
    return [{k: v for k, v in each.items() if not k.startswith("AccessPoint")}
            for each in w.efs.describe_access_points(FileSystemId=w.filesystem)["AccessPoints"] if each["ClientToken"] == n]


def point_id(w, n):
    return next(each["AccessPointId"] for each in w.efs.describe_access_points(FileSystemId=w.filesystem)["AccessPoints"]
                if each["ClientToken"] == n)


def bucket(w, n):
    w.s3.create_bucket(Bucket=n)


def key(w, n):
    w.s3.put_object(Bucket="things", Key=n, Body=b"it is " + n.encode())


def seen(call, **parameters):
    """The answer without what differs each time; None if there is no such thing."""
    try:
        return stripped(call(**parameters))
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return None


def stripped(value):
    if isinstance(value, dict):
        return {name: stripped(each) for name, each in value.items() if name not in VOLATILE}
    return [stripped(each) for each in value] if isinstance(value, list) else value


def see_alias(w, n):
    return seen(w.aws.get_alias, FunctionName="f", Name=n)


def see_tags(w, n):
    return w.aws.list_tags(Resource=ARN + "f").get("Tags", {}).get(n)


def see_versions(w, n):
    return [each["Description"] for each in w.aws.list_versions_by_function(FunctionName="f")["Versions"]
            if each["Description"] == n and each["Version"] != "$LATEST"]


def see_configuration(w, n):
    return w.aws.get_function_configuration(FunctionName="f")["Description"] == n


def see_concurrency(w, n):
    return seen(w.aws.get_function_concurrency, FunctionName="f")


def see_provisioned(w, n):
    return seen(w.aws.get_provisioned_concurrency_config, FunctionName="f", Qualifier=n)


def see_event_config(w, n):
    return seen(w.aws.get_function_event_invoke_config, FunctionName="f", Qualifier=n)


def see_url(w, n):
    return seen(w.aws.get_function_url_config, FunctionName="f", Qualifier=n)


def see_permission(w, n):
    policy = seen(w.aws.get_policy, FunctionName="f")
    return [each for each in json.loads(policy["Policy"])["Statement"] if each["Sid"] == n] if policy else []


def see_layer(w, n):
    versions = w.aws.list_layer_versions(LayerName=n)["LayerVersions"]
    policy = seen(w.aws.get_layer_version_policy, LayerName=n, VersionNumber=1) if versions else None
    return [each["Version"] for each in versions], policy


def see_role(w, n):
    there = seen(w.iam.get_role, RoleName=n)
    return there and [there, [seen(w.iam.get_role_policy, RoleName=n, PolicyName=policy)
                              for policy in w.iam.list_role_policies(RoleName=n)["PolicyNames"]]]


def see_user(w, n):
    return n in w.users()


def see_bucket(w, n):
    there = n in [each["Name"] for each in w.s3.list_buckets()["Buckets"]]
    return there and w.s3.get_bucket_versioning(Bucket=n).get("Status", "none")


def see_key(w, n):
    return [(each["Key"], w.s3.get_object(Bucket="things", Key=each["Key"])["Body"].read())
            for each in w.s3.list_objects_v2(Bucket="things", Prefix=n).get("Contents", [])]


def see_upload(w, n):
    return [each["Key"] for each in w.s3.list_multipart_uploads(Bucket="things", Prefix=n).get("Uploads", [])]


def see_function(w, n):
    if n not in {each["FunctionName"] for each in w.aws.list_functions()["Functions"]}:
        return False
    w.aws.get_waiter("function_active_v2").wait(FunctionName=n)
    return invoke(w.aws, n)["marker"]


def both(*steps):
    return lambda w, n: [step(w, n) for step in steps] and None


# operation: (what must be there before, the change, what is seen of it)
CHANGES = {
    "PublishVersion": (lambda w, n: configure(w, n), lambda w, n: w.aws.publish_version(FunctionName="f", Description=n), see_versions),
    "UpdateFunctionConfiguration": (None, lambda w, n: w.aws.update_function_configuration(FunctionName="f", Description=n),
                                    see_configuration),
    "CreateAlias": (None, alias, see_alias),
    "UpdateAlias": (alias, lambda w, n: w.aws.update_alias(FunctionName="f", Name=n, Description="new"), see_alias),
    "DeleteAlias": (alias, lambda w, n: w.aws.delete_alias(FunctionName="f", Name=n), see_alias),
    "TagResource": (None, lambda w, n: w.aws.tag_resource(Resource=ARN + "f", Tags={n: "1"}), see_tags),
    "UntagResource": (lambda w, n: w.aws.tag_resource(Resource=ARN + "f", Tags={n: "1"}),
                      lambda w, n: w.aws.untag_resource(Resource=ARN + "f", TagKeys=[n]), see_tags),
    "PutFunctionConcurrency": (lambda w, n: w.aws.delete_function_concurrency(FunctionName="f"),
                               lambda w, n: w.aws.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=50),
                               see_concurrency),
    "DeleteFunctionConcurrency": (
        lambda w, n: w.aws.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=50),
        lambda w, n: w.aws.delete_function_concurrency(FunctionName="f"), see_concurrency),
    "PutProvisionedConcurrencyConfig": (alias, lambda w, n: provision(w, n), see_provisioned),
    "DeleteProvisionedConcurrencyConfig": (
        both(alias, lambda w, n: provision(w, n)),
        lambda w, n: w.aws.delete_provisioned_concurrency_config(FunctionName="f", Qualifier=n), see_provisioned),
    "PutFunctionEventInvokeConfig": (
        alias, lambda w, n: event_config(w, n, DestinationConfig={"OnFailure": {"Destination": ARN + "g"}}), see_event_config),
    "UpdateFunctionEventInvokeConfig": (
        both(alias, event_config), lambda w, n: w.aws.update_function_event_invoke_config(
            FunctionName="f", Qualifier=n, MaximumEventAgeInSeconds=77,
            DestinationConfig={"OnSuccess": {"Destination": ARN + "g"}}), see_event_config),
    "DeleteFunctionEventInvokeConfig": (
        both(alias, event_config),
        lambda w, n: w.aws.delete_function_event_invoke_config(FunctionName="f", Qualifier=n), see_event_config),
    "CreateFunctionUrlConfig": (alias, url, see_url),
    "UpdateFunctionUrlConfig": (both(alias, url), lambda w, n: w.aws.update_function_url_config(
        FunctionName="f", Qualifier=n, Cors={"AllowOrigins": ["https://here"]}), see_url),
    "DeleteFunctionUrlConfig": (both(alias, url), lambda w, n: w.aws.delete_function_url_config(FunctionName="f", Qualifier=n),
                                see_url),
    "AddPermission": (None, permission, see_permission),
    "RemovePermission": (permission, lambda w, n: w.aws.remove_permission(FunctionName="f", StatementId=n), see_permission),
    "DeleteLayerVersion": (layer, lambda w, n: w.aws.delete_layer_version(LayerName=n, VersionNumber=1), see_layer),
    "AddLayerVersionPermission": (layer, layer_permission, see_layer),
    "RemoveLayerVersionPermission": (
        both(layer, layer_permission),
        lambda w, n: w.aws.remove_layer_version_permission(LayerName=n, VersionNumber=1, StatementId="s"), see_layer),
    "CreateRole": (None, role, see_role),
    "UpdateRole": (role, lambda w, n: w.iam.update_role(RoleName=n, Description="new"), see_role),
    "UpdateAssumeRolePolicy": (role, lambda w, n: w.iam.update_assume_role_policy(
        RoleName=n, PolicyDocument=TRUST.replace("lambda.", "ec2.")), see_role),
    "PutRolePolicy": (role, role_policy, see_role),
    "DeleteRolePolicy": (both(role, role_policy), lambda w, n: w.iam.delete_role_policy(RoleName=n, PolicyName="p"), see_role),
    "DeleteRole": (role, lambda w, n: w.iam.delete_role(RoleName=n), see_role),
    "CreateAccessPoint": (None, access_point, access_points),
    "TagResource (EFS)": (access_point, lambda w, n: w.efs.tag_resource(
        ResourceId=point_id(w, n), Tags=[{"Key": "new", "Value": n}]), access_points),
    "DeleteAccessPoint": (access_point, lambda w, n: w.efs.delete_access_point(AccessPointId=point_id(w, n)), access_points),
    "PutUser": (None, lambda w, n: w.user("add", n, "--policy", POLICY), see_user),
    "DeleteUser": (lambda w, n: w.user("add", n, "--policy", POLICY), lambda w, n: w.user("delete", n), see_user),
    "CreateBucket": (None, bucket, see_bucket),
    "PutBucketVersioning": (bucket, lambda w, n: w.s3.put_bucket_versioning(
        Bucket=n, VersioningConfiguration={"Status": "Enabled"}), see_bucket),
    "DeleteBucket": (bucket, lambda w, n: w.s3.delete_bucket(Bucket=n), see_bucket),
    "CopyObject": (None, lambda w, n: w.s3.copy_object(Bucket="things", Key=n, CopySource="things/first"), see_key),
    "DeleteObject": (key, lambda w, n: w.s3.delete_object(Bucket="things", Key=n), see_key),
    "DeleteObjects": (key, lambda w, n: w.s3.delete_objects(Bucket="things", Delete={"Objects": [{"Key": n}]}), see_key),
    "CreateMultipartUpload": (None, lambda w, n: w.s3.create_multipart_upload(Bucket="things", Key=n), see_upload),
    "DeleteFunction": (lambda w, n: w.aws.create_function(**settings(n)),
                       lambda w, n: w.aws.delete_function(FunctionName=n), see_function),
}


def configure(w, n):
    """Publishing makes a version only of what changed."""
    w.aws.update_function_configuration(FunctionName="f", Environment={"Variables": {"NAME": n}})
    w.aws.get_waiter("function_updated_v2").wait(FunctionName="f")


def provision(w, n):
    w.aws.put_provisioned_concurrency_config(FunctionName="f", Qualifier=n, ProvisionedConcurrentExecutions=1)


@pytest.fixture(scope="module")
def listed(build):
    text = subprocess.run([build / "lamina", "doctor", "--fault-points", "-o", "json"], capture_output=True, check=True,
                          timeout=DEADLINE_S).stdout
    found = {}
    for point in json.loads(text)["fault_points"]:
        if point["name"] != "DeleteFunction.events":  # only where there are some: see below
            found.setdefault(point["operation"], []).append(point)
    return found


@pytest.fixture
def world(one_world):
    """After a test that failed in the middle the service may lie there."""
    one_world.faults.disarm()
    if not one_world.service.process or one_world.service.process.poll() is not None:
        one_world.service.stop()
        one_world.service.start()
        one_world.connect()
    return one_world


@pytest.fixture(scope="module")
def one_world(build):
    """One service for all changes: each of them uses names of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")
    service = Service(build)
    faults = Faults(service)
    faults.prepare("count")
    shared = service.root / "shared"
    shared.mkdir()
    os.chown(shared, 1234, 1234)
    service.flags = ("--filesystems-file", service.root / "filesystems.conf")
    with service:
        w = World(service)
        w.faults = faults
        made = service.lamina("filesystem", "create", "--path", shared, "-o", "json")
        w.filesystem = json.loads(made.stdout)["FileSystemId"]
        for name in ("f", "g"):
            w.aws.create_function(**settings(name, Publish=True))
            w.aws.get_waiter("function_active_v2").wait(FunctionName=name)
        w.s3.create_bucket(Bucket="things")
        w.s3.put_object(Bucket="things", Key="first", Body=b"first")
        yield w


def restart(w, ended):
    """After a kill, or of a service whose registry promises nothing any more."""
    if ended:
        wait_end(w.service)
        w.faults.disarm()
    else:
        w.service.stop()
    w.service.start()
    w.connect()
    assert os.listdir(w.service.data_dir / "tmp") == []
    check(w.service.data_dir)


class Change:
    """One operation, done again and again to things with names of their own."""

    def __init__(self, w, operation):
        self.w, self.operation = w, operation
        self.prepare, self.act, self.see = CHANGES[operation]
        self.count = 0

    def begin(self):
        """A new thing, as it is before the change."""
        self.count += 1
        self.name = f"{self.operation.lower()}{self.count}"
        if self.prepare:
            self.prepare(self.w, self.name)
        self.before = self.plain(self.see(self.w, self.name))

    def plain(self, seen):
        return json.dumps(seen, default=str, sort_keys=True).replace(self.name, "NAME")

    def now(self):
        return self.plain(self.see(self.w, self.name))

    def learn(self, points):
        """What it does undisturbed: by these calls at least."""
        self.begin()
        self.w.faults.strike("count")
        self.act(self.w, self.name)
        self.w.faults.disarm()
        calls = self.w.faults.calls()
        for point in points:
            assert calls.count(point["call"]) >= point["nth"], (point, calls)
        self.after = self.now()
        assert self.after != self.before, "nothing of the change is seen"
        self.release()

    def check(self, must=None):
        """It is as it was, or as it was to be; then it is brought there."""
        now = self.now()
        assert now in (must or (self.before, self.after)), f"{self.operation} is half-made: {now}"
        if now == self.before:
            self.act(self.w, self.name)
            assert self.now() == self.after
        self.release()

    def release(self):
        """What would not go on for ever."""
        if "Provisioned" in self.operation and self.now() != "null":
            self.w.aws.delete_provisioned_concurrency_config(FunctionName="f", Qualifier=self.name)

    def struck(self, action, point):
        self.begin()
        self.w.faults.strike(action, point["call"], point["nth"])
        with pytest.raises(FAILURES) as caught:
            self.act(self.w, self.name)
        if action not in ("kill", "after"):
            self.w.faults.disarm()
        return caught.value


def test_every_operation_of_the_list_is_driven(listed):
    elsewhere = {"CreateFunction", "PutObject", "Invoke (Event)", "dead-letters retry", "dead-letters purge"}
    assert set(CHANGES) | elsewhere == set(listed)


@pytest.mark.parametrize("operation", CHANGES)
def test_killed_at_each_point(world, listed, operation):
    change = Change(world, operation)
    change.learn(listed[operation])
    for point in listed[operation]:
        for action in ("kill", "after") if point["call"] == "fdatasync" else ("kill",):
            change.struck(action, point)
            restart(world, ended=True)
            change.check([change.after] if action == "after" else None)


@pytest.mark.parametrize("operation", CHANGES)
def test_a_disk_that_is_full_or_fails_at_each_point(world, listed, operation):
    change = Change(world, operation)
    change.count = 100
    change.learn(listed[operation])
    for point in listed[operation]:
        for error in (ENOSPC, EIO):
            if point["call"] == "fdatasync" and (error == ENOSPC) == (len(operation) % 2 == 0):
                continue  # one of the two is enough of a restart
            told = change.struck(error, point)
            if isinstance(told, ClientError):
                assert told.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 507), told
            if point["call"] == "fdatasync" or error == EIO:
                # What an I/O error or a failed sync left on the disk is not known: nothing more is promised before a restart.
                with pytest.raises(FAILURES):
                    change.act(world, change.name)
                restart(world, ended=False)
                change.check(None if point["call"] == "fdatasync" else [change.before])
            else:
                change.check([change.before])


def test_the_world_went_on(world):
    """After all of that the functions answer, and all that was made is there once more after a restart."""
    w = world
    assert invoke(w.aws, "f")["marker"] == invoke(w.aws, "g")["marker"] == "one"
    before = w.aws.list_aliases(FunctionName="f")["Aliases"], w.iam.list_roles()["Roles"], w.users()
    restart(w, ended=False)
    assert before == (w.aws.list_aliases(FunctionName="f")["Aliases"], w.iam.list_roles()["Roles"], w.users())
    assert invoke(w.aws, "f")["marker"] == "one"


# ---- Events: what was answered with 202 is handled, whatever happens

def metric(w, name):
    with open_url(w.service.endpoint + "/metrics") as answer:
        return next(int(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith(name + " "))


@pytest.mark.parametrize("action", ["kill", "after", str(EIO)])
@pytest.mark.parametrize("name", ["Event.write", "Event.sync", "Event.claim", "Event.settle"])
def test_an_event_at_each_point(world, listed, name, action):
    w, function = world, f"e-{name.split('.')[1]}-{action}"
    [point] = [each for each in listed["Invoke (Event)"] if each["name"] == name]
    if action == "after" and point["call"] == "pwrite64":
        pytest.skip("a write is behind it only when it is synced")
    w.aws.create_function(**settings(function))
    w.aws.get_waiter("function_active_v2").wait(FunctionName=function)
    settled(w, function)  # a log that is begun anew is synced once more: it is not for this event
    w.faults.strike(action, point["call"], point["nth"])
    try:
        assert w.aws.invoke(FunctionName=function, InvocationType="Event")["StatusCode"] == 202
        assert name in ("Event.claim", "Event.settle")
    except (ClientError, BotoCoreError):  # killed behind the commit: it may be accepted, and nobody has heard so
        assert action != str(EIO) or name in ("Event.write", "Event.sync")
    if action == str(EIO):
        wait_for(lambda: w.faults.calls().count(point["call"]) >= point["nth"], "the point")
        w.faults.disarm()
    restart(w, ended=action != str(EIO))
    if name == "Event.claim" or (name, action) == ("Event.sync", "after"):
        wait_for(lambda: metric(w, "lamina_events_succeeded_total") == 1, "the event to be handled")
    wait_for(lambda: metric(w, "lamina_events_waiting") == 0, "the queue to be empty")
    assert metric(w, "lamina_events_succeeded_total") <= 1
    assert metric(w, "lamina_dead_letters") == 0
    w.aws.delete_function(FunctionName=function)


def settled(w, function):
    """One event, all the way."""
    before = metric(w, "lamina_events_succeeded_total")
    w.aws.invoke(FunctionName=function, InvocationType="Event")
    wait_for(lambda: metric(w, "lamina_events_succeeded_total") == before + 1 and metric(w, "lamina_events_waiting") == 0,
             "an event to be handled")


def dead(w):
    status, _, body = signed(w.service, "GET", "/lamina/v1/functions/bad/dead-letters")
    assert status == 200, body
    return json.loads(body)["dead_letters"]


@pytest.fixture
def bad(world):
    """A function that fails at each event, with a dead letter."""
    w = world
    try:
        w.aws.delete_function(FunctionName="bad")  # of a test that failed
    except w.aws.exceptions.ResourceNotFoundException:
        pass
    make_bad(w)
    w.aws.put_function_event_invoke_config(FunctionName="bad", MaximumRetryAttempts=0)
    bury(w)


def make_bad(w):
    w.aws.create_function(**settings("bad", Code={"ZipFile": zip_of({"bootstrap": "#!/bin/sh\nexit 1\n"})}))
    w.aws.get_waiter("function_active_v2").wait(FunctionName="bad")


def bury(w):
    """One dead letter more; how many there are."""
    before = len(dead(w))
    w.aws.invoke(FunctionName="bad", InvocationType="Event")
    wait_for(lambda: len(dead(w)) > before and metric(w, "lamina_events_running") == 0, "the dead letter")
    return before + 1


@pytest.mark.parametrize("act", ["retry", "purge"])
def test_a_dead_letter_at_each_point(world, bad, listed, act):
    """Told to be tried again it is there still, or tried and dead again; told to go it is there or gone."""
    w = world
    for point in listed[f"dead-letters {act}"]:
        for action in ("kill", "after", str(EIO)) if point["call"] == "fdatasync" else ("kill", str(EIO)):
            count = bury(w)
            w.faults.strike(action, point["call"], point["nth"])
            with pytest.raises(AssertionError):
                w.service.lamina("dead-letters", act, "bad")
            if action == str(EIO):
                w.faults.disarm()
            restart(w, ended=action != str(EIO))
            if act == "retry":
                wait_for(lambda: metric(w, "lamina_events_waiting") == 0 and len(dead(w)) == count, "the events to be where they were")
            else:
                assert len(dead(w)) == 0 or (action != "after" and len(dead(w)) == count)


@pytest.mark.parametrize("action", ["kill", "after", str(EIO)])
def test_a_function_that_is_deleted_takes_its_dead_letters_along(world, bad, action):
    """The caller was told when the function was gone; what was left of it is no later function's of that name."""
    w = world
    w.faults.strike(action, "fdatasync", 2)
    try:
        w.aws.delete_function(FunctionName="bad")
    except BotoCoreError:  # killed before it was told
        assert action != str(EIO)
    if action == str(EIO):
        wait_for(lambda: w.faults.calls().count("fdatasync") >= 2, "the point")
        w.faults.disarm()
    restart(w, ended=action != str(EIO))
    make_bad(w)
    assert dead(w) == []
    w.aws.delete_function(FunctionName="bad")
