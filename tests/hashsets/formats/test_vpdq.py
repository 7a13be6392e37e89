"""vPDQ's text is one entry: a bag of frames."""

from __future__ import annotations

import pytest

from hashsets.types import Shape, Signal
from tests.hashsets.formats.reading import PDQ, SHA256, read, refused, refused_at_every_cut
from tests.shared_material import vectors


def test_a_vpdq_list_is_one_entry_of_frames() -> None:
    """Repeated values once, with their best quality; upper case; three columns too."""
    text = f"0,90,{PDQ},0.000\n29,99,{PDQ.upper()},0.967\n58,50,{SHA256}\n"
    (entry,), reading = read(text)

    assert (Shape.FRAMES, None) == (entry.shape, entry.ref)
    assert (
        Signal("pdq", bytes.fromhex(PDQ), quality=99, frame=29, frame_ms=967),
        Signal("pdq", bytes.fromhex(SHA256), quality=50, frame=58),
    ) == entry.signals
    assert 3 == reading.valid
    assert entry.key == read("".join(reversed(text.splitlines(keepends=True))))[0][0].key


def test_frames_that_say_nothing_are_counted() -> None:
    """Flat frames, wrong lengths and impossible qualities; a list without one good frame could never match."""
    good = "".join(f"{n},90,{n:064x},0.1\n".replace("0" * 50, "f0" * 25) for n in range(100, 200))
    _, reading = read(f"{good}1,100,{'0' * 64},0.0\n2,100,{PDQ[:-1]},0.0\n3,101,{PDQ},0.0\n4,0,{PDQ},0.0,9\n")

    assert {"degenerate": 1, "not_a_value": 3} == dict(reading.rejected)
    assert "never match" in refused(f"0,49,{PDQ},0.000\n")


def test_a_vpdq_list_that_was_cut_off_imports_nothing() -> None:
    """Wherever the cut fell."""
    second = len(f"0,90,{PDQ},0.000\n") + 1
    refused_at_every_cut(f"0,90,{PDQ},0.000\n29,99,{SHA256},0.967\n".encode(), first=second)


@pytest.mark.parametrize("name", ["doorknob-hd-no-bar", "pattern-sd-grey-bar"])
def test_published_lists_are_read(name: str) -> None:
    """Every distinct frame of them."""
    path = vectors("vpdq") / f"{name}.txt"
    (entry,), reading = read(path.read_bytes())

    rows = [line.split(",") for line in path.read_text().splitlines()]
    flat = reading.rejected["degenerate"]
    assert len(rows) - flat == reading.valid
    assert {signal.value.hex() for signal in entry.signals} <= {row[2] for row in rows}
