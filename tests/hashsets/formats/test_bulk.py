"""Lists read many lines at a time say what they say when read line by line."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashsets.errors import ListError
from hashsets.formats import Options, Reading, read_list
from hashsets.formats.bulk import FEW
from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.store import Store
from hashsets.types import Block, Entry, Signal, entry_key

DAY = "2026-01-01"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
GOOD = [f"md5 {n:032x}" for n in range(1, 120)] + [f"pdq {n:02x}{'c5' * 31}" for n in range(100)]
ODD = [
    "", "# a comment", "MD5 " + "AB" * 16, "md5 " + "Ab" * 16, f"md5  {5:032x}", f" md5 {6:032x} ", f"md5\t{7:032x}",
    f"{8:032x}", "ab" * 20, f"sha1 {'0' * 40}", f"md5 {EMPTY_MD5}", "md5 zz" + "0" * 30, f"md5 {9:031x}",
    "pdq " + "00" * 32, "phash " + "f0" * 8, "dhash " + "f0" * 8, f"unknown {1:032x}", f"one two {3:032x}", "md5",
]  # fmt: skip


def read(text: bytes, *, blocks: bool, type_name: str | None = None) -> tuple[Counter[bytes] | str, dict[str, object]]:
    """The keys a list gives, or that it was refused; and what was counted."""
    reading = Reading()
    keys: Counter[bytes] = Counter()
    try:
        for update in read_list(io.BytesIO(text), Options(type_name, blocks=blocks), reading):
            if isinstance(update, Block):
                keys.update(entry_key(Signal(update.hash_type, value.tobytes())) for value in update.values)
            else:
                assert isinstance(update, Entry)
                keys[update.key] += 1
    except ListError:
        return "refused", {}
    counted = {name: getattr(reading, name) for name in ("valid", "rejected", "unmatchable", "first_line")}
    return keys, counted


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    odd=st.lists(st.sampled_from(ODD), max_size=6),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    closed=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_blocks_say_what_lines_say(seed: int, odd: list[str], end: str, closed: bool, encoding: str) -> None:
    """Of every ending, encoding and disorder; counts and first lines too."""
    written = GOOD + odd
    random.Random(seed).shuffle(written)
    text = (end.join(written) + (end if closed else "")).encode(encoding)

    assert read(text, blocks=False) == read(text, blocks=True)


@pytest.mark.parametrize("type_name", [None, "md5", "sha1"])
def test_bare_values_are_read_alike(type_name: str | None) -> None:
    """Of a type that was named, or the only one they fit; of another they are refused."""
    text = "".join(f"{n:032x}\n" for n in range(1, 100)).encode()

    assert read(text, blocks=False, type_name=type_name) == read(text, blocks=True, type_name=type_name)


def test_ambiguous_values_are_refused_alike() -> None:
    """64 digits are a sha256 or a PDQ."""
    text = "".join(f"{n:064x}\n" for n in range(1, 100)).encode()

    assert ("refused", {}) == read(text, blocks=True)
    assert 99 == len(read(text, blocks=True, type_name="sha256")[0])


@pytest.mark.parametrize("broken", [b"\0", b"\xff\xfe\xff", b"x" * 300_000], ids=["nul", "no-utf8", "endless"])
def test_what_is_no_text_is_refused(broken: bytes) -> None:
    """Wherever it stands."""
    text = "".join(f"md5 {n:032x}\n" for n in range(1, 100)).encode()

    assert ("refused", {}) == read(text + broken + b"\n" + text, blocks=True)


def test_many_lines_come_as_blocks() -> None:
    """Otherwise all the tests here would compare one reader with itself."""
    text = "".join(f"md5 {n:032x}\n" for n in range(1, FEW + 2)).encode()
    updates = list(read_list(io.BytesIO(text), Options(blocks=True), Reading()))

    assert [Block] == [type(update) for update in updates]


def test_stored_blocks_are_what_stored_entries_are(tmp_path: Path) -> None:
    """First listed, listed twice, added to, withdrawn by a complete list: entries, versions and refs are alike."""
    lists = [
        "".join(f"md5 {n:032x}\npdq {n:04x}{'c5' * 30}\n" for n in range(1, 301)) * 2,
        "".join(f"md5 {n:032x}\n" for n in range(2**120, 2**120 + 300)),
        "".join(f"md5 {n:032x}\n" for n in range(2**120, 2**120 + 299)),
    ]
    seen = {}
    for blocks in (True, False):
        with Store.open(tmp_path / str(blocks)) as store:
            for number, text in enumerate(lists):
                source = FileSource(io.BytesIO(text.encode()), complete=number != 1)
                source._options = Options(blocks=blocks)
                import_list(store, "a", source, day=DAY, allow_shrink=True)
            uid = store.hash_set("a").uid
            now = [
                {(entry.key, entry.signals, len(entry.ref or ""), entry.classifications) for entry in found}
                for found in (store.entries(uid, version) for version in (1, 2, 3))
            ]
            history = [(v.added, v.changed, v.withdrawn) for v in store.history("a")]
            seen[blocks] = now, history
            assert len({entry.ref for entry in store.entries(uid)}) == store.hash_set("a").entries

    assert seen[False] == seen[True]
    assert [(600, 0, 0), (300, 0, 0), (0, 0, 601)] == seen[True][1]
