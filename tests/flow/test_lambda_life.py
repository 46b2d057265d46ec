# SPDX-License-Identifier: MIT
"""The life of a function as boto3 sees it: create, get, list, update, publish, delete."""
import base64
import hashlib
import re
import urllib.error
import urllib.request

import pytest

from lambda_function import ARN, ROLE, fresh_name, function, invoke, package, refused, settings

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def sha(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def strip(answer):
    answer.pop("ResponseMetadata")
    return answer


def configuration(client, name, **more):
    return strip(client.get_function_configuration(FunctionName=name, **more))


def test_create_answers_with_awss_defaults(client):
    name, code = fresh_name(), package()
    answer = client.create_function(FunctionName=name, Runtime="provided.al2023", Handler="h", Role=ROLE,
                                    Code={"ZipFile": code})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert re.fullmatch(UUID, answer["ResponseMetadata"]["RequestId"])
    assert re.fullmatch(UUID, answer.pop("RevisionId"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", answer.pop("LastModified"))
    known = {"FunctionName": name, "FunctionArn": ARN + name, "Runtime": "provided.al2023", "Role": ROLE,
             "Handler": "h", "CodeSize": len(code), "CodeSha256": sha(code), "Description": "", "Timeout": 3,
             "MemorySize": 128, "Version": "$LATEST", "TracingConfig": {"Mode": "PassThrough"},
             "PackageType": "Zip", "Architectures": ["x86_64"], "EphemeralStorage": {"Size": 512},
             "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"}, "State": "Pending",
             "StateReason": "The function is being created.", "StateReasonCode": "Creating"}
    assert {key: answer.get(key) for key in known} == known
    assert "LastUpdateStatus" not in answer and "Environment" not in answer
    client.delete_function(FunctionName=name)


def test_waiters_see_it_become_active(client):
    name = fresh_name()
    created = client.create_function(**settings(name))
    for waiter in ("function_exists", "function_active", "function_active_v2"):
        client.get_waiter(waiter).wait(FunctionName=name)
    now = configuration(client, name)
    assert (now["State"], now["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in now and "StateReasonCode" not in now
    assert now["RevisionId"] != created["RevisionId"], "becoming active is a transition"
    client.update_function_configuration(FunctionName=name, Description="d")
    for waiter in ("function_updated", "function_updated_v2"):
        client.get_waiter(waiter).wait(FunctionName=name)
    client.delete_function(FunctionName=name)


def test_create_of_an_existing_name_is_a_conflict(client):
    name = fresh_name()
    with function(client, name):
        with refused("ResourceConflictException", 409, f"Function already exist: {name}"):
            client.create_function(**settings(name))


def test_get_function_hands_out_the_code(client):
    name, code = fresh_name(), package("download")
    with function(client, name, Code={"ZipFile": code}, Tags={"team": "ml"}):
        answer = client.get_function(FunctionName=name)
        assert answer["Code"]["RepositoryType"] == "S3"
        assert answer["Tags"] == {"team": "ml"}
        assert answer["Configuration"]["CodeSha256"] == sha(code)
        assert "Concurrency" not in answer
        with urllib.request.urlopen(answer["Code"]["Location"], timeout=120) as download:
            assert download.read() == code


def test_a_changed_or_foreign_download_url_is_refused(client):
    name = fresh_name()
    with function(client, name):
        url = client.get_function(FunctionName=name)["Code"]["Location"]
        path, _, query = url.partition("?")
        digest = path.rsplit("/", 1)[1]
        other = path.replace(digest, "0" * 64)
        for wrong in (path, other + "?" + query, url.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"),
                      url[:-1] + ("0" if url[-1] != "0" else "1")):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(wrong, timeout=120)
            assert error.value.code == 403, wrong
            error.value.close()


def test_configuration_update_changes_what_it_names(client):
    name = fresh_name()
    with function(client, name, Environment={"Variables": {"GREETING": "hi", "OTHER": "x"}}, Description="first"):
        before = configuration(client, name)
        answer = strip(client.update_function_configuration(
            FunctionName=name, MemorySize=2048, Environment={"Variables": {"GREETING": "ho"}}))
        assert answer["LastUpdateStatus"] == "InProgress" and answer["State"] == "Active"
        assert answer["LastUpdateStatusReasonCode"] == "Creating"
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        after = configuration(client, name)
        assert after["LastUpdateStatus"] == "Successful" and "LastUpdateStatusReason" not in after
        assert after["Environment"] == {"Variables": {"GREETING": "ho"}}, "the environment is replaced whole"
        assert (after["MemorySize"], after["Description"], after["Timeout"]) == (2048, "first", 120)
        assert len({before["RevisionId"], answer["RevisionId"], after["RevisionId"]}) == 3
        said = invoke(client, name)
        assert (said["memory"], said["greeting"]) == (2048, "ho")


def test_a_redundant_update_changes_the_revision_only(client):
    name = fresh_name()
    with function(client, name):
        before = configuration(client, name)
        client.update_function_configuration(FunctionName=name, MemorySize=before["MemorySize"])
        after = configuration(client, name)
        assert after.pop("RevisionId") != before.pop("RevisionId")
        assert after.pop("LastModified") >= before.pop("LastModified")
        assert after == before


def test_an_environment_set_to_nothing_is_shown_as_such(client):
    name = fresh_name()
    with function(client, name, Environment={"Variables": {"GREETING": "x"}}):
        client.update_function_configuration(FunctionName=name, Environment={})
        assert configuration(client, name)["Environment"] == {"Variables": {}}


def test_code_update_replaces_the_code(client):
    name, second = fresh_name(), package("two")
    with function(client, name):
        assert invoke(client, name)["marker"] == "one"
        answer = client.update_function_code(FunctionName=name, ZipFile=second)
        assert answer["LastUpdateStatus"] == "InProgress"
        assert (answer["CodeSha256"], answer["CodeSize"]) == (sha(second), len(second))
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
        assert invoke(client, name)["marker"] == "two"


def test_code_update_that_fails_leaves_everything(client):
    name = fresh_name()
    with function(client, name):
        before = configuration(client, name)
        with refused("InvalidParameterValueException", 400, "Could not unzip uploaded file."):
            client.update_function_code(FunctionName=name, ZipFile=b"PK\x03\x04 and then nothing")
        assert configuration(client, name) == before
        assert invoke(client, name)["marker"] == "one"


def test_code_update_dry_run_changes_nothing(client):
    name = fresh_name()
    with function(client, name):
        before = configuration(client, name)
        answer = client.update_function_code(FunctionName=name, ZipFile=package("two"), DryRun=True)
        assert answer["CodeSha256"] == sha(package("two"))
        assert configuration(client, name) == before
        with refused("InvalidParameterValueException", 400, "Could not unzip uploaded file."):
            client.update_function_code(FunctionName=name, ZipFile=b"no zip", DryRun=True)


def test_publish_numbers_versions_and_repeats_the_last(client):
    name = fresh_name()
    with function(client, name):
        latest = configuration(client, name)
        first = strip(client.publish_version(FunctionName=name, Description="first release"))
        assert (first["Version"], first["FunctionArn"]) == ("1", f"{ARN}{name}:1")
        assert (first["Description"], first["State"]) == ("first release", "Active")
        assert configuration(client, name)["RevisionId"] != latest["RevisionId"], "publishing touches $LATEST"
        again = strip(client.publish_version(FunctionName=name, Description="another word"))
        assert again == first, "nothing changed: the same version"
        client.update_function_configuration(FunctionName=name, Description="changed")
        assert client.publish_version(FunctionName=name)["Version"] == "2"
        assert client.publish_version(FunctionName=name)["Version"] == "2"
        client.update_function_code(FunctionName=name, ZipFile=package("three"))
        assert client.publish_version(FunctionName=name)["Version"] == "3"
        assert [invoke(client, f"{name}:{n}")["marker"] for n in (1, 2, 3)] == ["one", "one", "three"]
        assert [invoke(client, name, Qualifier=n)["version"] for n in ("1", "3", "$LATEST")] == ["1", "3", "$LATEST"]


def test_published_versions_do_not_change(client):
    name = fresh_name()
    with function(client, name, Environment={"Variables": {"GREETING": "old"}}):
        client.publish_version(FunctionName=name)
        before = configuration(client, name, Qualifier="1")
        client.update_function_configuration(FunctionName=name, Environment={"Variables": {"GREETING": "new"}})
        client.update_function_code(FunctionName=name, ZipFile=package("two"))
        assert configuration(client, name, Qualifier="1") == before
        assert invoke(client, name, Qualifier="1")["greeting"] == "old"
        assert invoke(client, name)["greeting"] == "new"
        with refused("InvalidParameterValueException", 400):
            client.update_function_configuration(FunctionName=f"{name}:1", Timeout=5)


def test_publish_checks_the_code_hash(client):
    name = fresh_name()
    with function(client, name):
        with refused("InvalidParameterValueException", 400, "CodeSHA256 (wrong) is different from current CodeSHA256 "
                     f"in $LATEST ({sha(package())}). Please try again"):
            client.publish_version(FunctionName=name, CodeSha256="wrong")
        assert client.publish_version(FunctionName=name, CodeSha256=sha(package()))["Version"] == "1"


def test_create_with_publish_makes_version_one(client):
    name = fresh_name()
    answer = client.create_function(**settings(name, Publish=True))
    assert (answer["Version"], answer["FunctionArn"]) == ("1", ARN + name)
    assert [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"]] == ["$LATEST", "1"]
    assert invoke(client, name, Qualifier="1")["version"] == "1"
    client.delete_function(FunctionName=name)


def test_code_update_with_publish_answers_with_the_version(client):
    name = fresh_name()
    with function(client, name, Publish=True):
        answer = client.update_function_code(FunctionName=name, ZipFile=package("two"), Publish=True)
        assert (answer["Version"], answer["FunctionArn"]) == ("2", f"{ARN}{name}:2")
        again = client.update_function_code(FunctionName=name, ZipFile=package("two"), Publish=True)
        assert again["Version"] == "2", "the same code: the same version"
        assert invoke(client, name, Qualifier="2")["marker"] == "two"


def test_revision_ids_guard_updates(client):
    name = fresh_name()
    stale = "00000000-0000-4000-8000-000000000000"
    text = "The Revision Id provided does not match the latest Revision Id."
    with function(client, name):
        for change in (lambda **more: client.update_function_configuration(FunctionName=name, Timeout=60, **more),
                       lambda **more: client.update_function_code(FunctionName=name, ZipFile=package(), **more),
                       lambda **more: client.publish_version(FunctionName=name, **more)):
            with refused("PreconditionFailedException", 412, text):
                change(RevisionId=stale)
            change(RevisionId=configuration(client, name)["RevisionId"])


def test_delete_takes_versions_and_frees_the_name(client):
    name = fresh_name()
    with function(client, name, Publish=True):
        answer = client.delete_function(FunctionName=name)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        for call in (client.get_function, client.get_function_configuration, client.list_versions_by_function,
                     client.invoke, client.delete_function, client.publish_version):
            with refused("ResourceNotFoundException", 404, f"Function not found: {ARN}{name}"):
                call(FunctionName=name)
        client.create_function(**settings(name))
        assert client.publish_version(FunctionName=name)["Version"] == "1", "a new function begins anew"


def test_delete_of_one_version(client):
    name = fresh_name()
    with function(client, name, Publish=True):
        client.update_function_code(FunctionName=name, ZipFile=package("two"), Publish=True)
        with refused("InvalidParameterValueException", 400,
                     "$LATEST version cannot be deleted without deleting the function."):
            client.delete_function(FunctionName=name, Qualifier="$LATEST")
        client.delete_function(FunctionName=name, Qualifier="2")
        with refused("ResourceNotFoundException", 404, f"{ARN}{name}:2"):
            client.get_function(FunctionName=name, Qualifier="2")
        with refused("ResourceNotFoundException", 404, f"{ARN}{name}:2"):
            client.invoke(FunctionName=f"{name}:2")
        client.update_function_code(FunctionName=name, ZipFile=package("three"), Publish=True)
        versions = client.list_versions_by_function(FunctionName=name)["Versions"]
        assert [v["Version"] for v in versions] == ["$LATEST", "1", "3"], "numbers are not used twice"


def test_kept_settings_are_shown(client):
    name = fresh_name()
    kept = {"TracingConfig": {"Mode": "Active"}, "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:0:q"},
            "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}
    with function(client, name, **kept):
        now = configuration(client, name)
        assert {key: now.get(key) for key in kept} == kept
        client.update_function_configuration(FunctionName=name, TracingConfig={"Mode": "PassThrough"},
                                             DeadLetterConfig={"TargetArn": ""}, KMSKeyArn="")
        now = configuration(client, name)
        assert now["TracingConfig"] == {"Mode": "PassThrough"}
        assert "DeadLetterConfig" not in now and "KMSKeyArn" not in now


def test_arns_name_functions(client):
    name = fresh_name()
    with function(client, name, Publish=True):
        for label in (name, ARN + name, f"000000000000:function:{name}", f"function:{name}"):
            assert configuration(client, label)["FunctionArn"] == ARN + name
            assert configuration(client, label, Qualifier="1")["FunctionArn"] == f"{ARN}{name}:1"
        assert configuration(client, f"{ARN}{name}:1")["Version"] == "1"
        assert configuration(client, f"{name}:$LATEST")["FunctionArn"] == f"{ARN}{name}:$LATEST"
        with refused("InvalidParameterValueException", 400, "The derived qualifier from the function name does not "
                     "match the specified qualifier."):
            client.get_function(FunctionName=f"{name}:1", Qualifier="2")
        with refused("ResourceNotFoundException", 404,
                     "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"):
            client.get_function(FunctionName=f"arn:aws:lambda:eu-west-1:000000000000:function:{name}")
        with refused("AccessDeniedException", 403):
            client.get_function(FunctionName=f"arn:aws:lambda:us-east-1:111111111111:function:{name}")
