# SPDX-License-Identifier: MIT
"""People with access keys of their own: each may do what its policy allows, and nothing else."""
import json
import threading

import pytest
from lambda_function import zip_of
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
FUNCTION = "arn:aws:lambda:us-east-1:%s:function:" % ACCOUNT


def statement(effect, action, resource):
    return {"Effect": effect, "Action": action, "Resource": resource}


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.fixture(scope="module")
def hello(service, build):
    for name in ("public-a", "private-b"):
        service.lamina("deploy", build / "examples" / "hello-c", "--name", name)
    service.client("lambda").publish_version(FunctionName="public-a")
    return service


@pytest.fixture
def person(hello):
    """person(name, policy): a boto3 client maker with that user's key; the user is removed afterwards."""
    made = []

    def make(name, document):
        done = hello.lamina("user", "add", name, "--policy", json.dumps(document), "-o", "json")
        made.append(name)
        keys = json.loads(done.stdout)
        credentials = {"aws_access_key_id": keys["access_key_id"], "aws_secret_access_key": keys["secret_access_key"]}
        return lambda api="lambda": hello.client(api, **credentials)

    yield make
    for name in made:
        hello.lamina("user", "delete", name, check=False)


def denied(call, *parts):
    with pytest.raises(ClientError) as refused:
        call()
    error = refused.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDeniedException", 403)
    for part in parts:
        assert part in error["Error"]["Message"]


def invoke(client, name, **more):
    answer = client.invoke(FunctionName=name, Payload=b'"x"', **more)
    assert "FunctionError" not in answer
    return json.load(answer["Payload"])


def test_one_who_may_invoke_some_functions(person):
    ann = person("ann", policy(statement("Allow", "lambda:InvokeFunction",
                                         [FUNCTION + "public-*", FUNCTION + "public-*:*"])))()
    for name in ("public-a", FUNCTION + "public-a", "public-a:1", ACCOUNT + ":function:public-a"):
        assert invoke(ann, name) == {"hello": "x"}
    assert invoke(ann, "public-a", Qualifier="$LATEST") == {"hello": "x"}
    denied(lambda: invoke(ann, "private-b"), "User: arn:aws:iam::%s:user/ann is not authorized to perform: "
           "lambda:InvokeFunction on resource: %sprivate-b because no identity-based policy allows" % (ACCOUNT, FUNCTION))
    denied(lambda: invoke(ann, "nobody"), "nobody")  # nor does it learn what exists
    denied(ann.list_functions, "lambda:ListFunctions on resource: *")
    denied(lambda: ann.get_function(FunctionName="public-a"), "lambda:GetFunction")
    denied(lambda: ann.delete_function(FunctionName="public-a"), "lambda:DeleteFunction")
    denied(lambda: ann.update_function_configuration(FunctionName="public-a", Timeout=5))
    denied(lambda: ann.update_function_code(FunctionName="public-a", ZipFile=b"PK"))
    denied(lambda: ann.create_function(FunctionName="mine", Runtime="provided", Handler="a", Code={"ZipFile": b"PK"},
                                       Role="arn:aws:iam::%s:role/r" % ACCOUNT), "lambda:CreateFunction on resource: %smine" % FUNCTION)
    denied(lambda: ann.list_tags(Resource=FUNCTION + "public-a"), "lambda:ListTags on resource: %spublic-a" % FUNCTION)
    denied(lambda: ann.add_permission(FunctionName="public-a", StatementId="s", Action="lambda:InvokeFunction",
                                      Principal="*"), "lambda:AddPermission")


def forbidden(answer):
    """A signed request by hand was refused for want of a right."""
    status, headers, body = answer
    assert (status, headers.get("x-amzn-errortype")) == (403, "AccessDeniedException"), body


def by_hand(service, client, method, path, body=b"", headers=None):
    """(status, headers, body) of a request that boto3 would not make, with the client's key."""
    import http.client
    import urllib.parse
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    keys = client._request_signer._credentials  # pylint: disable=protected-access
    request = AWSRequest(method, service.endpoint + path, data=body, headers=dict(headers or {}))
    SigV4Auth(keys, "lambda", "us-east-1").add_auth(request)
    place = urllib.parse.urlsplit(service.endpoint)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
    try:
        connection.request(method, path, body=body, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_qualifier_is_no_way_around_a_denial(person, hello):
    """Whether the operation ignores the qualifier or not: what is denied for the function is denied."""
    pam = person("pam", policy(statement("Allow", ["lambda:*", "lamina:*"], "*"),
                               statement("Deny", ["lambda:Update*", "lambda:Put*", "lambda:Delete*", "lambda:PublishVersion",
                                                  "lambda:*Alias", "lamina:*"], FUNCTION + "public-a")))()
    for name in ("public-a", "public-a:$LATEST", FUNCTION + "public-a:$LATEST"):
        denied(lambda: pam.update_function_code(FunctionName=name, ZipFile=b"PK"), "lambda:UpdateFunctionCode",
               "on resource: %spublic-a with an explicit deny" % FUNCTION)
        denied(lambda: pam.update_function_configuration(FunctionName=name, Timeout=5), "with an explicit deny")
        denied(lambda: pam.publish_version(FunctionName=name), "with an explicit deny")
    denied(lambda: pam.delete_function(FunctionName="public-a", Qualifier="1"), "public-a:1 with an explicit deny")
    denied(lambda: pam.delete_function(FunctionName="public-a:1"), "with an explicit deny")
    denied(lambda: pam.put_function_event_invoke_config(FunctionName="public-a", Qualifier="1", MaximumRetryAttempts=0))
    for query in ("", "?Qualifier=zzz", "?Qualifier=1"):
        forbidden(by_hand(hello, pam, "DELETE", "/2017-10-31/functions/public-a/concurrency" + query))
        forbidden(by_hand(hello, pam, "PUT", "/2017-10-31/functions/public-a/concurrency" + query,
                          b'{"ReservedConcurrentExecutions": 1}'))
        forbidden(by_hand(hello, pam, "POST", "/2015-03-31/functions/public-a/aliases" + query,
                          b'{"Name": "prod", "FunctionVersion": "1"}'))
        forbidden(by_hand(hello, pam, "POST", "/lamina/v1/functions/public-a/stop" + query))
        forbidden(by_hand(hello, pam, "GET", "/lamina/v1/functions/public-a/logs" + query))
        forbidden(by_hand(hello, pam, "DELETE", "/lamina/v1/functions/public-a/dead-letters" + query))
    assert invoke(pam, "public-a:1") == {"hello": "x"}  # what is not denied


def test_a_right_to_one_alias_is_none_to_the_function(person, hello):
    owner = hello.client("lambda")
    for alias in ("dev", "prod"):
        owner.create_alias(FunctionName="public-a", Name=alias, FunctionVersion="1")
    try:
        quin = person("quin", policy(statement("Allow", "lambda:*", FUNCTION + "public-a:dev")))()
        assert invoke(quin, "public-a:dev") == invoke(quin, "public-a", Qualifier="dev") == {"hello": "x"}
        denied(lambda: invoke(quin, "public-a:prod"), "public-a:prod")
        denied(lambda: invoke(quin, "public-a"))
        for method, path, body in (("PUT", "aliases/prod", b'{"FunctionVersion": "$LATEST"}'), ("DELETE", "aliases/prod", b""),
                                   ("GET", "aliases", b""), ("GET", "versions", b""), ("GET", "event-invoke-config/list", b""),
                                   ("POST", "versions", b"{}"), ("PUT", "configuration", b'{"Timeout": 9}')):
            day = "2019-09-25" if path.startswith("event") else "2015-03-31"
            forbidden(by_hand(hello, quin, method, "/%s/functions/public-a/%s?Qualifier=dev" % (day, path), body))
        assert owner.get_alias(FunctionName="public-a", Name="prod")["FunctionVersion"] == "1"
    finally:
        for alias in ("dev", "prod"):
            owner.delete_alias(FunctionName="public-a", Name=alias)


def test_a_destination_needs_the_right_to_call_it(person, hello):
    """The service calls destinations, so whoever names one must have the right to call it."""
    owner = hello.client("lambda")
    rex = person("rex", policy(statement("Allow", "lambda:*", [FUNCTION + "public-*"])))()

    def destinations(**sides):
        return {"DestinationConfig": {side: {"Destination": arn} for side, arn in sides.items()}}

    try:
        for arn in (FUNCTION + "private-b", FUNCTION + "private-b:$LATEST", FUNCTION.replace("aws", "aws-x") + "private-b"):
            for side in ("OnSuccess", "OnFailure"):
                denied(lambda: rex.put_function_event_invoke_config(FunctionName="public-a", **destinations(**{side: arn})),
                       "lambda:InvokeFunction on resource: %sprivate-b" % FUNCTION)
        rex.put_function_event_invoke_config(FunctionName="public-a", **destinations(OnSuccess=FUNCTION + "public-a"))
        denied(lambda: rex.update_function_event_invoke_config(FunctionName="public-a",
                                                               **destinations(OnFailure=FUNCTION + "private-b")),
               "lambda:InvokeFunction")
        owner.put_function_event_invoke_config(FunctionName="public-a", **destinations(OnFailure=FUNCTION + "private-b"))
        kept = rex.update_function_event_invoke_config(FunctionName="public-a", MaximumRetryAttempts=1)
        assert kept["DestinationConfig"]["OnFailure"]["Destination"] == FUNCTION + "private-b"  # named by another
    finally:
        owner.delete_function_event_invoke_config(FunctionName="public-a")


def test_tags_are_denied_however_the_function_is_spelled(person):
    sue = person("sue", policy(statement("Allow", "lambda:*", "*"), statement("Deny", "lambda:*Tag*", FUNCTION + "private-b")))()
    for arn in (FUNCTION + "private-b", FUNCTION.replace("aws", "aws-x") + "private-b", FUNCTION + "private-b:$LATEST"):
        denied(lambda: sue.list_tags(Resource=arn), "lambda:ListTags on resource: %sprivate-b with" % FUNCTION)
        denied(lambda: sue.tag_resource(Resource=arn, Tags={"a": "b"}), "explicit deny")
        denied(lambda: sue.untag_resource(Resource=arn, TagKeys=["a"]), "explicit deny")
    assert sue.list_tags(Resource=FUNCTION + "public-a")["Tags"] == {}


def test_a_large_body_waits_for_proof_and_rights(person, hello):
    """Refused at the head: what follows it is never taken to the disk."""
    import hashlib
    from raw_http import Connection, request_bytes, signed_headers

    data = b"a package"
    digest = hashlib.sha256(data).hexdigest()
    tom = person("tom", policy(statement("Allow", "lambda:InvokeFunction", "*")))()
    keys = tom._request_signer._credentials  # pylint: disable=protected-access

    def head_only(path, **how):
        """The answer to a head that promises a body, of which nothing is sent."""
        with Connection(hello.endpoint) as connection:
            connection.send(request_bytes("PUT", path, signed_headers(hello, "PUT", path, body=data, **how)))
            answer = connection.answer("PUT")
            return answer.status, answer.headers.get("x-amzn-errortype")

    his = {"key": keys.access_key, "secret": keys.secret_key}
    package = "/lamina/v1/packages/" + digest
    assert head_only(package, **his) == (403, "AccessDeniedException")
    assert head_only("/2015-03-31/functions/public-a/code", **his) == (403, "AccessDeniedException")
    assert head_only(package, names_hash=False) == (400, "InvalidParameterValueException")
    assert head_only("/lamina/v1/packages/" + "0" * 64) == (400, "InvalidParameterValueException")
    assert head_only(package, secret="x" * 40) == (403, "InvalidSignatureException")
    assert by_hand(hello, hello.client("lambda"), "PUT", package, data, {"X-Amz-Content-SHA256": digest})[0] == 201


def rows_of_users(service, count):
    """Puts that many users straight into the registry of a service that is stopped."""
    import sqlite3

    database = sqlite3.connect(service.data_dir / "registry.db")
    with database:
        for i in range(count):
            row = {"access_key_id": "AKIA%016d" % i, "secret_access_key": "s" * 40, "created_ms": 1,
                   "policy": json.dumps(policy(statement("Allow", "lambda:*", "*")))}
            database.execute("INSERT INTO registry VALUES ('user', ?, ?, 1)", ("u%04d" % i, json.dumps(row).encode()))
    database.close()


def test_users_that_come_at_once_share_the_last_place(fresh_service):
    fresh_service.stop()
    rows_of_users(fresh_service, 999)
    fresh_service.start()
    owner, answers = fresh_service.client("lambda"), []
    document = json.dumps({"Policy": policy(statement("Allow", "lambda:*", "*"))}).encode()
    together = threading.Barrier(16)

    def add(i):
        together.wait()
        answers.append(by_hand(fresh_service, owner, "PUT", "/lamina/v1/users/x%d" % i, document)[0])

    threads = [threading.Thread(target=add, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] + 15 * [400]
    fresh_service.stop()
    fresh_service.start()
    assert len(json.loads(fresh_service.lamina("user", "list", "-o", "json").stdout)["users"]) == 1000


def test_too_many_users_keep_no_service_from_starting(fresh_service):
    fresh_service.stop()
    rows_of_users(fresh_service, 1002)
    fresh_service.start()
    users = json.loads(fresh_service.lamina("user", "list", "-o", "json").stdout)["users"]
    assert [user["name"] for user in users] == ["u%04d" % i for i in range(1000)]
    assert fresh_service.log().count("api.user_skipped") == 2


def test_who_am_i(person, hello):
    bob = person("bob", policy(statement("Deny", "*", "*")))
    identity = bob("sts").get_caller_identity()  # needs no right, whatever a policy denies
    assert (identity["Arn"], identity["Account"]) == ("arn:aws:iam::%s:user/bob" % ACCOUNT, ACCOUNT)
    assert hello.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::%s:root" % ACCOUNT


def test_a_denial_wins(person):
    carl = person("carl", policy(statement("Allow", "lambda:*", "*"),
                                 statement("Deny", ["lambda:Delete*", "lambda:Update*"], FUNCTION + "public-a")))()
    assert {f["FunctionName"] for f in carl.list_functions()["Functions"]} >= {"public-a", "private-b"}
    assert carl.get_function(FunctionName="public-a")["Configuration"]["FunctionName"] == "public-a"
    denied(lambda: carl.delete_function(FunctionName="public-a"), "with an explicit deny")
    denied(lambda: carl.delete_function(FunctionName=FUNCTION + "public-a"), "with an explicit deny")
    assert invoke(carl, "private-b") == {"hello": "x"}


def test_laminas_own_operations_are_rights_too(person, hello, build):
    dora = person("dora", policy(statement("Allow", ["lambda:*"], "*")))()
    keys = dora._request_signer._credentials  # pylint: disable=protected-access
    env = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key, "LAMINA_DATA_DIR": "/nowhere"}
    for verb in (("ps",), ("status",), ("user", "list"), ("user", "add", "eve", "--invoke", "*"), ("user", "delete", "dora"),
                 ("logs", "public-a")):
        done = hello.lamina(*verb, env=env, check=False)
        assert done.returncode == 1, verb
        assert "not authorized to perform: lamina:" in done.stderr, (verb, done.stderr)
    assert "public-a" in hello.lamina("list", env=env).stdout


def test_the_short_form_for_those_who_only_call(hello):
    done = hello.lamina("user", "add", "fay", "--invoke", "public-*")
    assert done.stdout.startswith("[fay]\naws_access_key_id = AKIA")
    lines = dict(line.split(" = ") for line in done.stdout.splitlines()[1:])
    fay = hello.client("lambda", **lines)
    assert invoke(fay, "public-a") == invoke(fay, "public-a:1") == {"hello": "x"}
    denied(lambda: invoke(fay, "private-b"))
    assert "fay" in hello.lamina("user", "list").stdout
    assert lines["aws_secret_access_key"] not in hello.lamina("user", "list", "-o", "json").stdout
    hello.lamina("user", "delete", "fay")
    with pytest.raises(ClientError) as refused:
        invoke(fay, "public-a")
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_another_policy_for_the_same_key(person, hello):
    gus = person("gus", policy(statement("Allow", "lambda:InvokeFunction", "*")))()
    assert invoke(gus, "private-b") == {"hello": "x"}
    again = hello.lamina("user", "add", "gus", "--policy", json.dumps(policy(statement("Deny", "*", "*"))), "-o", "json")
    assert json.loads(again.stdout) == {"name": "gus"}  # no second secret
    denied(lambda: invoke(gus, "private-b"), "with an explicit deny")


def test_one_who_may_deploy(person, hello, build):
    """The rights that docs/users.md names for `lamina deploy`."""
    lambdas = ["GetFunction", "GetFunctionConfiguration", "CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration"]
    ola = person("ola", policy(statement("Allow", ["lambda:" + name for name in lambdas], FUNCTION + "olas-*"),
                               statement("Allow", "iam:PassRole", "arn:aws:iam::%s:role/lamina" % ACCOUNT),
                               statement("Allow", "lamina:Status", "*")))()
    keys = ola._request_signer._credentials  # pylint: disable=protected-access
    env = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key, "LAMINA_DATA_DIR": "/nowhere"}
    for timeout in ("7", "8"):  # made, then updated
        hello.lamina("deploy", build / "examples" / "hello-c", "--name", "olas-one", "--timeout", timeout, env=env)
    assert ola.get_function_configuration(FunctionName="olas-one")["Timeout"] == 8
    denied(lambda: invoke(ola, "olas-one"), "lambda:InvokeFunction")
    done = hello.lamina("deploy", build / "examples" / "hello-c", "--name", "others", env=env, check=False)
    assert (done.returncode, "is not authorized to perform" in done.stderr) == (1, True)
    hello.client("lambda").delete_function(FunctionName="olas-one")


def test_a_key_needs_its_own_secret(person, hello):
    hal = person("hal", policy(statement("Allow", "*", "*")))()
    keys = hal._request_signer._credentials  # pylint: disable=protected-access
    forged = hello.client("lambda", aws_access_key_id=keys.access_key,
                          aws_secret_access_key=hello.credentials["aws_secret_access_key"])
    with pytest.raises(ClientError) as refused:
        forged.list_functions()
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    with_token = hello.client("lambda", aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key,
                              aws_session_token="anything")
    with pytest.raises(ClientError) as refused:
        with_token.list_functions()
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_a_users_presigned_url_is_no_way_around(person, hello):
    """Code.Location's URLs are the service's own to sign: a user without lambda:GetFunction cannot make one."""
    import urllib.error
    import urllib.request
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    location = hello.client("lambda").get_function(FunctionName="public-a")["Code"]["Location"]
    ivy = person("ivy", policy(statement("Allow", "lambda:InvokeFunction", "*")))()
    keys = ivy._request_signer._credentials  # pylint: disable=protected-access
    request = AWSRequest("GET", location.split("?")[0])
    SigV4QueryAuth(Credentials(keys.access_key, keys.secret_key), "lambda", "us-east-1", expires=300).add_auth(request)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(location, timeout=240) as whole:
        assert whole.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(request.url, timeout=240)
    assert refused.value.code == 403


@pytest.fixture
def iam_url(hello):
    """call(keys, how): status and body of a GET of public-a's URL of AuthType AWS_IAM, signed in that way."""
    import urllib.error
    import urllib.request
    from botocore import auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    owner = hello.client("lambda")
    url_id = owner.create_function_url_config(FunctionName="public-a", AuthType="AWS_IAM")["FunctionUrl"].split("//")[1].split(".")[0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ways = {"header": auth.SigV4Auth, "query": auth.SigV4QueryAuth, "unsigned payload": auth.S3SigV4QueryAuth,
            "version 2": auth.HmacV1QueryAuth}

    def call(keys, how="header", method="GET", data=None, tamper="", **more):
        request = AWSRequest(method, "%s/_lamina/url/%s/" % (hello.endpoint, url_id), data=data)
        credentials = Credentials(*keys)
        way = ways[how](credentials, expires=300) if how == "version 2" else ways[how](credentials, "lambda", "us-east-1")
        way.add_auth(request)
        prepared = urllib.request.Request(request.url + tamper, headers=dict(request.headers), method=method, data=data)
        try:
            with opener.open(prepared, timeout=240) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    yield call
    owner.delete_function_url_config(FunctionName="public-a")


def keys_of(client):
    keys = client._request_signer._credentials  # pylint: disable=protected-access
    return keys.access_key, keys.secret_key


def test_a_url_for_iam_takes_people_who_may(person, hello, iam_url):
    own = (hello.credentials["aws_access_key_id"], hello.credentials["aws_secret_access_key"])
    may = keys_of(person("nel", policy(statement("Allow", "lambda:InvokeFunctionUrl", FUNCTION + "public-a")))())
    others = {
        "no such right": keys_of(person("nob", policy(statement("Allow", ["lambda:InvokeFunction", "lambda:Get*"], "*")))()),
        "another function's": keys_of(person("non", policy(statement("Allow", "lambda:InvokeFunctionUrl", FUNCTION + "private-b")))()),
        "denied": keys_of(person("nix", policy(statement("Allow", "*", "*"), statement("Deny", "lambda:InvokeFunctionUrl", "*")))()),
        "another's secret": (may[0], own[1]),
        "nobody's": ("AKIAAAAAAAAAAAAAAAAA", "x" * 40),
    }
    for how in ("header", "query", "unsigned payload"):
        for keys in (own, may):
            assert iam_url(keys, how)[0] == 200, how
            assert iam_url(keys, how, tamper="&more=1" if "X-Amz" in how or how != "header" else "?more=1")[0] == 403, how
        for what, keys in others.items():
            assert iam_url(keys, how)[0] == 403, (how, what)
    assert iam_url(may, "header", "POST", b"{}")[0] == 200
    status, body = iam_url(may, "query", "POST", b"{}")
    assert (status, b"sign it in the header" in body) == (403, True)
    status, body = iam_url(may, "version 2")
    assert status in (400, 403) and b"version 4" in body
    assert hello.lamina("user", "delete", "nel").returncode == 0
    assert iam_url(may)[0] == 403


def test_the_function_is_told_who_called_its_url(person, hello, iam_url):
    from lambda_function import fresh_name, function

    owner = hello.client("lambda")
    name = fresh_name("told")
    with function(owner, name):
        url = owner.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"]
        import http.client
        import urllib.parse
        from botocore import auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        keys = keys_of(person("pat", policy(statement("Allow", "lambda:*", "*")))())
        place = urllib.parse.urlsplit(hello.endpoint)
        for way in (auth.SigV4Auth, auth.SigV4QueryAuth):
            path = "/_lamina/url/%s/" % url.split("//")[1].split(".")[0]
            request = AWSRequest("GET", hello.endpoint + path)
            way(Credentials(*keys), "lambda", "us-east-1").add_auth(request)
            connection = http.client.HTTPConnection(place.hostname, place.port, timeout=240)
            connection.request("GET", request.url.split(place.netloc, 1)[1], headers=dict(request.headers.items()))
            event = json.load(connection.getresponse())["event"]
            iam = event["requestContext"]["authorizer"]["iam"]
            assert (iam["accessKey"], iam["userArn"]) == (keys[0], "arn:aws:iam::%s:user/pat" % ACCOUNT)
            assert iam["userId"] == iam["callerId"] == keys[0]
            assert "Signature" not in json.dumps(event).replace("x-amz-", "")


def test_what_cannot_be_a_user_is_refused(hello):
    for name in ("a b", "a/b", "x" * 65, "\u00fc"):
        done = hello.lamina("user", "add", name, "--invoke", "*", check=False)
        assert (done.returncode, "A user's name must have" in done.stderr) == (1, True), name
    for document, part in (("{", "JSON"), ("{}", "1 to 100 statements"),
                           (json.dumps(policy({**statement("Allow", "*", "*"), "Condition": {}})), "Condition is not supported")):
        done = hello.lamina("user", "add", "jim", "--policy", document, check=False)
        assert (done.returncode, part in done.stderr) == (1, True), done.stderr
    assert "jim" not in hello.lamina("user", "list").stdout
    done = hello.lamina("user", "delete", "jim", check=False)
    assert (done.returncode, "no user 'jim'" in done.stderr) == (1, True)
    assert hello.lamina("user", "add", "jim", check=False).returncode != 0
    assert hello.lamina("user", "rename", "jim", check=False).returncode != 0


def test_two_at_once_leave_one_key(hello):
    """Whoever comes second, one user with one key is left, and every other key is refused."""
    answers = []

    def add():
        done = hello.lamina("user", "add", "kim", "--invoke", "*", "-o", "json")
        answers.append(json.loads(done.stdout))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [kept] = [user for user in json.loads(hello.lamina("user", "list", "-o", "json").stdout)["users"] if user["name"] == "kim"]
    for answer in answers:
        if "access_key_id" not in answer:
            continue
        client = hello.client("lambda", aws_access_key_id=answer["access_key_id"],
                              aws_secret_access_key=answer["secret_access_key"])
        if answer["access_key_id"] == kept["access_key_id"]:
            assert invoke(client, "public-a") == {"hello": "x"}
        else:
            with pytest.raises(ClientError) as refused:
                invoke(client, "public-a")
            assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"
    hello.lamina("user", "delete", "kim")


def test_users_outlive_a_restart(fresh_service, build):
    fresh_service.lamina("deploy", build / "examples" / "hello-c", "--name", "public-a")
    keys = json.loads(fresh_service.lamina("user", "add", "lea", "--invoke", "public-*", "-o", "json").stdout)
    fresh_service.lamina("user", "add", "max", "--invoke", "*")
    fresh_service.lamina("user", "delete", "max")
    fresh_service.stop()
    fresh_service.start()
    lea = fresh_service.client("lambda", aws_access_key_id=keys["access_key_id"],
                               aws_secret_access_key=keys["secret_access_key"])
    assert invoke(lea, "public-a") == {"hello": "x"}
    denied(lea.list_functions)
    assert [user["name"] for user in json.loads(fresh_service.lamina("user", "list", "-o", "json").stdout)["users"]] == ["lea"]
    assert keys["secret_access_key"] not in fresh_service.log()


# ---- Layers

LAYER = "arn:aws:lambda:us-east-1:%s:layer:" % ACCOUNT


def test_who_may_do_what_with_layers(hello, person):
    """Publishing is a right to the layer, reading to the version, however a request spells it; and a function's layers
    are read by whoever names them."""
    zipped = zip_of({"a": "1"})
    root = hello.client("lambda")
    for name in ("open-l", "closed-l"):
        for _ in range(2):
            root.publish_layer_version(LayerName=name, Content={"ZipFile": zipped})
    eve = person("eve", policy(
        statement("Allow", "lambda:PublishLayerVersion", LAYER + "open-*"),
        statement("Allow", "lambda:GetLayerVersion", LAYER + "open-*"),
        statement("Deny", "lambda:GetLayerVersion", LAYER + "open-l:2"),
        statement("Allow", ["lambda:UpdateFunctionConfiguration", "iam:PassRole"], "*")))()
    assert eve.publish_layer_version(LayerName="open-l", Content={"ZipFile": zipped})["Version"] == 3
    denied(lambda: eve.publish_layer_version(LayerName="closed-l", Content={"ZipFile": zipped}),
           "lambda:PublishLayerVersion on resource: " + LAYER + "closed-l")
    assert eve.get_layer_version(LayerName="open-l", VersionNumber=1)["Version"] == 1
    assert eve.get_layer_version(LayerName=LAYER + "open-l", VersionNumber=1)["Version"] == 1
    denied(lambda: eve.get_layer_version(LayerName="open-l", VersionNumber=2), LAYER + "open-l:2", "explicit deny")
    denied(lambda: eve.get_layer_version(LayerName=LAYER + "open-l", VersionNumber=2), "explicit deny")
    denied(lambda: eve.get_layer_version_by_arn(Arn=LAYER + "open-l:2"), "explicit deny")
    denied(lambda: eve.get_layer_version_by_arn(Arn=LAYER + "open-l:002"), "explicit deny")
    denied(lambda: eve.get_layer_version(LayerName="closed-l", VersionNumber=1), LAYER + "closed-l:1")
    denied(lambda: eve.delete_layer_version(LayerName="open-l", VersionNumber=1), "lambda:DeleteLayerVersion")
    denied(lambda: eve.add_layer_version_permission(LayerName="open-l", VersionNumber=1, StatementId="s", Principal="*",
                                                    Action="lambda:GetLayerVersion"), "lambda:AddLayerVersionPermission")
    denied(eve.list_layers, "lambda:ListLayers on resource: *")
    for arn in (LAYER + "open-l:2", LAYER + "closed-l:1"):
        denied(lambda: eve.update_function_configuration(FunctionName="private-b", Layers=[arn]),
               "lambda:GetLayerVersion on resource: " + arn)
    eve.update_function_configuration(FunctionName="private-b", Layers=[LAYER + "open-l:1"])
    root.update_function_configuration(FunctionName="private-b", Layers=[])
