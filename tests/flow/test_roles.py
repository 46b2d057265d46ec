# SPDX-License-Identifier: MIT
"""IAM's API for roles, with Debian's boto3 and CLI; and what a role then allows to a function."""
import base64
import json

import pytest
from calling_function import RUNTIME, SIGNING, caller
from lambda_function import ARN, ROLE, fresh_name, function, refused, settings, zip_of
from lamina_service import wait_for

ACCOUNT = "000000000000"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def statement(effect, action, resource):
    return {"Effect": effect, "Action": action, "Resource": resource}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def role(service):
    """role(policy, ...): the ARN of a new role with these inline policies; removed afterwards."""
    iam, made = service.client("iam"), []

    def make(*documents, trust=TRUST):
        name = fresh_name("role")
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        made.append(name)
        for i, document in enumerate(documents):
            iam.put_role_policy(RoleName=name, PolicyName="p%d" % i, PolicyDocument=document)
        return arn

    yield make
    for name in made:
        for one in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            iam.delete_role_policy(RoleName=name, PolicyName=one)
        wait_for(lambda: is_deleted(iam, name), "the instances of functions with the role to end")


def is_deleted(iam, name):
    """Not while a function that is gone still runs with it."""
    try:
        iam.delete_role(RoleName=name)
    except iam.exceptions.DeleteConflictException:
        return False
    return True


def test_the_life_of_a_role(service):
    iam, name = service.client("iam"), fresh_name("life")
    made = iam.create_role(RoleName=name, Path="/team/a/", AssumeRolePolicyDocument=TRUST, Description="it's <one> & \"two\"",
                           MaxSessionDuration=7200)["Role"]
    assert made["Arn"] == "arn:aws:iam::%s:role/team/a/%s" % (ACCOUNT, name)
    assert (made["RoleName"], made["Path"], made["MaxSessionDuration"]) == (name, "/team/a/", 7200)
    assert made["RoleId"].startswith("AROA") and made["CreateDate"].year >= 2024
    got = iam.get_role(RoleName=name)["Role"]
    assert got == made
    assert got["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert got["Description"] == "it's <one> & \"two\""
    with refused("EntityAlreadyExists", 409, "Role with name %s already exists." % name):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    document = policy(statement("Allow", "s3:GetObject", "arn:aws:s3:::b/*"))
    iam.put_role_policy(RoleName=name, PolicyName="b+c", PolicyDocument=document)
    iam.put_role_policy(RoleName=name, PolicyName="a", PolicyDocument=document)
    iam.put_role_policy(RoleName=name, PolicyName="a", PolicyDocument=document)
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["a", "b+c"]
    one = iam.get_role_policy(RoleName=name, PolicyName="b+c")
    assert (one["RoleName"], one["PolicyName"], one["PolicyDocument"]) == (name, "b+c", json.loads(document))
    with refused("NoSuchEntity", 404, "The role policy with name x cannot be found."):
        iam.get_role_policy(RoleName=name, PolicyName="x")
    with refused("NoSuchEntity", 404):
        iam.delete_role_policy(RoleName=name, PolicyName="x")
    with refused("DeleteConflict", 409, "must delete policies first"):
        iam.delete_role(RoleName=name)
    for one in ("a", "b+c"):
        iam.delete_role_policy(RoleName=name, PolicyName=one)
    iam.attach_role_policy(RoleName=name, PolicyArn=BASIC)
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == [
        {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
    with refused("NoSuchEntity", 404, "does not exist or is not attachable"):
        iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    with refused("DeleteConflict", 409, "must detach all policies first"):
        iam.delete_role(RoleName=name)
    iam.detach_role_policy(RoleName=name, PolicyArn=BASIC)
    with refused("NoSuchEntity", 404):
        iam.detach_role_policy(RoleName=name, PolicyArn=BASIC)
    iam.update_role(RoleName=name, Description="other")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(
        {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}))
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "other"
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    assert iam.list_role_tags(RoleName=name)["Tags"] == []
    iam.delete_role(RoleName=name)
    with refused("NoSuchEntity", 404, "The role with name %s cannot be found." % name):
        iam.get_role(RoleName=name)
    with refused("NoSuchEntity", 404):
        iam.delete_role(RoleName=name)


def test_lists_have_pages(service, role):
    names = sorted(role().rsplit("/", 1)[1] for _ in range(5))
    iam = service.client("iam")
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 2}))
    assert len(pages) >= 3
    assert [one["RoleName"] for page in pages for one in page["Roles"]] == names
    assert iam.list_roles(PathPrefix="/other/")["Roles"] == []
    for i in range(3):
        iam.put_role_policy(RoleName=names[0], PolicyName="q%d" % i, PolicyDocument=policy(statement("Deny", "*", "*")))
    listed = iam.get_paginator("list_role_policies").paginate(RoleName=names[0], PaginationConfig={"PageSize": 1})
    assert [one for page in listed for one in page["PolicyNames"]] == ["q0", "q1", "q2"]


def test_what_is_refused(service, role):
    iam = service.client("iam")
    name = role().rsplit("/", 1)[1]
    for document, text in (("{", "is not JSON"), ("[]", "must be a JSON object"), ("{}", "1 to 100 statements"),
                           (policy({**statement("Allow", "s3:*", "*"), "Condition": {}}), "Condition is not supported"),
                           (policy(statement("Allow", "s3:*", "${aws:username}")), "without variables"),
                           (policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Principal": "*"}), "Principal")):
        with refused("MalformedPolicyDocument", 400, text):
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document)
    for document in ("{", "{}", json.dumps({"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                                                             "Action": "sts:AssumeRole", "Condition": {"Bool": {}}}]})):
        with refused("MalformedPolicyDocument", 400):
            iam.create_role(RoleName=fresh_name("no"), AssumeRolePolicyDocument=document)
    long = policy(statement("Allow", ["s3:%s" % ("x" * 100)] * 80, "*"))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=long)
    with refused("LimitExceeded", 409):
        iam.put_role_policy(RoleName=name, PolicyName="q", PolicyDocument=long)
    with refused("InvalidInput", 400, "PermissionsBoundary"):
        iam.create_role(RoleName=fresh_name("no"), AssumeRolePolicyDocument=TRUST, PermissionsBoundary="arn:aws:iam::aws:policy/X")
    with refused("InvalidInput", 400, "Tags"):
        iam.create_role(RoleName=fresh_name("no"), AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "a", "Value": "b"}])
    with refused("InvalidAction", 400, "CreateGroup"):
        iam.create_group(GroupName="g")
    for bad in ("a b", "a/b", "x" * 65):
        with refused("ValidationError", 400):
            service.client("iam", config=no_checks()).create_role(RoleName=bad, AssumeRolePolicyDocument=TRUST)
    assert iam.list_roles()["Roles"] and not [one for one in iam.list_roles()["Roles"] if one["RoleName"].startswith("no-")]


def no_checks():
    from botocore.config import Config
    return Config(parameter_validation=False, retries={"total_max_attempts": 1})


def test_roles_outlive_the_service(fresh_service):
    iam = fresh_service.client("iam")
    made = iam.create_role(RoleName="kept", AssumeRolePolicyDocument=TRUST)["Role"]
    iam.put_role_policy(RoleName="kept", PolicyName="p", PolicyDocument=policy(statement("Allow", "s3:*", "*")))
    iam.attach_role_policy(RoleName="kept", PolicyArn=BASIC)
    fresh_service.stop(number=9)
    fresh_service.start()
    iam = fresh_service.client("iam")
    assert iam.get_role(RoleName="kept")["Role"] == made
    assert iam.list_role_policies(RoleName="kept")["PolicyNames"] == ["p"]
    assert len(iam.list_attached_role_policies(RoleName="kept")["AttachedPolicies"]) == 1


def test_the_command_line_of_aws(service, tmp_path):
    name = fresh_name("cli")
    trust, document = tmp_path / "trust.json", tmp_path / "policy.json"
    trust.write_text(TRUST)
    document.write_text(policy(statement("Allow", "lambda:InvokeFunction", "*")))

    def aws(*arguments, check=True):
        return service.aws("iam", *arguments, "--role-name", name, check=check)

    arn = json.loads(aws("create-role", "--assume-role-policy-document", "file://%s" % trust).stdout)["Role"]["Arn"]
    aws("put-role-policy", "--policy-name", "p", "--policy-document", "file://%s" % document)
    shown = json.loads(aws("get-role-policy", "--policy-name", "p").stdout)
    assert shown["PolicyDocument"]["Statement"][0]["Action"] == "lambda:InvokeFunction"
    assert json.loads(aws("get-role").stdout)["Role"]["Arn"] == arn
    assert "arn:aws:iam::%s:root" % ACCOUNT in service.aws("iam", "get-user").stdout
    failed = aws("delete-role", check=False)
    assert failed.returncode != 0 and "(DeleteConflict)" in failed.stderr
    aws("delete-role-policy", "--policy-name", "p")
    aws("delete-role")
    failed = aws("get-role", check=False)
    assert failed.returncode != 0 and "(NoSuchEntity)" in failed.stderr


# ---- what a role allows to a function

def test_a_role_decides_what_a_function_calls(service, role):
    client = service.client("lambda")
    with function(client, fresh_name("pub")) as public, function(client, fresh_name("priv")) as private:
        arn = role(policy(statement("Allow", "lambda:InvokeFunction", [ARN + "pub-*", ARN + "pub-*:*"])),
                   policy(statement("Deny", "lambda:*", public["FunctionArn"] + ":7")))
        name = arn.rsplit("/", 1)[1]
        # Its environment names the other one: that is no right when the role was defined.
        with caller(service, fresh_name("caller"), role=arn, NEXT_FUNCTION_NAME=private["FunctionName"]) as ask:
            def calls(*targets):
                return [one.get("code") or one["StatusCode"]
                        for one in ask(*[("lambda", "invoke", {"FunctionName": target, "Payload": "1"}) for target in targets])]

            denied = "AccessDeniedException"
            everything = (public["FunctionName"], public["FunctionName"] + ":$LATEST", public["FunctionName"] + ":7",
                          private["FunctionName"])
            assert calls(*everything) == [200, 200, denied, denied]
            service.client("iam").put_role_policy(RoleName=name, PolicyName="p0", PolicyDocument=policy(
                statement("Allow", "lambda:*", "*"), statement("Deny", "lambda:InvokeFunction", public["FunctionArn"])))
            assert calls(*everything) == [denied, denied, denied, 200]  # at once, in the same instance
            who = ask(("sts", "get_caller_identity", {}))[0]
            assert who["Arn"] == "arn:aws:sts::%s:assumed-role/%s/%s" % (ACCOUNT, name, ask.name)
            assert who["UserId"] == "%s:%s" % (service.client("iam").get_role(RoleName=name)["Role"]["RoleId"], ask.name)


def test_no_policy_gives_the_control_plane(service, role):
    import sys
    from pathlib import Path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hostile"))
    from test_platform_api import attack

    client, name = service.client("lambda"), fresh_name("god")
    with caller(service, name, role=role(policy(statement("Allow", "*", "*")))) as ask:
        before = client.get_function_configuration(FunctionName=name)
        attack(ask)
        after = client.get_function_configuration(FunctionName=name)
        before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
        assert after == before
        assert ask(("lambda", "invoke", {"FunctionName": "nobody"}))[0]["code"] == "ResourceNotFoundException"


def test_a_role_in_use_stays(service, role):
    arn = role()
    client = service.client("lambda")
    with function(client, fresh_name("user"), Role=arn) as made:
        with refused("DeleteConflict", 409, made["FunctionArn"]):
            service.client("iam").delete_role(RoleName=arn.rsplit("/", 1)[1])


WAITING = SIGNING + r'''
def handler(event, context):
    print("waits")
    while call_next(os.environ["GATE"], "RequestResponse", b"null")[0] != 200:
        time.sleep(0.01)
'''


def test_the_role_of_what_still_runs_stays(service, role):
    """A call of a function that was deleted goes on: without its role it would have what its environment names."""
    client, iam, name, gate = service.client("lambda"), service.client("iam"), fresh_name("busy"), fresh_name("gate")
    arn = role(policy(statement("Allow", "lambda:InvokeFunction", ARN + gate)))
    role_name = arn.rpartition("/")[2]
    with function(client, name, Role=arn, Runtime=RUNTIME, Handler="app.handler", Timeout=300,
                  Code={"ZipFile": zip_of({"app.py": WAITING})}, Environment={"Variables": {"GATE": gate}}):
        client.invoke(FunctionName=name, InvocationType="Event", Payload=b"null")
        wait_for(lambda: "waits" in service.lamina("logs", name).stdout, "the call's beginning")
    document = iam.get_role_policy(RoleName=role_name, PolicyName="p0")["PolicyDocument"]

    def is_deleted():
        iam.delete_role_policy(RoleName=role_name, PolicyName="p0")
        try:
            iam.delete_role(RoleName=role_name)
        except iam.exceptions.DeleteConflictException as error:
            assert "uses the role" in str(error)
            iam.put_role_policy(RoleName=role_name, PolicyName="p0", PolicyDocument=json.dumps(document))
            return False
        return True

    assert not is_deleted()
    with function(client, gate):  # lets it end
        wait_for(is_deleted, "the call's end")
    iam.create_role(RoleName=role_name, AssumeRolePolicyDocument=TRUST)  # for the fixture


def test_a_role_that_is_not_lambdas(service, role):
    client = service.client("lambda")
    arn = role(policy(statement("Allow", "*", "*")), trust=TRUST.replace("lambda.", "ec2."))
    with refused("InvalidParameterValueException", 400, "The role defined for the function cannot be assumed by Lambda."):
        client.create_function(**settings(fresh_name("no"), Role=arn))
    with function(client, fresh_name("yes")) as made:
        with refused("InvalidParameterValueException", 400, "cannot be assumed"):
            client.update_function_configuration(FunctionName=made["FunctionName"], Role=arn)


def test_a_destination_needs_the_functions_right_too(service, role):
    client = service.client("lambda")
    with function(client, fresh_name("end")) as end:
        for documents, is_allowed in (((), False), ((policy(statement("Allow", "lambda:InvokeFunction", end["FunctionArn"])),), True)):
            with function(client, fresh_name("begin"), Role=role(*documents)) as begin:
                put = dict(FunctionName=begin["FunctionName"], DestinationConfig={"OnSuccess": {"Destination": end["FunctionArn"]}})
                if is_allowed:
                    client.put_function_event_invoke_config(**put)
                else:
                    with refused("InvalidParameterValueException", 400, "execution role does not have permissions"):
                        client.put_function_event_invoke_config(**put)


# ---- what people may do to roles

@pytest.fixture
def person(service):
    made = []

    def make(*statements):
        name = fresh_name("person")
        done = service.lamina("user", "add", name, "--policy", policy(*statements), "-o", "json")
        made.append(name)
        keys = json.loads(done.stdout)
        credentials = {"aws_access_key_id": keys["access_key_id"], "aws_secret_access_key": keys["secret_access_key"]}
        make.name = name
        return lambda api: service.client(api, **credentials)

    yield make
    for name in made:
        service.lamina("user", "delete", name, check=False)


def test_people_need_rights_to_roles(service, role, person):
    arn = role()
    name = arn.rsplit("/", 1)[1]
    reader = person(statement("Allow", ["iam:Get*", "iam:List*"], arn))("iam")
    assert reader.get_role(RoleName=name)["Role"]["Arn"] == arn
    for call, action in ((lambda: reader.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(
            statement("Allow", "*", "*"))), "iam:PutRolePolicy"),
                         (lambda: reader.delete_role(RoleName=name), "iam:DeleteRole"),
                         (lambda: reader.create_role(RoleName="mine", AssumeRolePolicyDocument=TRUST), "iam:CreateRole"),
                         (lambda: reader.list_roles(), "iam:ListRoles"),
                         (lambda: reader.list_users(), "iam:ListUsers"),
                         (lambda: reader.get_user(), "iam:GetUser"),
                         (lambda: reader.get_role(RoleName="nobody"), "iam:GetRole")):  # nor what there is
        with refused("AccessDenied", 403, action):
            call()
    for operation in ("attach_role_policy", "detach_role_policy"):
        with refused("AccessDenied", 403, "iam:"):
            getattr(reader, operation)(RoleName=name, PolicyArn=BASIC)


def test_who_am_i_in_iam(service, person):
    me = person(statement("Allow", "iam:GetUser", "*"))("iam")
    assert me.get_user()["User"]["UserName"] == person.name
    assert me.get_user(UserName=person.name)["User"]["Arn"] == "arn:aws:iam::%s:user/%s" % (ACCOUNT, person.name)
    with refused("NoSuchEntity", 404):
        me.get_user(UserName="nobody")
    assert person.name in [one["UserName"] for one in service.client("iam").list_users()["Users"]]


def test_who_deploys_gives_no_rights_that_they_have_not(service, role, person):
    """Otherwise a function would do for its author what the author may not."""
    arn = role(policy(statement("Allow", "lambda:InvokeFunction", "*")))
    secret = ARN + "secret"
    deploy = statement("Allow", ["lambda:CreateFunction", "lambda:UpdateFunctionConfiguration", "lambda:DeleteFunction",
                                 "lambda:GetFunction*"], "*")
    client = person(deploy)("lambda")
    with refused("AccessDeniedException", 403, "iam:PassRole on resource: " + arn):
        client.create_function(**settings(fresh_name("no"), Role=arn))
    with refused("AccessDeniedException", 403, "iam:PassRole"):  # it could be defined tomorrow
        client.create_function(**settings(fresh_name("no")))
    client = person(deploy, statement("Allow", "iam:PassRole", ROLE))("lambda")
    with refused("AccessDeniedException", 403, "iam:PassRole on resource: " + arn):
        client.create_function(**settings(fresh_name("no"), Role=arn))
    for variables, right in (({"NEXT_FUNCTION_NAME": "secret"}, "lambda:InvokeFunction on resource: " + secret),
                             ({"ANY": secret + ":live"}, "lambda:InvokeFunction on resource: %s:live" % secret),
                             ({"MODEL": "s3://models/m"}, "s3:GetObject on resource: arn:aws:s3:::models/*"),
                             ({"ENDPOINT_NAME": "e"}, "sagemaker:InvokeEndpoint on resource:")):
        with refused("AccessDeniedException", 403, right):
            client.create_function(**settings(fresh_name("no"), Environment={"Variables": variables}))
    with function(client, fresh_name("yes")) as made:
        name = made["FunctionName"]
        with refused("AccessDeniedException", 403, "lambda:InvokeFunction"):
            client.update_function_configuration(FunctionName=name, Environment={"Variables": {"X_FUNCTION_NAME": "secret"}})
        with refused("AccessDeniedException", 403, "iam:PassRole"):
            client.update_function_configuration(FunctionName=name, Role=arn)
        client.update_function_configuration(FunctionName=name, Timeout=7)
        assert client.get_function_configuration(FunctionName=name)["Role"] == ROLE
    client = person(deploy, statement("Allow", "iam:PassRole", "*"),
                    statement("Allow", "lambda:InvokeFunction", [secret, secret + ":*"]))("lambda")
    with function(client, fresh_name("yes"), Environment={"Variables": {"NEXT_FUNCTION_NAME": "secret"}}):
        pass


def test_what_is_denied_in_part_is_not_given_whole(service, person):
    """A bucket or a function that the environment names is the function's with all that is in it."""
    deploy = [statement("Allow", "*", "*")]
    for denied, action, variables in (
            ("arn:aws:s3:::models/secret/*", "s3:GetObject", {"MODEL": "s3://models/m"}),
            ("arn:aws:s3:::models/*", "s3:GetObjectVersion", {"BUCKET": "models"}),
            ("arn:aws:s3:::models", "s3:ListBucket", {"BUCKET": "models"}),
            (ARN + "other:prod", "lambda:InvokeFunction", {"FUNCTION_NAME": "other"})):
        client = person(*deploy, statement("Deny", action, denied))("lambda")
        with refused("AccessDeniedException", 403, action + " on resource: "):
            client.create_function(**settings(fresh_name("no"), Environment={"Variables": variables}))
    client = person(statement("Allow", ["lambda:*", "iam:PassRole"], "*"),
                    statement("Allow", "s3:*", ["arn:aws:s3:::models", "arn:aws:s3:::models/?"]))("lambda")
    with refused("AccessDeniedException", 403, "s3:GetObject on resource: "):
        client.create_function(**settings(fresh_name("no"), Environment={"Variables": {"BUCKET": "models"}}))


def test_another_spelling_of_a_role_is_another_role(service, role, person):
    """Otherwise who is denied a role would pass it all the same, and a role in use could be deleted."""
    arn = role(policy(statement("Allow", "lambda:InvokeFunction", "*")))
    other = arn.replace("arn:aws:", "arn:aws-cn:")
    client = person(statement("Allow", "*", "*"), statement("Deny", "iam:PassRole", arn),
                    statement("Deny", "lambda:InvokeFunction", ARN + "secret"))("lambda")
    with refused("AccessDeniedException", 403, "lambda:InvokeFunction on resource"):  # nobody defined that one
        client.create_function(**settings(fresh_name("no"), Role=other,
                                          Environment={"Variables": {"FUNCTION_NAME": "secret"}}))


def naming(client, digest):
    """The client, which names this package in the place of the code that it was given: boto3 does not know the member."""
    def change(params, **_):
        body = json.loads(params["body"])
        body["Code" if "Code" in body else "Content"] = {"LaminaPackage": digest}
        params["body"] = json.dumps(body).encode()

    for operation in ("CreateFunction", "PublishLayerVersion"):
        client.meta.events.register("before-call.lambda." + operation, change)
    return client


def test_a_package_is_taken_only_by_who_may_read_it(service, person):
    """LaminaPackage names bytes that are in the store already, and CodeSha256 says their name to whoever lists."""
    deploy = statement("Allow", ["lambda:CreateFunction", "lambda:DeleteFunction", "lambda:PublishLayerVersion", "iam:PassRole"],
                       "*")
    with function(service.client("lambda"), fresh_name("of-others")) as made:
        digest = base64.b64decode(made["CodeSha256"]).hex()
        right = "lambda:GetFunction on resource: " + ARN + made["FunctionName"]
        client = naming(person(deploy)("lambda"), digest)
        with refused("AccessDeniedException", 403, right):
            client.create_function(**settings(fresh_name("no")))
        with refused("AccessDeniedException", 403, right):
            client.publish_layer_version(LayerName=fresh_name("no"), Content={"ZipFile": b""})
        client = naming(person(deploy, statement("Allow", "lambda:GetFunction*", "*"))("lambda"), digest)
        with function(client, fresh_name("yes")) as copy:
            assert copy["CodeSha256"] == made["CodeSha256"]
