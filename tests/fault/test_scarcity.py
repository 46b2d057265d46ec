# SPDX-License-Identifier: MIT
"""Memory and descriptors run out at any moment: what is asked for then fails or is done, and the service goes on.

One allocation, or one new descriptor, of laminad fails at each place of an operation in turn (tests/fault/scarce.c).
"""
import json
import mmap
import os
import shutil
import struct

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

import faults  # noqa: F401  (puts tests/flow on the path)
from lambda_function import function, invoke, package, settings
from lamina_service import Service

MEMORY, DESCRIPTORS = 1, 2
REFUSALS = (ClientError, BotoCoreError, AssertionError, ResponseParserError)  # the last: the server's own words are JSON
PLACES_MAX = 24  # of one operation: spread evenly when there are more
TRUST = json.dumps({"Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
                                  "Action": "sts:AssumeRole"}})
POLICY = json.dumps({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})


class Scarcity:
    """The shim's five numbers, shared with laminad."""

    def __init__(self, service):
        self.path = service.root / "control"
        self.path.write_bytes(bytes(40))
        self.path.chmod(0o666)
        library = service.root / "libscarce_shim.so"
        shutil.copy(service.build / "tests/fault/libscarce_shim.so", library)
        library.chmod(0o755)
        service.more_env.update(LD_PRELOAD=str(library), LAMINA_TEST_SCARCE=f"laminad,{self.path}")
        with open(self.path, "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 40)

    def set(self, kind, nth=1 << 62, span=1):
        self.shared[:] = struct.pack("=5q", 0, nth, span, 0, 0)
        self.shared[:8] = struct.pack("=q", kind)

    def stop(self):
        """(how many there were, how many failed) since set()."""
        self.shared[:8] = bytes(8)
        return struct.unpack("=5q", self.shared[:])[3:]


@pytest.fixture(scope="module")
def scarce(build):
    service = Service(build)
    scarcity = Scarcity(service)
    with service:
        with function(service.client(), "steady"):
            yield service, scarcity


@pytest.fixture(scope="module")
def made(scarce):
    once = Config(retries={"total_max_attempts": 1}, read_timeout=120)
    return {api: scarce[0].client(api, config=once) for api in ("lambda", "iam", "sts")}


def create_and_delete(made):
    made["lambda"].create_function(**settings("passing", Code={"ZipFile": package(os.urandom(4).hex())}))
    made["lambda"].delete_function(FunctionName="passing")


def change_a_role(made):
    try:
        made["iam"].create_role(RoleName="passing", AssumeRolePolicyDocument=TRUST)
    except made["iam"].exceptions.EntityAlreadyExistsException:
        pass
    made["iam"].put_role_policy(RoleName="passing", PolicyName="p", PolicyDocument=POLICY)
    made["iam"].get_role_policy(RoleName="passing", PolicyName="p")
    made["iam"].delete_role_policy(RoleName="passing", PolicyName="p")
    made["iam"].delete_role(RoleName="passing")


OPERATIONS = {
    "invoke": lambda made: invoke(made["lambda"], "steady"),
    "event": lambda made: made["lambda"].invoke(FunctionName="steady", InvocationType="Event", Payload=b"1"),
    "describe": lambda made: (made["lambda"].get_function(FunctionName="steady"), made["lambda"].list_functions()),
    "identity": lambda made: made["sts"].get_caller_identity(),
    "role": change_a_role,
    "create": create_and_delete,
}


def clean(made, operation):
    """What an operation that broke off left is removed as anybody would."""
    steps = {"create": [lambda: made["lambda"].delete_function(FunctionName="passing")],
             "role": [lambda: made["iam"].delete_role_policy(RoleName="passing", PolicyName="p"),
                      lambda: made["iam"].delete_role(RoleName="passing")]}
    for remove in steps.get(operation, []):
        try:
            remove()
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("ResourceNotFoundException", "NoSuchEntity"), error


@pytest.mark.parametrize("kind", [MEMORY, DESCRIPTORS], ids=["memory", "descriptors"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_place_in_turn(scarce, made, kind, operation):
    service, scarcity = scarce
    act, laminad = OPERATIONS[operation], service.pid("laminad")
    act(made)
    scarcity.set(kind)
    act(made)
    places, _ = scarcity.stop()
    step = max(1, places // PLACES_MAX)
    failed = 0
    for nth in range(1, places + 1, step):
        scarcity.set(kind, nth)
        try:
            act(made)
        except REFUSALS:
            failed += 1
        finally:
            scarcity.stop()
        assert service.pid("laminad") == laminad, (operation, nth, service.log_tail())
        clean(made, operation)
    act(made)
    assert kind == DESCRIPTORS or failed > 0, "nothing failed: the shim struck nowhere"


@pytest.mark.parametrize("kind", [MEMORY, DESCRIPTORS], ids=["memory", "descriptors"])
def test_none_for_a_while(scarce, made, kind):
    """Fifty in a row fail: who asks meanwhile is refused, and afterwards all is as before."""
    service, scarcity = scarce
    laminad = service.pid("laminad")
    for operation, act in OPERATIONS.items():
        scarcity.set(kind, 1, 50)
        for _ in range(3):
            try:
                act(made)
            except REFUSALS:
                pass
        scarcity.stop()
        assert service.pid("laminad") == laminad, (operation, service.log_tail())
        clean(made, operation)
        act(made)
