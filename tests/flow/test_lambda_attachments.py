# SPDX-License-Identifier: MIT
"""What hangs on a function: aliases with weights, tags, policies, settings of asynchronous calls; account settings."""
import json
import re

import pytest

from lambda_function import ARN, fresh_name, function, invoke, loose_client, package, refused, settings, signed

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


@pytest.fixture
def loose(service):
    return loose_client(service)


@pytest.fixture
def versioned(client):
    """A function with versions 1 (marker one) and 2 (marker two)."""
    name = fresh_name("versioned")
    with function(client, name, Publish=True):
        client.update_function_code(FunctionName=name, ZipFile=package("two"), Publish=True)
        yield name


def strip(answer):
    answer.pop("ResponseMetadata")
    return answer


# ---- Aliases


def test_alias_life(client, versioned):
    created = client.create_alias(FunctionName=versioned, Name="live", FunctionVersion="1", Description="d")
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert re.fullmatch(UUID, created["RevisionId"])
    assert {k: created[k] for k in ("AliasArn", "Name", "FunctionVersion", "Description")} == {
        "AliasArn": f"{ARN}{versioned}:live", "Name": "live", "FunctionVersion": "1", "Description": "d"}
    assert "RoutingConfig" not in created
    assert strip(client.get_alias(FunctionName=versioned, Name="live")) == strip(created)
    with refused("ResourceConflictException", 409, f"Alias already exists: {ARN}{versioned}:live"):
        client.create_alias(FunctionName=versioned, Name="live", FunctionVersion="1")
    updated = strip(client.update_alias(FunctionName=versioned, Name="live", FunctionVersion="2"))
    assert (updated["FunctionVersion"], updated["Description"]) == ("2", "d")
    assert updated["RevisionId"] != created["RevisionId"]
    with refused("PreconditionFailedException", 412, "The Revision Id provided does not match the latest Revision Id."):
        client.update_alias(FunctionName=versioned, Name="live", Description="e", RevisionId=created["RevisionId"])
    client.update_alias(FunctionName=versioned, Name="live", Description="e", RevisionId=updated["RevisionId"])
    assert client.delete_alias(FunctionName=versioned, Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    client.delete_alias(FunctionName=versioned, Name="live")  # what is not there can be deleted
    with refused("ResourceNotFoundException", 404, f"Alias not found: {ARN}{versioned}:live"):
        client.get_alias(FunctionName=versioned, Name="live")


def test_calls_go_where_the_alias_leads(client, versioned):
    client.create_alias(FunctionName=versioned, Name="live", FunctionVersion="1")
    answer = client.invoke(FunctionName=versioned, Qualifier="live", Payload=b"1")
    said = json.loads(answer["Payload"].read())
    assert (answer["ExecutedVersion"], said["marker"], said["arn"]) == ("1", "one", f"{ARN}{versioned}:live")
    assert invoke(client, f"{ARN}{versioned}:live")["marker"] == "one"
    client.update_alias(FunctionName=versioned, Name="live", FunctionVersion="2")
    assert invoke(client, f"{versioned}:live")["marker"] == "two"
    client.update_alias(FunctionName=versioned, Name="live", FunctionVersion="$LATEST")
    assert invoke(client, versioned, Qualifier="live")["version"] == "$LATEST"
    shown = client.get_function_configuration(FunctionName=versioned, Qualifier="live")
    assert (shown["FunctionArn"], shown["Version"]) == (f"{ARN}{versioned}:live", "$LATEST")
    client.update_alias(FunctionName=versioned, Name="live", FunctionVersion="1")
    shown = client.get_function(FunctionName=versioned, Qualifier="live")["Configuration"]
    assert (shown["FunctionArn"], shown["Version"]) == (f"{ARN}{versioned}:live", "1")
    with refused("ResourceConflictException", 409, "alias live"):
        client.delete_function(FunctionName=versioned, Qualifier="1")
    with refused("ResourceNotFoundException", 404, f"{ARN}{versioned}:dead"):
        client.invoke(FunctionName=versioned, Qualifier="dead")


def test_weights_share_the_calls(client, versioned):
    def drawn(count=60):
        return {client.invoke(FunctionName=versioned, Qualifier="canary", Payload=b"1")["ExecutedVersion"]
                for _ in range(count)}

    created = client.create_alias(FunctionName=versioned, Name="canary", FunctionVersion="1",
                                  RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    assert created["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.5}}
    assert drawn() == {"1", "2"}, "sixty calls that all go one way: once in 2^59"
    client.update_alias(FunctionName=versioned, Name="canary", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
    assert drawn(10) == {"2"}
    client.update_alias(FunctionName=versioned, Name="canary", RoutingConfig={"AdditionalVersionWeights": {"2": 0.0}})
    assert drawn(10) == {"1"}
    updated = client.update_alias(FunctionName=versioned, Name="canary", RoutingConfig={})
    assert "RoutingConfig" not in updated and drawn(5) == {"1"}
    client.update_alias(FunctionName=versioned, Name="canary", RoutingConfig={"AdditionalVersionWeights": {"2": 0.25}})
    kept = client.update_alias(FunctionName=versioned, Name="canary", Description="kept")
    assert kept["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}, "an absent member stays"


def test_aliases_that_cannot_be(loose, versioned):
    def create(**more):
        loose.create_alias(**{**dict(FunctionName=versioned, Name="a", FunctionVersion="1"), **more})

    for wrong in ("123", "with space", "a.b", "$LATEST", "a" * 129, ""):
        with refused("ValidationException", 400, "at 'name'"):
            create(Name=wrong)
    create(Name="a" * 128)
    with refused("ValidationException", 400, "at 'functionVersion'"):
        create(FunctionVersion="one")
    with refused("ResourceNotFoundException", 404, f"Function not found: {ARN}{versioned}:7"):
        create(FunctionVersion="7")
    for weights, text in (
            ({"2": 0.5, "1": 0.1}, "Number of items in AdditionalVersionWeights cannot be greater than 1"),
            ({"1": 0.5}, "already included in routing configuration")):
        with refused("InvalidParameterValueException", 400, text):
            create(RoutingConfig={"AdditionalVersionWeights": weights})
    with refused("InvalidParameterValueException", 400,
                 "$LATEST is not supported for an alias pointing to more than 1 version"):
        create(FunctionVersion="$LATEST", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    with refused("ValidationException", 400, "less than or equal to 1.0"):
        create(RoutingConfig={"AdditionalVersionWeights": {"2": 1.5}})
    with refused("ResourceNotFoundException", 404, f"{ARN}{versioned}:9"):
        create(RoutingConfig={"AdditionalVersionWeights": {"9": 0.5}})
    with refused("ResourceNotFoundException", 404, f"Alias not found: {ARN}{versioned}:b"):
        loose.update_alias(FunctionName=versioned, Name="b", FunctionVersion="1")


def test_alias_lists(client, versioned):
    names = [f"alias-{number:02}" for number in range(7)]
    for number, name in enumerate(names):
        client.create_alias(FunctionName=versioned, Name=name, FunctionVersion=str(number % 2 + 1))
    seen, marker = [], {}
    while True:
        page = client.list_aliases(FunctionName=versioned, MaxItems=3, **marker)
        assert len(page["Aliases"]) <= 3
        seen += [alias["Name"] for alias in page["Aliases"]]
        if not page.get("NextMarker"):
            break
        marker = {"Marker": page["NextMarker"]}
    assert seen == names
    of_two = client.list_aliases(FunctionName=versioned, FunctionVersion="2")["Aliases"]
    assert [alias["Name"] for alias in of_two] == names[1::2]
    assert client.list_aliases(FunctionName=versioned, FunctionVersion="$LATEST")["Aliases"] == []


# ---- Tags


def test_tags(client, loose):
    name = fresh_name("tags")
    with function(client, name, Tags={"one": "1"}, Publish=True):
        arn = ARN + name
        assert client.list_tags(Resource=arn)["Tags"] == {"one": "1"}
        answer = client.tag_resource(Resource=arn, Tags={"two": "2", "one": "uno", "spaced key": "ü="})
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert client.get_function(FunctionName=name)["Tags"] == {"one": "uno", "two": "2", "spaced key": "ü="}
        client.untag_resource(Resource=arn, TagKeys=["two", "spaced key", "never there"])
        assert client.list_tags(Resource=arn)["Tags"] == {"one": "uno"}
        long = {f"{number:03}" + "k" * 125: "v" * 256 for number in range(49)}
        client.tag_resource(Resource=arn, Tags=long)
        client.untag_resource(Resource=arn, TagKeys=list(long))
        assert client.list_tags(Resource=arn)["Tags"] == {"one": "uno"}
        client.tag_resource(Resource=arn, Tags={f"k{number}": "" for number in range(49)})
        with refused("InvalidParameterValueException", 400, "Number of tags exceeds resource tag limit."):
            client.tag_resource(Resource=arn, Tags={"one more": ""})
        client.untag_resource(Resource=arn, TagKeys=["one", *[f"k{number}" for number in range(49)]])
        assert client.list_tags(Resource=arn)["Tags"] == {} and "Tags" not in client.get_function(FunctionName=name)
        with refused("InvalidParameterValueException", 400, "Tags on function aliases and versions are not supported."):
            client.tag_resource(Resource=arn + ":1", Tags={"a": "b"})
    with refused("ResourceNotFoundException", 404, f"Function not found: {arn}"):
        client.list_tags(Resource=arn)
    with refused("ValidationException", 400, "at 'resource'"):
        loose.list_tags(Resource="not-an-arn")


# ---- Account


def test_account_settings(client):
    before = client.get_account_settings()
    assert before["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert before["AccountLimit"]["CodeSizeZipped"] == 52428800
    assert before["AccountLimit"]["CodeSizeUnzipped"] == 262144000
    name = fresh_name()
    with function(client, name) as created:
        now = client.get_account_settings()["AccountUsage"]
        assert now["FunctionCount"] == before["AccountUsage"]["FunctionCount"] + 1
        assert now["TotalCodeSize"] == before["AccountUsage"]["TotalCodeSize"] + created["CodeSize"]


def test_code_signing_is_asked_for_by_terraform(service, client):
    name = fresh_name()
    with function(client, name):
        status, _, body = signed(service, "GET", f"/2020-06-30/functions/{name}/code-signing-config")
        assert (status, json.loads(body)) == (200, {})


# ---- Policies


def statement(client, name, **more):
    return json.loads(client.add_permission(FunctionName=name, **more)["Statement"])


def test_permissions_become_a_policy(client, versioned):
    revision = client.get_function_configuration(FunctionName=versioned)["RevisionId"]
    with refused("ResourceNotFoundException", 404, "The resource you requested does not exist."):
        client.get_policy(FunctionName=versioned)
    first = statement(client, versioned, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
                      SourceArn="arn:aws:s3:::bucket", SourceAccount="000000000000")
    assert first == {"Sid": "s3", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
                     "Action": "lambda:InvokeFunction", "Resource": ARN + versioned,
                     "Condition": {"StringEquals": {"AWS:SourceAccount": "000000000000"},
                                   "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}}}
    assert client.get_function_configuration(FunctionName=versioned)["RevisionId"] != revision
    second = statement(client, versioned, StatementId="account", Action="lambda:*", Principal="111111111111")
    assert second["Principal"] == {"AWS": "arn:aws:iam::111111111111:root"}
    third = statement(client, versioned, StatementId="url", Action="lambda:InvokeFunctionUrl", Principal="*",
                      FunctionUrlAuthType="NONE")
    assert third["Principal"] == "*"
    assert third["Condition"] == {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    answer = client.get_policy(FunctionName=versioned)
    assert json.loads(answer["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [first, second, third]}
    with refused("ResourceConflictException", 409, "The statement id (s3) provided already exists."):
        client.add_permission(FunctionName=versioned, StatementId="s3", Action="lambda:*", Principal="*")
    with refused("PreconditionFailedException", 412):
        client.add_permission(FunctionName=versioned, StatementId="x", Action="lambda:*", Principal="*",
                              RevisionId="0" * 36)
    client.remove_permission(FunctionName=versioned, StatementId="account", RevisionId=answer["RevisionId"])
    assert [s["Sid"] for s in json.loads(client.get_policy(FunctionName=versioned)["Policy"])["Statement"]] == ["s3", "url"]
    with refused("ResourceNotFoundException", 404, "Statement account is not found in resource policy."):
        client.remove_permission(FunctionName=versioned, StatementId="account")
    for sid in ("s3", "url"):
        client.remove_permission(FunctionName=versioned, StatementId=sid)
    with refused("ResourceNotFoundException", 404):
        client.get_policy(FunctionName=versioned)
    with refused("ResourceNotFoundException", 404, "No policy is associated with the given resource."):
        client.remove_permission(FunctionName=versioned, StatementId="s3")


def test_policies_are_per_qualifier(client, versioned):
    client.create_alias(FunctionName=versioned, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        said = statement(client, versioned, StatementId="a", Action="*", Principal="*", Qualifier=qualifier)
        assert said["Resource"] == f"{ARN}{versioned}:{qualifier}"
    with refused("ResourceNotFoundException", 404):
        client.get_policy(FunctionName=versioned)
    assert "live" in client.get_policy(FunctionName=versioned, Qualifier="live")["Policy"]
    with refused("ResourceNotFoundException", 404):
        client.add_permission(FunctionName=versioned, StatementId="a", Action="*", Principal="*", Qualifier="9")


def test_permissions_that_cannot_be(loose, versioned):
    def add(**more):
        loose.add_permission(**{**dict(FunctionName=versioned, StatementId="s", Action="lambda:InvokeFunction",
                                       Principal="*"), **more})

    for changes, path in (({"StatementId": "a b"}, "statementId"), ({"StatementId": "a" * 101}, "statementId"),
                          ({"Action": "s3:GetObject"}, "action"), ({"Action": "lambda:A-B"}, "action"),
                          ({"SourceAccount": "12"}, "sourceAccount"), ({"FunctionUrlAuthType": "X"}, "functionUrlAuthType")):
        with refused("ValidationException", 400, f"at '{path}'"):
            add(**changes)
    with refused("InvalidParameterValueException", 400, "The provided principal was invalid."):
        add(Principal="somebody")
    with refused("PolicyLengthExceededException", 400):
        for number in range(20):
            add(StatementId=f"long{number}", SourceArn="arn:aws:s3:::" + "b" * 2000)


# ---- Settings of asynchronous calls


def test_event_invoke_settings(client, loose, versioned):
    target = ARN + versioned
    with refused("ResourceNotFoundException", 404, f"The function {target}:$LATEST doesn't have an EventInvokeConfig"):
        client.get_function_event_invoke_config(FunctionName=versioned)
    put = client.put_function_event_invoke_config(FunctionName=versioned, MaximumRetryAttempts=1)
    assert put["FunctionArn"] == f"{target}:$LATEST" and put["MaximumRetryAttempts"] == 1
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}} and "MaximumEventAgeInSeconds" not in put
    assert put["LastModified"].year >= 2020
    updated = client.update_function_event_invoke_config(
        FunctionName=versioned, MaximumEventAgeInSeconds=60, DestinationConfig={"OnFailure": {"Destination": target}})
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (1, 60), "POST merges"
    assert updated["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": target}}
    assert strip(client.get_function_event_invoke_config(FunctionName=versioned)) == strip(updated)
    put = client.put_function_event_invoke_config(FunctionName=versioned, MaximumEventAgeInSeconds=21600)
    assert "MaximumRetryAttempts" not in put and put["DestinationConfig"]["OnFailure"] == {}, "PUT replaces"
    client.put_function_event_invoke_config(FunctionName=versioned, Qualifier="1", MaximumRetryAttempts=0)
    arns = [config["FunctionArn"] for config in
            client.list_function_event_invoke_configs(FunctionName=versioned)["FunctionEventInvokeConfigs"]]
    assert arns == [f"{target}:$LATEST", f"{target}:1"]
    page = client.list_function_event_invoke_configs(FunctionName=versioned, MaxItems=1)
    assert len(page["FunctionEventInvokeConfigs"]) == 1
    page = client.list_function_event_invoke_configs(FunctionName=versioned, Marker=page["NextMarker"])
    assert [config["FunctionArn"] for config in page["FunctionEventInvokeConfigs"]] == [f"{target}:1"]
    client.delete_function_event_invoke_config(FunctionName=versioned)
    for call in (client.get_function_event_invoke_config, client.delete_function_event_invoke_config,
                 lambda **more: client.update_function_event_invoke_config(MaximumRetryAttempts=1, **more)):
        with refused("ResourceNotFoundException", 404):
            call(FunctionName=versioned)
    for wrong in ({"MaximumRetryAttempts": 3}, {"MaximumEventAgeInSeconds": 59}, {"MaximumEventAgeInSeconds": 21601}):
        with refused("ValidationException", 400):
            loose.put_function_event_invoke_config(FunctionName=versioned, **wrong)
    with refused("InvalidParameterValueException", 400, "at least one of"):
        loose.put_function_event_invoke_config(FunctionName=versioned)
    with refused("InvalidParameterValueException", 400, "The destination ARN arn:aws:sqs:us-east-1:000000000000:q is invalid"):
        client.put_function_event_invoke_config(
            FunctionName=versioned, DestinationConfig={"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}})


# ---- All of it


def test_everything_that_hangs_on_a_function_survives_and_goes_with_it(fresh_service):
    service, client = fresh_service, fresh_service.client("lambda")
    client.create_function(**settings("f", Publish=True, Tags={"a": "b"}))
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    client.add_permission(FunctionName="f", StatementId="s", Action="*", Principal="*")
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)

    def state(client):
        return [strip(client.get_alias(FunctionName="f", Name="live")), strip(client.get_policy(FunctionName="f")),
                strip(client.get_function_event_invoke_config(FunctionName="f")),
                client.list_tags(Resource=ARN + "f")["Tags"]]

    before = state(client)
    service.stop()
    service.start()
    client = service.client("lambda")
    assert state(client) == before
    assert invoke(client, "f:live")["version"] == "1"
    client.delete_function(FunctionName="f")
    client.create_function(**settings("f"))
    service.stop()
    service.start()
    client = service.client("lambda")
    assert client.list_aliases(FunctionName="f")["Aliases"] == []
    for call in (client.get_policy, client.get_function_event_invoke_config):
        with refused("ResourceNotFoundException", 404):
            call(FunctionName="f")
