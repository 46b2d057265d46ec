# SPDX-License-Identifier: MIT
"""Functions that follow their layers (Lamina's own; tag lamina:follow-layers): new versions are taken up by themselves."""
import concurrent.futures
import hashlib
import json
import threading

import pytest

from lambda_function import ARN, fresh_name, settings, zip_of
from lamina_service import wait_for
from test_layers import LAYER, LOOK, ask, look, net, publish, zeros

TAG = {"lamina:follow-layers": "true"}


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


def follower(client, layers, **changes):
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"bootstrap": LOOK})}, Layers=layers, Tags=TAG,
                                      **changes))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    return name


def shown(client, name, **more):
    return client.get_function_configuration(FunctionName=name, **more)


def arns(client, name, **more):
    return [each["Arn"] for each in shown(client, name, **more).get("Layers", [])]


def settles(client, name, wanted):
    wait_for(lambda: arns(client, name) == wanted and shown(client, name)["LastUpdateStatus"] != "InProgress",
             f"{name} to have {wanted}")


def test_latest_moves_and_versions_do_not(client):
    layer, other = fresh_name(), fresh_name()
    publish(client, {"a": "1"}, layer)
    publish(client, {"b": "other"}, other)
    name = follower(client, [f"{LAYER}{layer}:1", f"{LAYER}{other}:1"])
    pinned = fresh_name()
    client.create_function(**settings(pinned, Code={"ZipFile": zip_of({"bootstrap": LOOK})}, Layers=[f"{LAYER}{layer}:1"]))
    assert client.publish_version(FunctionName=name)["Version"] == "1"
    before = shown(client, name)
    publish(client, {"a": "2"}, layer)
    settles(client, name, [f"{LAYER}{layer}:2", f"{LAYER}{other}:1"])
    after = shown(client, name)
    assert after["LastUpdateStatus"] == "Successful" and after["RevisionId"] != before["RevisionId"]
    assert after["LastModified"] > before["LastModified"]
    assert look(client, name, "/opt/a", "/opt/b") == {"/opt/a": "2", "/opt/b": "other"}
    assert look(client, name, "/opt/a", Qualifier="1") == {"/opt/a": "1"}
    assert arns(client, pinned) == [f"{LAYER}{layer}:1"]


def test_only_compatible_versions_are_taken(client):
    layer = fresh_name()
    publish(client, {"a": "1"}, layer)
    name = follower(client, [f"{LAYER}{layer}:1"])
    publish(client, {"a": "2"}, layer, CompatibleRuntimes=["python3.11"])
    publish(client, {"a": "3"}, layer, CompatibleArchitectures=["arm64"])
    publish(client, {"a": "4"}, layer, CompatibleRuntimes=["nodejs18.x", "provided.al2023"])
    settles(client, name, [f"{LAYER}{layer}:4"])


def test_the_tag_may_come_and_go(service, client):
    layer = fresh_name()
    publish(client, {"a": "1"}, layer)
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"bootstrap": LOOK})}, Layers=[f"{LAYER}{layer}:1"]))
    publish(client, {"a": "2"}, layer)
    assert arns(client, name) == [f"{LAYER}{layer}:1"]
    service.lamina("layer", "follow", name)
    settles(client, name, [f"{LAYER}{layer}:2"])
    service.lamina("layer", "rollback", name)
    assert arns(client, name) == [f"{LAYER}{layer}:1"]
    assert look(client, name, "/opt/a") == {"/opt/a": "1"}
    publish(client, {"a": "3"}, layer)
    assert arns(client, name) == [f"{LAYER}{layer}:1"], "a rollback ends the following"
    done = service.lamina("layer", "rollback", name, check=False)
    assert done.returncode == 1 and "no earlier version" in done.stderr
    service.lamina("layer", "follow", name)
    settles(client, name, [f"{LAYER}{layer}:3"])
    service.lamina("layer", "unfollow", name)
    assert "Tags" not in client.get_function(FunctionName=name)
    listed = json.loads(service.lamina("layer", "list", "-o", "json").stdout)
    assert [each["LatestMatchingVersion"]["Version"] for each in listed if each["LayerName"] == layer] == [3]


def test_a_version_that_breaks_the_function_leaves_the_old(client):
    layer = fresh_name()
    publish(client, {"bootstrap": LOOK, "a": "1"}, layer)
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"data": "x"})}, Layers=[f"{LAYER}{layer}:1"], Tags=TAG))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    assert look(client, name, "/opt/a") == {"/opt/a": "1"}
    publish(client, {"bootstrap": "#!/bin/sh\nexit 3\n", "a": "2"}, layer)
    wait_for(lambda: shown(client, name)["LastUpdateStatus"] == "Failed", "the refusal to be told")
    assert shown(client, name)["LastUpdateStatusReason"]
    assert arns(client, name) == [f"{LAYER}{layer}:1"] and look(client, name, "/opt/a") == {"/opt/a": "1"}
    publish(client, {"bootstrap": LOOK, "a": "3"}, layer)
    settles(client, name, [f"{LAYER}{layer}:3"])
    assert shown(client, name)["LastUpdateStatus"] == "Successful"


def test_one_that_is_too_large_is_told(client):
    layer = fresh_name()
    publish(client, {"a": "1"}, layer)
    name = follower(client, [f"{LAYER}{layer}:1"])
    publish(client, zeros(249 << 20), layer)
    big = fresh_name()
    publish(client, {"a": "1"}, big)
    settles(client, name, [f"{LAYER}{layer}:2"])
    client.update_function_configuration(FunctionName=name, Layers=[f"{LAYER}{layer}:2", f"{LAYER}{big}:1"])
    publish(client, zeros(2 << 20), big)
    wait_for(lambda: "more than the available size" in shown(client, name).get("LastUpdateStatusReason", ""), "the reason")
    assert arns(client, name) == [f"{LAYER}{layer}:2", f"{LAYER}{big}:1"]


def test_a_change_made_while_layers_are_merged_is_kept(service, client):
    """The merge of a large layer takes a while: what the user changes meanwhile stands, and the layer moves all the same."""
    many, layer = fresh_name(), fresh_name()
    publish(client, {f"many/{i}": "" for i in range(8000)}, many)
    publish(client, {"a": "1"}, layer)
    name = follower(client, [f"{LAYER}{many}:1", f"{LAYER}{layer}:1"])
    publish(client, {"a": "2"}, layer)
    client.update_function_configuration(FunctionName=name, Description="mine")
    settles(client, name, [f"{LAYER}{many}:1", f"{LAYER}{layer}:2"])
    assert shown(client, name)["Description"] == "mine"
    publish(client, {"a": "3"}, layer)
    client.untag_resource(Resource=ARN + name, TagKeys=list(TAG))
    before = arns(client, name)
    client.update_function_configuration(FunctionName=name, Layers=[f"{LAYER}{many}:1", f"{LAYER}{layer}:1"])
    other = follower(client, [f"{LAYER}{layer}:1"])  # its turn comes later
    settles(client, other, [f"{LAYER}{layer}:3"])
    assert arns(client, name) == [f"{LAYER}{many}:1", f"{LAYER}{layer}:1"], before


def test_versions_that_break_are_each_tried_once(service, client):
    """However many there are."""
    layer, name = fresh_name(), fresh_name()
    publish(client, {"bootstrap": LOOK, "a": "1"}, layer)
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"data": "x"})}, Layers=[f"{LAYER}{layer}:1"]))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    for number in range(7):
        publish(client, {"bootstrap": "#!/bin/sh\nexit 3\n", "a": str(number)}, layer)

    def refused():
        return service.log().count(f"switch.refused function={name} ")

    client.tag_resource(Resource=ARN + name, Tags=TAG)
    wait_for(lambda: refused() == 7, "seven refusals")
    for _ in range(3):  # each takes as long as a look at the function, or longer
        follower(client, [f"{LAYER}{layer}:1"], Handler="x")
    assert refused() == 7
    publish(client, {"bootstrap": LOOK, "a": "9"}, layer)
    settles(client, name, [f"{LAYER}{layer}:9"])


def test_what_was_refused_stays_refused_when_nothing_is_left_to_follow(make_service):
    """Neither an incompatible version that comes next nor a restart makes the broken one be tried again."""
    service = make_service()
    client = service.client("lambda")
    layer, other = fresh_name(), fresh_name()

    def refused():
        return service.log().count("switch.refused")
    publish(client, {"bootstrap": LOOK, "a": "1"}, layer)
    publish(client, {"a": "1"}, other)
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"data": "x"})}, Layers=[f"{LAYER}{layer}:1"], Tags=TAG))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    publish(client, {"bootstrap": "#!/bin/sh\nexit 3\n", "a": "2"}, layer)
    wait_for(lambda: shown(client, name)["LastUpdateStatus"] == "Failed", "the refusal to be told")
    beside = follower(client, [f"{LAYER}{other}:1"])
    publish(client, {"a": "3"}, layer, CompatibleArchitectures=["arm64"])
    publish(client, {"a": "2"}, other)
    settles(client, beside, [f"{LAYER}{other}:2"])  # begun later: what the first would do is done
    assert refused() == 1
    service.stop()
    service.start()
    client = service.client("lambda")
    publish(client, {"a": "3"}, other)
    settles(client, beside, [f"{LAYER}{other}:3"])
    assert refused() == 1
    assert look(client, name, "/opt/a") == {"/opt/a": "1"}
    publish(client, {"bootstrap": LOOK, "a": "4"}, layer)
    settles(client, name, [f"{LAYER}{layer}:4"])


def test_unfollowing_stops_a_switch_that_runs(make_service):
    service = make_service()
    client = service.client("lambda")
    layer = fresh_name()
    publish(client, {"bootstrap": LOOK, "a": "1"}, layer)
    name = fresh_name()
    client.create_function(**settings(name, Code={"ZipFile": zip_of({"data": "x"})}, Layers=[f"{LAYER}{layer}:1"], Tags=TAG))
    client.get_waiter("function_active_v2").wait(FunctionName=name)

    def instances():
        return json.loads(service.lamina("ps", "-o", "json").stdout)["instances"]
    # It becomes ready a moment after it was seen: long enough to be told in between.
    publish(client, {"bootstrap": LOOK.replace("#!/bin/bash\n", "#!/bin/bash\nsleep 5\n", 1), "a": "2"}, layer)
    wait_for(instances, "an instance of the new version")
    service.lamina("layer", "unfollow", name)
    wait_for(lambda: not instances(), "the new version's instance to be ended")
    assert arns(client, name) == [f"{LAYER}{layer}:1"] and shown(client, name)["LastUpdateStatus"] == "Successful"
    assert look(client, name, "/opt/a") == {"/opt/a": "1"}


def test_a_start_takes_up_what_a_kill_left_undone(make_service):
    """Published, and the service gone before the switch: the function follows after the start."""
    service = make_service()
    client = service.client("lambda")
    layer = fresh_name()
    publish(client, {"a": "1"}, layer)
    name = follower(client, [f"{LAYER}{layer}:1"])
    publish(client, {"a": "2"}, layer)
    service.stop()
    service.start()
    client = service.client("lambda")
    settles(client, name, [f"{LAYER}{layer}:2"])
    assert look(client, name, "/opt/a") == {"/opt/a": "2"}


def test_ten_publishes_under_load_and_a_corrupt_one(service, client, build):
    """No failed call, no answer that mixes models, published and pinned versions unchanged; the eleventh is refused."""
    if not (build / "runtime/lib/libonnxruntime.so").exists():
        pytest.skip("this build has no ONNX Runtime")
    layer, name = fresh_name(), fresh_name()
    publish(client, {"model/m.onnx": net(1)}, layer)
    runtime = zip_of({"bootstrap": (build / "runtime/bin/lamina-model").read_bytes()})
    client.create_function(**settings(name, Code={"ZipFile": runtime}, Layers=[f"{LAYER}{layer}:1"], Tags=TAG,
                                      Handler="/opt/model/m.onnx", Timeout=60, MemorySize=1769))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    assert ask(client, name)[0] == [1, 2, 3]
    client.publish_version(FunctionName=name)
    digests = {hashlib.sha256(net(factor)).hexdigest(): factor for factor in range(1, 12)}
    stop = threading.Event()

    def calls():
        mine, seen = service.client("lambda"), set()
        while not stop.is_set():
            answer, digest = ask(mine, name)  # fails for a call that fails
            assert answer == [digests[digest] * each for each in (1, 2, 3)], "a mixed answer"
            seen.add(digests[digest])
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(calls) for _ in range(4)]
        try:
            for factor in range(2, 12):
                publish(client, {"model/m.onnx": net(factor)}, layer)
                settles(client, name, [f"{LAYER}{layer}:{factor}"])
            publish(client, {"model/m.onnx": b"this is no model"}, layer)
            wait_for(lambda: shown(client, name)["LastUpdateStatus"] == "Failed", "the corrupt one to be refused")
        finally:
            stop.set()
        seen = set().union(*(each.result() for each in callers))
    assert 11 in seen and len(seen) > 2
    assert ask(client, name)[0] == [11, 22, 33] and arns(client, name) == [f"{LAYER}{layer}:11"]
    answer = client.invoke(FunctionName=name, Qualifier="1", Payload=json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}))
    assert json.load(answer["Payload"])["outputs"][0]["data"] == [1, 2, 3]
