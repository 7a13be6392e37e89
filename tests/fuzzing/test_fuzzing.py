"""Readers of strangers' bytes end in a value or an error of ours; whatever fuzzing found stays mended."""

from __future__ import annotations

import base64
import json

import pytest

from tests.fuzzing.__main__ import FOUND
from tests.fuzzing.fuzzer import Crash, Fuzzer
from tests.fuzzing.targets import TARGETS, Target

BY_NAME = {target.name: target for target in TARGETS}


def found() -> list[tuple[str, bytes]]:
    """Every case found so far, with its target."""
    lines = FOUND.read_text().splitlines() if FOUND.exists() else []
    return [(case["target"], base64.b64decode(case["given"])) for case in map(json.loads, lines)]


@pytest.mark.parametrize("number", range(len(found())))
def test_what_was_found_stays_mended(number: int) -> None:
    """Each input that once got through is taken or refused."""
    name, given = found()[number]
    BY_NAME[name].run(given)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_short_run_finds_nothing(target: Target) -> None:
    """A second or so of what `make fuzz` does for longer, the same each time."""
    Fuzzer(target, seed=1).run(runs=600, seconds=10)


def test_the_fuzzer_finds_what_is_planted() -> None:
    """A fault behind three conditions is found: what reaches a new line is kept."""
    from scanner.decoding.sniffing import sniff

    def planted(given: bytes) -> None:
        if sniff(given).name == "svg":  # nothing of this is in the seed
            raise KeyError("planted")

    with pytest.raises(Crash):
        Fuzzer(Target("planted", planted, (b"plain text",), (b"<svg", b"<?xml")), seed=1).run(runs=20_000, seconds=30)
