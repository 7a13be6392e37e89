"""Packed signals: the same back, and no damage that is not said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets import hashtypes
from hashsets.types import Signal
from scanner.errors import LedgerError
from scanner.ledger.packing import MAGIC, NO_QUALITY, QueryBuilder, groups, pack, unpack

TYPES = ["pdq", "phash", "dhash", "ahash", "whash"]


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    """Any signal the pipeline could make, and odd ones."""
    hash_type = draw(st.sampled_from(TYPES))
    size = hashtypes.get(hash_type).size_bytes
    framed = draw(st.booleans())
    return Signal(
        hash_type,
        draw(st.binary(min_size=size, max_size=size)),
        draw(st.sampled_from([None, "image/pdq/1", "video/é/1"])),
        draw(st.one_of(st.none(), st.integers(0, 100))),
        draw(st.sampled_from(["stored", "exif", "5", "trimmed", "uncropped"])),
        draw(st.sampled_from([None, "", "2"])),
        draw(st.integers(0, 2**32 - 1)) if framed else None,
        draw(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))) if framed else None,
    )


@given(held=st.lists(signals(), max_size=30))
def test_what_was_packed_comes_back(held: list[Signal]) -> None:
    """Every signal, with its order inside its group; and packing again changes nothing."""
    blob = pack(held)
    back = unpack(blob)

    assert sorted(map(repr, held)) == sorted(map(repr, back))
    assert blob == pack(back)


@given(held=st.lists(signals(), min_size=1, max_size=5), data=st.data())
def test_damage_is_an_error_of_ours_or_a_blob_of_the_same_form(held: list[Signal], data: st.DataObject) -> None:
    """Neither a foreign exception nor a hang nor a value of another length than its type's."""
    blob = bytearray(pack(held))
    for _ in range(data.draw(st.integers(1, 3))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(blob)))
    for damaged in (bytes(blob), bytes(blob[:cut]), bytes(blob) + bytes(blob[:cut])):
        try:
            back = unpack(damaged)
        except LedgerError:
            continue
        assert all(len(signal.value) == hashtypes.get(signal.hash_type).size_bytes for signal in back)


def test_a_group_of_countless_empty_values_is_refused() -> None:
    """Four billion values of no bytes take no space in the blob: a reader must not begin to count them."""
    blob = MAGIC + b"\x00" + b"\x00\x00" + b"\xff\xff\xff\xff" + b"\x03pdq\x00\x06stored\x00"
    with pytest.raises(LedgerError):
        list(groups(blob))


def test_a_description_that_is_too_long_is_refused() -> None:
    """A text has one byte for its length."""
    with pytest.raises(LedgerError):
        pack([Signal("pdq", bytes(32), recipe="r" * 256)])


def test_queries_hold_every_signal_with_its_owner() -> None:
    """Digests are no frames and have no quality; rows of several contents stay apart."""
    builder = QueryBuilder()
    still = Signal("pdq", b"\x01" * 32, quality=70)
    frame = Signal("pdq", b"\x02" * 32, quality=60, frame=3, frame_ms=120)
    builder.add(7, [Signal("md5", b"\x07" * 16)], pack([still]))
    builder.add(9, [Signal("md5", b"\x09" * 16)], pack([frame, Signal("phash", b"\x03" * 8)]))
    rows = {
        queries.hash_type: [
            (owner, bytes(value), quality, framed)
            for owner, value, quality, framed in zip(
                queries.owners.tolist(),
                queries.values,
                queries.quality.tolist(),
                queries.readings.tolist(),
                strict=True,
            )
        ]
        for queries in builder.queries()
    }

    assert {
        "md5": [(7, b"\x07" * 16, NO_QUALITY, False), (9, b"\x09" * 16, NO_QUALITY, False)],
        "pdq": [(7, b"\x01" * 32, 70, False), (9, b"\x02" * 32, 60, True)],
        "phash": [(9, b"\x03" * 8, NO_QUALITY, False)],
    } == rows
    assert 5 == builder.rows


def test_readings_of_a_film_are_apart() -> None:
    """Turned frames, and those of another stream, are readings of their own; a still's turnings are none."""
    builder = QueryBuilder()
    frames = [
        Signal("pdq", bytes([n]) * 32, quality=60, orientation=orientation, part=part, frame=n)
        for n, (orientation, part) in enumerate([("stored", None), ("exif", None), ("stored", "1"), ("stored", None)])
    ]
    builder.add(1, (), pack(frames))
    builder.add(2, (), pack([Signal("pdq", bytes(32), quality=9, orientation=each) for each in ("stored", "exif")]))
    (queries,) = builder.queries()
    rows = zip(queries.owners.tolist(), queries.values.tolist(), queries.readings.tolist(), strict=True)
    readings = {(owner, value[0]): reading for owner, value, reading in rows}

    assert readings[1, 0] == readings[1, 3]
    assert 3 == len({readings[1, 0], readings[1, 1], readings[1, 2]})
    assert 0 not in (readings[1, 0], readings[1, 1], readings[1, 2])
    assert 0 == readings[2, 0]


@given(held=st.lists(signals(), max_size=30))
def test_readings_that_undo_an_edit_are_asked_apart(held: list[Signal]) -> None:
    """Each value is asked once, under its type and the edit it undoes: never as the content itself."""
    builder = QueryBuilder()
    builder.add(7, (), pack(held))
    asked = builder.queries()
    found = [(each.hash_type, each.edit, value.tobytes()) for each in asked for value in each.values]
    undone = {"trimmed": "trimmed", "uncropped": "uncropped"}

    assert len({(each.hash_type, each.edit) for each in asked}) == len(asked)
    assert sorted((s.hash_type, undone.get(s.orientation, ""), s.value) for s in held) == sorted(found)
