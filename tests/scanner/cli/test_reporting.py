"""The `reports` group: what may leave, what left, and what is owed."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from scanner import Scanner
from tests.command import Hashward
from tests.scanner.fakes import MovableClock

SINK = """
[[sink]]
name = "provider"
kind = "jsonl"
path = "sent"
hash_sets = ["set"]
"""
DOWN = """
[[sink]]
name = "provider"
kind = "http"
url = "http://127.0.0.1:1/reports"
hash_sets = ["set", "sett"]
"""


@pytest.fixture
def matched(hashward: Hashward, folder: Path, listed: Path) -> Hashward:
    """A home with one pending report."""
    hashward.home.mkdir()
    (hashward.home / "config.toml").write_text(SINK)
    hashward("hashset", "import", "set", listed, "--approve")
    hashward("scan", folder)
    return hashward


def test_a_report_goes_from_pending_to_sealed_to_sent(matched: Hashward) -> None:
    """Each step is told, and what leaves is what the schema and `list` say."""
    pending = matched("reports", "list", "--json").object
    sealed = matched.json("reports", "seal")
    delivered = matched.json("reports", "deliver")
    (sent,) = (matched.home / "sent").iterdir()
    listed = matched("reports", "list", "--json").object
    event = json.loads(sent.read_text())

    assert ("pending", None) == (pending["state"], pending["id"])
    assert {"sealed": 1, "batches_owed": 1} == sealed
    assert {"delivered": 1, "failed": 0, "waiting": 0} == delivered
    assert ("sealed", event["id"]) == (listed["state"], listed["id"])
    assert event["data"] == {name: value for name, value in listed.items() if name not in ("state", "id")}
    jsonschema.validate(event, matched.json("reports", "schema"))


def test_each_step_speaks_to_people(matched: Hashward) -> None:
    """In the singular where there is one, and with what comes next."""
    assert "pending  match" in matched("reports", "list").out
    assert "1 report sealed; 1 batch to deliver.\nNext: `hashward reports deliver`.\n" == matched("reports", "seal").out
    assert "1 batch delivered, 0 not taken, 0 waiting.\n" == matched("reports", "deliver").out
    assert "sealed" in matched("reports", "list").out
    assert "0 reports sealed; 0 batches to deliver.\n" == matched("reports", "seal").out


def test_without_a_sink_nothing_leaves_and_that_is_said(matched: Hashward) -> None:
    """Silence is the default."""
    (matched.home / "config.toml").unlink()

    assert "No sink is configured, so nothing leaves this machine." in matched("reports", "seal").out
    assert "none: nothing leaves this machine" in matched("status").out
    assert not (matched.home / "sent").exists()


def test_a_receiver_that_is_down_ends_in_9_and_is_owed(matched: Hashward) -> None:
    """Nothing is lost, and `status` tells what is owed and that a sink waits for a set that is not there."""
    (matched.home / "config.toml").write_text(DOWN)
    matched("reports", "seal")
    down, early = matched("reports", "deliver"), matched("reports", "deliver")
    status = matched.json("status")

    assert (9, 9) == (down.code, early.code)
    assert "0 batches delivered, 1 not taken, 0 waiting." in down.out
    assert "0 batches delivered, 0 not taken, 1 waiting." in early.out
    assert 1 == status["reports"]["batches_owed"]
    assert ["sett"] == status["sinks"][0]["unknown_hash_sets"]
    assert "there is no hash set called sett" in matched("status").out


def test_nothing_to_tell_is_told(hashward: Hashward) -> None:
    """An empty outbox is no error."""
    assert "No reports.\n" == hashward("reports", "list").out
    assert "" == hashward("reports", "list", "--json").out


def test_a_sink_of_counts_is_told_numbers_and_the_command_lists_them(
    hashward: Hashward, folder: Path, listed: Path
) -> None:
    """What leaves is what the schema and `counts` say, in text and in JSON."""
    hashward.home.mkdir()
    counted = SINK.replace('kind = "jsonl"', 'kind = "jsonl"\nform = "counts"\nk = 3\nperiod = "day"')
    (hashward.home / "config.toml").write_text(counted)
    hashward("hashset", "import", "set", listed, "--approve")
    none = hashward("reports", "counts")
    for copy in ("two.ppm", "three.ppm"):
        (folder / copy).write_bytes((folder / "one.ppm").read_bytes())
    clock = MovableClock()
    with Scanner(hashward.home, clock=clock) as scanner:
        scanner.scan([folder])
        scanner.seal()
        coming = hashward("reports", "counts")
        clock.move(1)
        scanner.seal()
        scanner.deliver()
    (sent,) = (hashward.home / "sent").iterdir()
    event = json.loads(sent.read_text())
    told = hashward("reports", "counts", "--json").object

    jsonschema.validate(event, hashward.json("reports", "schema", "--form", "counts"))
    assert "No counts" in none.out
    assert "set: counted from 2100-01-01 to 2100-01-01 (day)" in coming.out
    assert {"sink": "provider", **event["data"]} == told
    assert ("set", "day", 3, "sha256") == (told["hash_set"], told["period"], told["count"], told["hash_type"])
    assert "provider" in hashward("reports", "counts").out
    assert "counts" == hashward.json("status")["sinks"][0]["form"]
    assert "provider (jsonl, counts) hears of set" in hashward("status").out
