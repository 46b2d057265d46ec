# SPDX-License-Identifier: MIT
"""Lists and their pages; changes of one function that meet each other."""
import collections
import concurrent.futures
import json

import pytest
from botocore.exceptions import ClientError

from lambda_function import ARN, fresh_name, function, invoke, package, refused, settings

COUNT = 53  # more than a page


@pytest.fixture(scope="module")
def client(service):
    return service.client("lambda")


@pytest.fixture(scope="module")
def many(client):
    """COUNT functions, the first of them with COUNT versions."""
    names = [f"list-{number:03}" for number in range(COUNT)]
    for name in names:
        client.create_function(**settings(name, Description="zero"))
    for number in range(1, COUNT + 1):
        client.update_function_configuration(FunctionName=names[0], Description=str(number))
        assert client.publish_version(FunctionName=names[0])["Version"] == str(number)
    yield names
    for name in names:
        client.delete_function(FunctionName=name)


def pages(call, key, **parameters):
    """All items, and how many each page had."""
    items, sizes, marker = [], [], {}
    while True:
        answer = call(**{**parameters, **marker})
        items += answer[key]
        sizes.append(len(answer[key]))
        if not answer.get("NextMarker"):
            return items, sizes
        marker = {"Marker": answer["NextMarker"]}


def test_functions_come_in_pages_of_at_most_fifty(client, many):
    for asked, page in ((None, 50), (50, 50), (10000, 50), (1, 1), (7, 7)):
        items, sizes = pages(client.list_functions, "Functions", **({"MaxItems": asked} if asked else {}))
        assert [item["FunctionName"] for item in items] == many
        assert all(size == page for size in sizes[:-1]) and 0 < sizes[-1] <= page
    assert [f["FunctionName"] for p in client.get_paginator("list_functions").paginate() for f in p["Functions"]] == many


def test_list_items_are_short_configurations(client, many):
    item = client.list_functions(MaxItems=1)["Functions"][0]
    whole = client.get_function_configuration(FunctionName=item["FunctionName"])
    assert item["FunctionArn"] == ARN + item["FunctionName"]
    missing = {"State", "LastUpdateStatus", "RuntimeVersionConfig", "ResponseMetadata"}
    assert set(whole) - set(item) <= missing and not missing & set(item)
    assert {key: whole[key] for key in item} == item


def test_all_versions_in_pages(client, many):
    for page in (50, 9):
        items, _ = pages(client.list_functions, "Functions", FunctionVersion="ALL", MaxItems=page)
        of_first = [item for item in items if item["FunctionName"] == many[0]]
        assert [item["Version"] for item in of_first] == ["$LATEST"] + [str(n) for n in range(1, COUNT + 1)]
        assert len(items) == 2 * COUNT
        assert of_first[0]["FunctionArn"] == f"{ARN}{many[0]}:$LATEST"
        assert of_first[-1]["FunctionArn"] == f"{ARN}{many[0]}:{COUNT}"


def test_versions_of_one_function_in_pages(client, many):
    for asked, page in ((None, 50), (10000, 50), (1, 1), (8, 8)):
        items, sizes = pages(client.list_versions_by_function, "Versions", FunctionName=many[0],
                             **({"MaxItems": asked} if asked else {}))
        assert [item["Version"] for item in items] == ["$LATEST"] + [str(n) for n in range(1, COUNT + 1)]
        assert [item["Description"] for item in items] == [str(COUNT)] + [str(n) for n in range(1, COUNT + 1)]
        assert all(size == page for size in sizes[:-1])


def test_a_marker_of_something_deleted_goes_on_behind_it(client, many):
    first = client.list_functions(MaxItems=2)
    name = first["Functions"][-1]["FunctionName"]
    client.delete_function(FunctionName=name)
    try:
        rest, _ = pages(client.list_functions, "Functions", Marker=first["NextMarker"])
        assert [item["FunctionName"] for item in rest] == many[2:]
    finally:
        client.create_function(**settings(name, Description="zero"))


def outcomes(calls):
    """Runs the calls at once; counts their AWS error codes (None: accepted) and keeps what they answered."""
    def one(call):
        try:
            return None, call()
        except ClientError as error:
            return error.response["Error"]["Code"], error.response["Error"]["Message"]

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        done = list(pool.map(one, calls))
    return collections.Counter(code for code, _ in done), done


def test_creations_of_one_name_at_once(client):
    name = fresh_name("race")
    counts, done = outcomes([lambda: client.create_function(**settings(name))] * 8)
    assert counts == {None: 1, "ResourceConflictException": 7}
    assert invoke(client, name)["marker"] == "one"
    client.delete_function(FunctionName=name)


def test_updates_of_one_function_at_once(client):
    name = fresh_name("race")
    with function(client, name):
        def update(number):
            return lambda: client.update_function_code(FunctionName=name, ZipFile=package(f"m{number}"), Publish=True)

        counts, done = outcomes([update(number) for number in range(8)])
        assert set(counts) <= {None, "ResourceConflictException"} and counts[None] >= 1
        for code, answer in done:
            if code:
                assert answer == ("The operation cannot be performed at this time. An update is in progress for resource: "
                                  + ARN + name)
        accepted = [answer["Version"] for code, answer in done if not code]
        versions = [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"][1:]]
        assert sorted(map(int, accepted)) == list(map(int, versions)) == list(range(1, len(accepted) + 1))
        last = client.get_function_configuration(FunctionName=name)
        assert last["LastUpdateStatus"] == "Successful"
        assert last["CodeSha256"] in [answer["CodeSha256"] for code, answer in done if not code]


def test_one_revision_lets_one_update_through(client):
    name = fresh_name("race")
    with function(client, name):
        revision = client.get_function_configuration(FunctionName=name)["RevisionId"]
        counts, _ = outcomes([lambda: client.update_function_configuration(
            FunctionName=name, Description="x", RevisionId=revision)] * 8)
        assert counts[None] == 1
        assert set(counts) <= {None, "PreconditionFailedException", "ResourceConflictException"}


def test_publications_at_once_make_one_version(client):
    name = fresh_name("race")
    with function(client, name):
        counts, done = outcomes([lambda: client.publish_version(FunctionName=name)] * 8)
        assert set(counts) <= {None, "ResourceConflictException"} and counts[None] >= 1
        assert {answer["Version"] for code, answer in done if not code} == {"1"}


def test_deletions_at_once(client):
    name = fresh_name("race")
    client.create_function(**settings(name))
    counts, _ = outcomes([lambda: client.delete_function(FunctionName=name)] * 6)
    assert counts[None] == 1
    assert set(counts) <= {None, "ResourceNotFoundException", "ResourceConflictException"}
    with refused("ResourceNotFoundException", 404):
        client.get_function(FunctionName=name)


def test_calls_go_on_while_a_function_is_updated(client):
    """No call may fall into the gap between old and new code."""
    name = fresh_name("busy")
    with function(client, name):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(lambda: [invoke(client, name, json.dumps(n).encode())["event"] for n in range(10)])
                     for _ in range(2)]
            for marker in ("two", "three", "four"):
                client.update_function_code(FunctionName=name, ZipFile=package(marker))
            for call in calls:
                assert call.result(250) == list(range(10))
        assert invoke(client, name)["marker"] == "four"
