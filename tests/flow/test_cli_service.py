# SPDX-License-Identifier: MIT
"""Every verb of the command line against a real service: what it prints, as a table and as JSON, and its exit
status."""

import json
import os
import re
import signal
import subprocess
import zipfile

import pytest

from lamina_service import DEADLINE_S, wait_for

# A function in shell: answers with its event, or does what the event says.
BOOTSTRAP = r"""#!/bin/bash
api="${AWS_LAMBDA_RUNTIME_API}"
ask() { # method path body-file -> stdout: the answer's head and body
    exec 3<>"/dev/tcp/${api%:*}/${api#*:}" || exit 1
    {
        printf '%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' "$1" "$2"
        [ -z "$3" ] || printf 'Content-Length: %s\r\n' "$(wc -c <"$3")"
        printf '\r\n'
        [ -z "$3" ] || cat "$3"
    } >&3
    cat <&3
    exec 3>&-
}
while :; do
    ask GET /2018-06-01/runtime/invocation/next "" >/tmp/next
    id=$(tr -d '\r' </tmp/next | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
    sed '1,/^\r$/d' /tmp/next >/tmp/event
    case $(cat /tmp/event) in
    *'"fail"'*)
        printf '{"errorType":"Mine","errorMessage":"as asked"}' >/tmp/body
        ask POST "/2018-06-01/runtime/invocation/$id/error" /tmp/body >/tmp/done ;;
    *'"die"'*) exit 7 ;;
    *)
        case $(cat /tmp/event) in
        *'"say"'*) printf 'red \033[31m bell \007 over\rwritten\n' ;;
        *'"env"'*) printf '{"GREETING":"%s"}' "$GREETING" >/tmp/event ;;
        esac
        ask POST "/2018-06-01/runtime/invocation/$id/response" /tmp/event >/tmp/done ;;
    esac
done
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A directory that can be deployed."""
    root = tmp_path_factory.mktemp("code") / "echo"
    root.mkdir()
    (root / "bootstrap").write_text(BOOTSTRAP)
    (root / "bootstrap").chmod(0o755)
    return root


@pytest.fixture(scope="module")
def echo(service, code):
    """The name of a deployed function."""
    service.lamina("deploy", code, "--name", "echo", "--timeout", "60", "--memory", "256")
    return "echo"


def test_deploy_creates_then_updates_then_leaves_alone(service, code, tmp_path):
    first = service.lamina("deploy", code, "--name", "cycle", "-o", "json")
    told = json.loads(first.stdout)
    assert told["schema"] == 1 and told["name"] == "cycle" and told["action"] == "created"
    assert told["state"] == "Active" and told["strategy"] == "package" and told["handler"] == "bootstrap"
    assert told["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:cycle"

    again = json.loads(service.lamina("deploy", code, "--name", "cycle", "-o", "json").stdout)
    assert again["action"] == "unchanged" and again["zip_sha256"] == told["zip_sha256"]

    more = json.loads(service.lamina("deploy", code, "--name", "cycle", "--memory", "512", "-o", "json").stdout)
    assert more["action"] == "updated" and more["memory_mb"] == 512

    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "bootstrap").write_text(BOOTSTRAP + "# changed\n")
    (changed / "bootstrap").chmod(0o755)
    new = json.loads(service.lamina("deploy", changed, "--name", "cycle", "-o", "json").stdout)
    assert new["action"] == "updated" and new["zip_sha256"] != told["zip_sha256"]
    assert new["memory_mb"] == 512, "settings that were not said stay"
    client = service.client("lambda")
    assert client.get_function_configuration(FunctionName="cycle")["MemorySize"] == 512
    table = service.lamina("deploy", code, "--name", "cycle")
    assert re.match(r"cycle updated \(.* zipped, .* unzipped, 512 MB of memory\) in [0-9.]+ s\n", table.stdout)


def test_deploy_takes_a_zip_and_names_it_by_its_file(service, code, tmp_path):
    with zipfile.ZipFile(tmp_path / "from.zip.zip", "w") as archive:
        info = zipfile.ZipInfo("bootstrap")
        info.external_attr = 0o100755 << 16
        archive.writestr(info, BOOTSTRAP)
    told = json.loads(service.lamina("deploy", tmp_path / "from.zip.zip", "-o", "json").stdout)
    assert told["name"] == "from-zip"
    assert service.lamina("invoke", "from-zip", "-e", '{"a": 1}', "-q").stdout == '{"a": 1}'


def test_deploy_passes_variables_and_replaces_them(service, code):
    service.lamina("deploy", code, "--name", "vars", "--env", "GREETING=hello = there", "--env", "OTHER=1")
    assert json.loads(service.lamina("invoke", "vars", "-e", '{"do":"env"}', "-q").stdout) == {"GREETING": "hello = there"}
    service.lamina("deploy", code, "--name", "vars", "--env", "GREETING=")
    assert json.loads(service.lamina("invoke", "vars", "-e", '{"do":"env"}', "-q").stdout) == {"GREETING": ""}
    got = service.client("lambda").get_function_configuration(FunctionName="vars")
    assert got["Environment"]["Variables"] == {"GREETING": ""}


def test_a_dry_run_changes_nothing(service, code):
    told = json.loads(service.lamina("deploy", code, "--name", "never", "--dry-run", "-o", "json").stdout)
    assert told["action"] == "would be created"
    done = service.lamina("describe", "never", check=False)
    assert done.returncode == 1 and "ResourceNotFoundException" in done.stderr


@pytest.mark.parametrize("name", ["with space", "sla/sh", "ünïcode", "dot.ted", "a" * 64 + "!"[:0] + "\x1b"])
def test_names_that_aws_refuses_are_refused(service, code, name):
    done = service.lamina("deploy", code, "--name", name, check=False)
    assert done.returncode == 1
    assert done.stdout == "" and "\x1b" not in done.stderr


def test_invoke_gives_the_payload_byte_for_byte(service, echo, tmp_path):
    event = '{ "text" : "grüße \\u0000", "n":1e2 }'
    (tmp_path / "event.json").write_text(event)
    for arguments, options in ((["-e", tmp_path / "event.json"], {}), (["-e", "-"], {"input": event}), (["-e", event], {})):
        done = service.lamina("invoke", echo, *arguments, **options)
        assert done.stdout == event
        assert re.search(r"^REPORT RequestId: \S+\tDuration: ", done.stderr, re.M)
    assert service.lamina("invoke", echo, "-q").stderr == ""
    assert service.lamina("invoke", echo, "-q").stdout == "{}"


def test_invoke_as_json(service, echo):
    told = json.loads(service.lamina("invoke", echo, "-e", '{"a":[1,2.5]}', "-o", "json").stdout)
    assert told["status"] == 200 and told["function_error"] is None and told["executed_version"] == "$LATEST"
    assert told["payload"] == {"a": [1, 2.5]}
    assert "REPORT RequestId: " in told["log_tail"]
    assert told["total_ms"] > 0


def test_the_largest_event_and_answer(service, echo):
    """6 MB to the byte."""
    event = json.dumps({"a": "x" * (6291456 - 9)})
    assert len(event) == 6291456
    assert service.lamina("invoke", echo, "-e", "-", "-q", input=event).stdout == event


def test_a_function_that_reports_an_error_is_exit_3(service, echo):
    done = service.lamina("invoke", echo, "-e", '{"do":"fail"}', check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout) == {"errorType": "Mine", "errorMessage": "as asked"}
    assert "the function reported an error (Unhandled)" in done.stderr
    told = service.lamina("invoke", echo, "-e", '{"do":"fail"}', "-o", "json", check=False)
    assert told.returncode == 3
    assert json.loads(told.stdout)["function_error"] == "Unhandled"


def test_a_function_that_dies_is_exit_3_and_the_next_call_works(service, echo):
    done = service.lamina("invoke", echo, "-e", '{"do":"die"}', check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["errorType"] == "Runtime.ExitError"
    assert service.lamina("invoke", echo, "-e", "{}", "-q").stdout == "{}"


def test_invoke_of_what_is_not_there(service, echo):
    done = service.lamina("invoke", "nobody", check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "invoke 'nobody': ResourceNotFoundException: Function not found: " in done.stderr
    done = service.lamina("invoke", echo, "--qualifier", "99", check=False)
    assert done.returncode == 1 and "ResourceNotFoundException" in done.stderr
    done = service.lamina("invoke", echo, "-e", "{not json", check=False)
    assert done.returncode == 1 and "InvalidRequestContentException" in done.stderr


def test_invoke_a_version_and_a_dry_run(service, echo):
    version = service.client("lambda").publish_version(FunctionName=echo)["Version"]
    told = json.loads(service.lamina("invoke", echo, "--qualifier", version, "-o", "json").stdout)
    assert told["executed_version"] == version
    done = service.lamina("invoke", echo, "--dry-run")
    assert done.stdout == "" and "can be invoked" in done.stderr


def test_logs_make_control_characters_visible(service, echo):
    service.lamina("invoke", echo, "-e", '{"do":"say"}')
    want = "red ^[[31m bell ^G over^Mwritten"
    wait_for(lambda: want in service.lamina("logs", echo).stdout, "the line to be in the log")
    out = service.lamina("logs", echo).stdout
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", out)
    assert re.search(r"^START RequestId: \S+ Version: \$LATEST$", out, re.M)
    assert re.search(r"^REPORT RequestId: ", out, re.M)

    events = [json.loads(line) for line in service.lamina("logs", echo, "-o", "json").stdout.splitlines()]
    assert any("\x1b[31m" in event["text"] for event in events), "JSON escapes them, and keeps them"
    assert all(event["time"].endswith("Z") for event in events)
    last = service.lamina("logs", echo, "-n", "1").stdout
    assert len(last.splitlines()) == 1
    assert re.match(r"20\d\d-\d\d-\d\dT\S+Z ", service.lamina("logs", echo, "-n", "1", "-t").stdout)


def test_logs_follow_until_ctrl_c(service, echo, build, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        following = subprocess.Popen([build / "lamina", "logs", echo, "--follow"], env=service.env, stdout=out,
                                     stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        marker = '{"do":"say","marker":"follow"}'
        request = json.loads(service.lamina("invoke", echo, "-e", marker, "-o", "json").stdout)["request_id"]
        wait_for(lambda: f"END RequestId: {request}" in (tmp_path / "out").read_text(), "the line to be followed")
        assert following.poll() is None
        following.send_signal(signal.SIGINT)
        assert following.wait(DEADLINE_S) == -signal.SIGINT
    finally:
        following.kill()
        following.communicate()


def test_logs_of_nobody(service):
    done = service.lamina("logs", "nobody", check=False)
    assert done.returncode == 1 and "ResourceNotFoundException" in done.stderr


def test_list_as_table_and_json(service, echo):
    table = service.lamina("list").stdout.splitlines()
    assert table[0].split() == ["NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "ZIP", "MODIFIED"]
    assert [row for row in table if row.split()[:3] == [echo, "provided.al2023", "bootstrap"]]
    assert not [row for row in table if row != row.rstrip()]
    told = json.loads(service.lamina("list", "-o", "json").stdout)
    assert told["schema"] == 1
    mine = [function for function in told["functions"] if function["name"] == echo][0]
    assert mine["memory_mb"] == 256 and mine["timeout_s"] == 60 and mine["zip_bytes"] > 0


def test_list_goes_through_all_pages(fresh_service, code):
    """More functions than one page of ListFunctions (50) holds."""
    client = fresh_service.client("lambda")
    fresh_service.lamina("package", code, "one.zip", "--lean")
    zipped = (fresh_service.root / "one.zip").read_bytes()
    for i in range(53):
        client.create_function(FunctionName=f"f{i:02}", Runtime="provided.al2023", Handler="x", Code={"ZipFile": zipped},
                               Role="arn:aws:iam::000000000000:role/lamina")
    told = json.loads(fresh_service.lamina("list", "-o", "json").stdout)
    assert [function["name"] for function in told["functions"]] == [f"f{i:02}" for i in range(53)]


def test_an_empty_service_is_said(fresh_service):
    done = fresh_service.lamina("list")
    assert done.stdout == "" and "no functions yet" in done.stderr
    assert json.loads(fresh_service.lamina("list", "-o", "json").stdout) == {"schema": 1, "functions": []}
    done = fresh_service.lamina("ps")
    assert done.stdout == "" and "nothing is running" in done.stderr
    assert json.loads(fresh_service.lamina("ps", "-o", "json").stdout)["instances"] == []


def test_describe_and_ps_and_status(service, echo):
    service.lamina("invoke", echo)

    def described():
        """The service counts a call when the instance asks for the next: maybe after its answer."""
        document = json.loads(service.lamina("describe", echo, "-o", "json").stdout)
        return document if document["cold_starts"] >= 1 else None

    told = wait_for(described, "the cold start to be counted")
    assert told["state"] == "Active" and told["stored_bytes"] > 0
    assert set(told["last_cold_start"]["phases_ms"]) == {"queue", "sandbox", "fetch", "load", "warm", "first_answer"}
    table = service.lamina("describe", echo).stdout
    assert re.search(r"^last_cold_start.phases_ms.sandbox +[0-9.]+$", table, re.M)

    def resting():
        instances = json.loads(service.lamina("ps", "-o", "json").stdout)["instances"]
        return [i for i in instances if i["function"] == echo and i["state"] in ("IDLE", "FROZEN") and i["pss_bytes"] > 0]

    wait_for(resting, "an instance that waits for the next call")
    rows = service.lamina("ps").stdout.splitlines()
    assert rows[0].split()[:4] == ["ID", "FUNCTION", "VERSION", "STATE"]
    assert [row for row in rows if row.split()[1:2] == [echo]]

    status = json.loads(service.lamina("status", "-o", "json").stdout)
    assert status["ready"] is True and status["aws_limits"] == "enforce" and status["account_id"] == "000000000000"
    assert re.search(r"^disk_free_bytes +[0-9.]+ [KMGT]B$", service.lamina("status").stdout, re.M)


def test_status_again_and_again(service):
    done = service.lamina("status", "--watch", "--count", "3", "--interval", "10", "-o", "json")
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(looks) == 3
    assert looks[0]["uptime_ms"] <= looks[1]["uptime_ms"] <= looks[2]["uptime_ms"]
    table = service.lamina("status", "-w", "--count", "2", "--interval", "10").stdout
    assert table.count("WHAT ") == 2 and "\x1b" not in table


def test_delete_goes_on_past_what_is_not_there(service, code):
    for name in ("gone1", "gone2"):
        service.lamina("deploy", code, "--name", name)
    done = service.lamina("delete", "gone1", "nobody", "gone2", check=False)
    assert done.returncode == 1
    assert "deleted 'gone1'" in done.stderr and "deleted 'gone2'" in done.stderr
    assert "delete 'nobody': ResourceNotFoundException" in done.stderr
    names = [f["name"] for f in json.loads(service.lamina("list", "-o", "json").stdout)["functions"]]
    assert not {"gone1", "gone2"} & set(names)


def test_wrong_credentials_are_named(service):
    done = service.lamina("list", check=False, env={"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert done.returncode == 1
    assert "InvalidSignatureException" in done.stderr
    assert "credentials from AWS_ACCESS_KEY_ID" in done.stderr
    done = service.lamina("list", check=False, env={"AWS_ACCESS_KEY_ID": "AKIANOBODY"})
    assert done.returncode == 1
    assert "UnrecognizedClientException" in done.stderr


def test_whose_policy_allows_deploying_may_deploy(service, code, tmp_path):
    """Though it does not allow the service's status, which tells the limits."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": [
        "lambda:CreateFunction", "lambda:GetFunctionConfiguration", "iam:PassRole"]}]}
    keys = service.lamina("user", "add", "deployer", "--policy", json.dumps(policy)).stdout
    (tmp_path / "keys").write_text(keys)
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys"), "AWS_PROFILE": "deployer", "AWS_ACCESS_KEY_ID": "",
           "AWS_SECRET_ACCESS_KEY": ""}
    told = json.loads(service.lamina("deploy", code, "--name", "theirs", "-o", "json", env=env).stdout)
    assert told["action"] == "created"
    done = service.lamina("invoke", "theirs", check=False, env=env)
    assert done.returncode == 1
    assert "user/deployer is not authorized to perform: lambda:InvokeFunction on resource: " in done.stderr
    service.lamina("delete", "theirs")
    service.lamina("user", "delete", "deployer")


def test_the_data_directory_alone_is_enough(service, echo):
    """--data-dir: endpoint and credentials from there, whatever the environment says."""
    env = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = service.lamina("list", "--data-dir", service.data_dir, env=env)
    assert echo in done.stdout


def test_env_serves_other_clients(service):
    script = service.lamina("env", "--data-dir", service.data_dir).stdout
    done = subprocess.run(["/bin/sh", "-c", script + '/usr/bin/aws --endpoint-url "$AWS_ENDPOINT_URL" lambda list-functions '
                           "--query 'length(Functions)'"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(service.home), "AWS_PAGER": ""}, timeout=2 * DEADLINE_S)
    assert done.returncode == 0, done.stderr
    int(done.stdout)


def test_too_large_for_aws_is_refused_before_it_is_sent(service, tmp_path):
    root = tmp_path / "large"
    root.mkdir()
    (root / "bootstrap").write_text("")
    (root / "bootstrap").chmod(0o755)
    with open(root / "weights", "wb") as file:
        file.truncate(262144001)
    done = service.lamina("deploy", root, check=False)
    assert done.returncode == 1
    assert "zip: 1 bytes over (by 1 bytes; limit: 250 MB unzipped)" in done.stderr


def test_a_service_without_limits_takes_a_package_of_any_size(make_service, code, tmp_path):
    """Larger than a CreateFunction request: it travels as a package of its own."""
    service = make_service("--aws-limits", "off")
    root = tmp_path / "large"
    root.mkdir()
    (root / "bootstrap").write_text(BOOTSTRAP)
    (root / "bootstrap").chmod(0o755)
    (root / "weights").write_bytes(os.urandom(1 << 20) * 60)
    told = json.loads(service.lamina("deploy", root, "-o", "json", "--timeout", "60").stdout)
    assert told["action"] == "created" and told["zip_bytes"] > 52428800
    assert service.lamina("invoke", "large", "-q").stdout == "{}"
    (root / "weights").write_bytes(os.urandom(1 << 20) * 61)
    again = json.loads(service.lamina("deploy", root, "-o", "json").stdout)
    assert again["action"] == "updated"
    assert service.lamina("invoke", "large", "-q").stdout == "{}"


def test_no_colour_and_no_progress_without_a_terminal(service, code):
    done = service.lamina("deploy", code, "--name", "plain")
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stderr


def test_an_interrupted_call_ends_the_client_only(service, build, code, tmp_path):
    """Ctrl-C on invoke: the client dies by SIGINT, the service goes on."""
    root = tmp_path / "slow"
    root.mkdir()
    (root / "bootstrap").write_text("#!/bin/sh\nexec sleep 1000\n")
    (root / "bootstrap").chmod(0o755)
    service.lamina("deploy", root, "--timeout", "60")
    calling = subprocess.Popen([build / "lamina", "invoke", "slow"], env=service.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: [i for i in json.loads(service.lamina("ps", "-o", "json").stdout)["instances"]
                          if i["function"] == "slow"], "the call to reach the service")
        calling.send_signal(signal.SIGINT)
        assert calling.wait(DEADLINE_S) == -signal.SIGINT
    finally:
        calling.kill()
        calling.communicate()
    assert service.lamina("status").returncode == 0
    service.lamina("delete", "slow")
