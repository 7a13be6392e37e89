"""Records survive the way from worker to parent, and anything else is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets.types import Signal
from scanner.isolation.records import (
    RECORD_BYTES,
    BadRecord,
    EndRecord,
    MediaRecord,
    MemberRecord,
    pack_end,
    pack_media,
    pack_member,
    pack_resume,
    pack_signal,
    parse,
)
from scanner.types import WHOLE, Extent, Landing, Looked, MediaKind, Reason, Resume, member_part

MAYBE = st.none() | st.integers(0, 2**32 - 2)
MEMBER = st.integers(1, 2**20 - 1)
PART = st.builds(member_part, st.none() | MEMBER, MAYBE.map(lambda part: None if part is None else str(part)))
PDQ = st.builds(
    Signal,
    st.just("pdq"),
    st.binary(min_size=32, max_size=32),
    quality=st.integers(0, 100),
    orientation=st.sampled_from(("stored", "exif", "2", "8")),
    part=PART,
    frame=MAYBE,
    frame_ms=st.none() | st.integers(0, 2**40),
)
WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32}
CLAIMS = st.sampled_from(list(WIDTHS)).flatmap(
    lambda name: st.builds(
        Signal,
        st.just(name),
        st.binary(min_size=WIDTHS[name], max_size=WIDTHS[name]),
        part=MEMBER.map(lambda number: member_part(number, None)),
    )
)
OTHERS = st.builds(
    Signal, st.sampled_from(("phash", "dhash", "ahash", "whash")), st.binary(min_size=8, max_size=8), frame=MAYBE
)
LOOKED = st.just(WHOLE) | st.builds(
    Looked, st.sampled_from((Extent.PARTIAL, Extent.DIGESTS_ONLY)), st.sampled_from(list(Reason))
)


@given(PDQ | OTHERS | CLAIMS)
def test_signals_come_back(signal: Signal) -> None:
    """Every signal a worker can make is read back equal, in one fixed size."""
    packed = pack_signal(signal)

    assert RECORD_BYTES == len(packed)
    assert signal == parse(packed)


@given(st.sampled_from(list(MediaKind)), LOOKED, st.none() | st.integers(0, 2**40))
def test_kinds_and_ends_come_back(kind: MediaKind, looked: Looked, duration_ms: int | None) -> None:
    """The kind, the duration and the outcome are read back equal."""
    assert MediaRecord(kind, duration_ms) == parse(pack_media(kind, duration_ms))
    assert EndRecord(kind, looked) == parse(pack_end(kind, looked))


@given(MEMBER, st.sampled_from(list(MediaKind)))
def test_kinds_of_members_come_back(number: int, kind: MediaKind) -> None:
    """A member's number and kind are read back equal."""
    assert MemberRecord(number, kind) == parse(pack_member(number, kind))


@given(CLAIMS)
def test_no_worker_tells_the_digests_of_its_file(signal: Signal) -> None:
    """Digests are taken of members only, of which there are a million at most."""
    for part in (None, "3", "m0", "m1048576"):
        with pytest.raises(BadRecord):
            parse(pack_signal(replace(signal, part=part)))


@given(st.binary(max_size=2 * RECORD_BYTES) | st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_bytes_of_any_sort_are_a_record_or_refused(datagram: bytes) -> None:
    """Whatever a worker sends, reading it ends in a record or BadRecord and in nothing else."""
    try:
        record = parse(datagram)
    except BadRecord:
        return
    repacked = {
        Signal: lambda: pack_signal(record),  # type: ignore[arg-type]
        MediaRecord: lambda: pack_media(record.media, record.duration_ms),  # type: ignore[union-attr]
        MemberRecord: lambda: pack_member(record.number, record.media),  # type: ignore[union-attr]
        EndRecord: lambda: pack_end(record.media, record.looked),  # type: ignore[union-attr]
    }[type(record)]()

    assert datagram == repacked


@given(PDQ, st.integers(0, RECORD_BYTES - 1), st.integers(1, 255))
def test_a_changed_byte_never_makes_a_signal_of_another_shape(signal: Signal, at: int, change: int) -> None:
    """One changed byte gives another valid value or a refusal, never one of a wrong length or quality."""
    packed = bytearray(pack_signal(signal))
    packed[at] ^= change
    try:
        read = parse(bytes(packed))
    except BadRecord:
        return
    if isinstance(read, Signal):
        assert len(read.value) == (32 if read.hash_type == "pdq" else 8)
        assert read.quality is None or 0 <= read.quality <= 100


def test_a_whole_look_has_no_reason() -> None:
    """An end that claims to be whole and gives a reason is refused, and so is one cut short without a reason."""
    packed = bytearray(pack_end(MediaKind.IMAGE, Looked(Extent.PARTIAL, Reason.CRASH)))
    packed[2] = 0
    with pytest.raises(BadRecord):
        parse(bytes(packed))
    packed = bytearray(pack_end(MediaKind.IMAGE, Looked(Extent.PARTIAL, Reason.CRASH)))
    packed[3] = 255
    with pytest.raises(BadRecord):
        parse(bytes(packed))


def test_a_position_is_a_record() -> None:
    """Where to go on comes through as it was; one bit that can mean nothing ends the worker."""
    position = Resume(7, 280, 12, bytes(range(32)), damaged=True, packets=True, landing=Landing(1, -2, 3, 4))
    datagram = pack_resume(position)
    wrong = bytearray(datagram)
    wrong[2] = 1

    assert position == parse(datagram)
    with pytest.raises(BadRecord):
        parse(bytes(wrong))
