"""What Prometheus is told: closed labels, and nothing that a stranger said."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from scanner.metrics import Metrics, Reading

CANARY = "canary-in-a-name.jpg"


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample by name and values of its labels, read by the library's own parser."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(each.name, frozenset(each.labels.values())): each.value for family in families for each in family.samples}


def of(*labels: str) -> frozenset[str]:
    """Values of labels."""
    return frozenset(labels)


def test_answers_are_counted_by_listener_verdict_and_reason() -> None:
    """Seconds and bytes beside them."""
    metrics = Metrics(["http"])
    metrics.answered("http", "clear", seconds=0.02, bytes_=10)
    metrics.answered("http", "undecidable", "cut", bytes_=5)
    metrics.unlocatable("http")
    found = samples(metrics)

    assert 1 == found["hashward_answers_total", of("http", "clear", "none")]
    assert 1 == found["hashward_answers_total", of("http", "undecidable", "cut")]
    assert (15, 1) == (
        found["hashward_received_bytes_total", of("http")],
        found["hashward_unlocatable_total", of("http")],
    )
    assert (0, 1) == tuple(found["hashward_answer_seconds_bucket", of("http", at)] for at in ("0.01", "0.025"))


def test_what_is_in_no_list_of_ours_is_counted_as_other() -> None:
    """So no name, path, ref or hash becomes a label, and labels do not grow without bound; no time of day is told."""
    metrics = Metrics(["http"])
    for number in range(50):
        metrics.answered(f"{CANARY}{number}", CANARY, CANARY)
    text = metrics.render().decode()

    assert CANARY not in text
    assert "_created" not in text
    assert 50 == samples(metrics)["hashward_answers_total", of("other", "other", "other")]


def test_readings_are_taken_anew_and_their_failure_is_told() -> None:
    """Counters are still told where the databases cannot be read."""
    entries = [1.0]

    def readings() -> list[Reading]:
        return [Reading("entries", "Listed.", ("hash_set",), ((("a",), 1.0 / entries[0]),))]

    metrics = Metrics(["http"], readings)
    metrics.answered("http", "clear")
    first = samples(metrics)["hashward_entries", of("a")]
    entries[0] = 0.5
    second = samples(metrics)
    entries[0] = 0
    third = samples(metrics)

    assert (1, 2, 1) == (first, second["hashward_entries", of("a")], second["hashward_readable", of()])
    assert (0, 1) == (third["hashward_readable", of()], third["hashward_answers_total", of("http", "clear", "none")])
    assert ("hashward_entries", of("a")) not in third


def test_the_file_is_whole_and_for_others_to_read(tmp_path: Path) -> None:
    """Whatever the umask; no other file stays beside it."""
    before = os.umask(0o077)
    try:
        Metrics().write(tmp_path / "hashward.prom")
    finally:
        os.umask(before)

    assert [tmp_path / "hashward.prom"] == list(tmp_path.iterdir())
    assert 0o644 == stat.S_IMODE((tmp_path / "hashward.prom").stat().st_mode)
    assert b"hashward_readable 1.0" in (tmp_path / "hashward.prom").read_bytes()
