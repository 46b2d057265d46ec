# SPDX-License-Identifier: MIT
"""What functions print: kept, in order, bounded, and never in the way of other functions."""
import json

import pytest

from lamina_service import wait_for
from lambda_function import fresh_name, log_text, settings
from probe import PACKAGE, ask, call, failure, probe


@pytest.fixture(scope="module")
def client(service):
    return service.client()


def test_lines_are_kept_in_order_with_lambda_s_own(service, client):
    with probe(client, "logs") as name:
        answer, _ = call(client, name, {"do": "print", "text": "first\nsecond\n"})
        id = answer["ResponseMetadata"]["RequestId"]
        shown = service.lamina("logs", name).stdout
        places = [shown.index(part) for part in ("INIT_START Runtime Version: provided.al2023",
                                                 f"START RequestId: {id} Version: $LATEST", "first", "second",
                                                 f"END RequestId: {id}", f"REPORT RequestId: {id}")]
        assert places == sorted(places), shown


def test_what_a_dying_function_printed_is_kept(service, client):
    with probe(client, "last") as name:
        call(client, name, {"do": "print", "text": "before"})
        failure(client, name, {"do": "end", "how": "exit9"})
        assert "exit status 9" in service.lamina("logs", name).stdout


def test_a_flood_is_cut_and_counted_and_others_go_on(service, client):
    with probe(client, "flood") as loud, probe(client, "quiet") as quiet:
        ask(client, quiet, "count")
        answer, body = call(client, loud, {"do": "flood", "lines": 200_000}, LogType="Tail")  # 20 MB
        assert json.loads(body) == "flooded"
        log = log_text(answer)
        assert "LOGS_DROPPED Lines: " in log and "\tReason: flood\t\n" in log
        assert len(log) <= 4096
        assert ask(client, quiet, "count")["count"] == 2
        kept = sum(each.stat().st_size for each in (service.data_dir / "logs").glob(f"{loud}.log*"))
        assert kept < 20 << 20
        # The next call is quiet again, and its lines are kept (the allowance grows by a megabyte a second).
        wait_for(lambda: "LOGS_DROPPED" not in log_text(call(client, loud, {"do": "print", "text": "hush\n"},
                                                             LogType="Tail")[0]), "the allowance to grow")
        assert "hush" in service.lamina("logs", loud).stdout


def test_control_characters_and_binary_lines_do_no_harm(service, client):
    with probe(client, "binary") as name:
        call(client, name, {"do": "print", "text": "\x1b[31mred\x07\x00\r and \u00fc\n"})
        shown = service.lamina("logs", name).stdout
        assert "\x1b" not in shown and "\x07" not in shown
        assert "red" in shown


def test_a_very_long_line_is_cut_at_256_kilobytes(service, client):
    with probe(client, "long") as name:
        call(client, name, {"do": "print", "text": "a" * 300_000 + "\nafter\n"})
        assert "after" in service.lamina("logs", name).stdout


def test_logs_survive_a_restart_and_go_with_their_function(fresh_service):
    service = fresh_service
    name = fresh_name("kept")
    client = service.client()
    client.create_function(**settings(name, Code={"ZipFile": PACKAGE}, Timeout=240))
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    call(client, name, {"do": "print", "text": "remember me\n"})
    assert service.stop() == 0
    service.start()
    client = service.client()
    assert "remember me" in service.lamina("logs", name).stdout
    assert ask(client, name, "count")["count"] == 1
    assert list((service.data_dir / "logs").glob(f"{name}.log*"))
    client.delete_function(FunctionName=name)
    wait_for(lambda: not list((service.data_dir / "logs").glob(f"{name}.log*")), "the log to be removed")
