# SPDX-License-Identifier: MIT
"""A real file system over the network (sshfs) whose server is gone, hangs or comes back: AWS's errors, and nobody else waits."""
import os
import threading

import pytest
from botocore.exceptions import ClientError

import ssh_server
from filesystem_function import do, reader, share
from lambda_function import function, invoke, refused
from lamina_service import wait_for
from ssh_server import SshServer


@pytest.fixture
def far(build):
    """(a service, the server of its file system, `lamina filesystem create`'s answer)"""
    if os.geteuid() != 0:
        pytest.skip("needs root: the service makes sandboxes")
    if ssh_server.missing():
        pytest.skip(f"not installed: {', '.join(ssh_server.missing())} (tools/deps check)")
    with share(build) as own:
        directory = own.directory("far", uid=0)
        (directory / "there").write_text("far away")
        with SshServer(directory) as server:
            import json
            done = own.service.lamina("filesystem", "create", "--mount", server.mount, "--name", "far", "-o", "json")
            yield own, server, json.loads(done.stdout)


def answers(client):
    """Does it read from the server? The first use may find only that the earlier mount is dead."""
    try:
        return do(client, "f", read="/mnt/x/there")["read"] == "far away"
    except ClientError as error:
        assert error.response["Error"]["Code"].startswith("EFSMount"), error
        return False


def test_create_mount_needs_no_server_and_a_function_reads_over_it(far):
    own, server, made = far
    client = own.service.client()
    client.create_function(**reader("f", made["AccessPointArn"]))
    assert do(client, "f", read="/mnt/x/there", write=["/mnt/x/here", "h"]) == {"read": "far away", "write": "written"}
    efs = own.service.client("efs")
    with refused("BadRequest", 400, "cannot map users"):
        efs.create_access_point(ClientToken="t", FileSystemId=made["FileSystemId"], PosixUser={"Uid": 1, "Gid": 1})
    assert efs.create_access_point(ClientToken="t", FileSystemId=made["FileSystemId"], RootDirectory={"Path": "/sub"})


def test_a_server_that_is_gone_and_comes_back(far):
    own, server, made = far
    client = own.service.client()
    client.create_function(**reader("f", made["AccessPointArn"]))
    server.kill()
    with refused("EFSMountConnectivityException", 408, made["AccessPointArn"], "couldn't connect"):
        invoke(client, "f")
    server.start()
    assert do(client, "f", read="/mnt/x/there")["read"] == "far away"


def test_a_server_that_hangs_is_a_time_out_and_others_are_answered_meanwhile(far):
    own, server, made = far
    client = own.service.client()
    client.create_function(**reader("f", made["AccessPointArn"]))
    assert do(client, "f", read="/mnt/x/there")["read"] == "far away"
    client.update_function_configuration(FunctionName="f", MemorySize=1024)  # new instances
    with function(client, "other"):
        server.stop()
        try:
            told = []

            def call():
                try:
                    invoke(own.service.client(), "f")
                except Exception as problem:  # noqa: BLE001
                    told.append(problem)

            waiting = threading.Thread(target=call)
            waiting.start()
            assert invoke(client, "other")["marker"] == "one"
            assert waiting.is_alive(), "the other call was answered while this one waits"
            waiting.join()
        finally:
            server.go_on()
        assert told and told[0].response["Error"]["Code"] == "EFSMountTimeoutException", told
        assert told[0].response["ResponseMetadata"]["HTTPStatusCode"] == 408
    wait_for(lambda: answers(client), "the file system to be used again")


def test_a_server_that_vanishes_in_use_gives_the_function_an_error_and_no_hang(far):
    own, server, made = far
    client = own.service.client()
    client.create_function(**reader("f", made["AccessPointArn"]))
    assert do(client, "f", read="/mnt/x/there")["read"] == "far away"
    server.kill()
    try:
        seen = do(client, "f", read="/mnt/x/there")["read"]
        assert seen in ({"error": "EIO"}, {"error": "ENOTCONN"}, {"error": "ECONNABORTED"}), seen
    except ClientError as error:  # its instance was ended already: a new one cannot be had
        assert error.response["Error"]["Code"] == "EFSMountConnectivityException", error
    server.start()
    # The instance that has the dead mount is ended by itself.
    wait_for(lambda: answers(client), "the file system to be mounted anew")
