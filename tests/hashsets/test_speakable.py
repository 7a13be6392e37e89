"""What a list gives an entry leaves in reports only if no path, name of a file or address can be written in it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from hashsets.refresh import import_list
from hashsets.sources.file import FileSource
from hashsets.store import Store
from hashsets.store.speakable import speakable
from hashsets.types import Classification, Entry, Shape, Signal
from tests.command import Hashward

VALUE = bytes(range(16))
MARK = Classification("scale", "A1")


def entry(ref: str | None, *marks: Classification) -> Entry:
    """An entry of one value."""
    return Entry(b"k", (Signal("md5", VALUE),), Shape.ITEM, ref, marks)


@pytest.mark.parametrize(
    "ref",
    [
        "/home/alice/a.jpg", "C:\\Users\\bob\\x", "alice@example.org", "192.168.0.1", "2001:db8::1", "holiday.jpg",
        "host.example", "00:1b:44:11:3a:b7", "a b", "-x", "x" * 129, "søren", VALUE.hex(), f"id-{VALUE.hex().upper()}",
        base64.b64encode(VALUE).decode(),
    ],
)  # fmt: skip
def test_a_ref_that_may_tell_is_none(ref: str) -> None:
    """Paths, names of files, domains, addresses, values; the rest of the entry stays."""
    kept = speakable(entry(ref, MARK))

    assert (None, b"k", (MARK,)) == (kept.ref, kept.key, kept.classifications)


@pytest.mark.parametrize(
    "ref", ["42-image1", "501", "demo_7", "urn:demo:7", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "ab" * 16]
)
def test_a_public_id_is_kept(ref: str) -> None:
    """As providers give them."""
    said = entry(ref, MARK, Classification("vics-us", "Category 2"), Classification("tcap-ideology", "far-right"))

    assert said is speakable(said)


def test_only_the_classification_that_may_tell_goes() -> None:
    """The others stay."""
    told = Classification("scale", "/srv/alice.jpg")

    assert (MARK,) == speakable(entry("a", told, MARK)).classifications


def test_an_entry_matches_under_a_random_ref_and_the_import_says_so(tmp_path: Path) -> None:
    """Listed, found, unified with its other rows; the count is said; a list again changes nothing."""
    path = tmp_path / "list.csv"
    path.write_text(f"type,value,ref\nmd5,{5:032x},/srv/alice/a.jpg\nmd5,{7:032x},ok\nsha1,{6:040x},/srv/alice/a.jpg\n")
    hashward = Hashward(tmp_path / "home")
    said = hashward("hashset", "import", "a", path).out
    again = hashward.json("hashset", "import", "a", path, "--complete")
    refs = {hit["ref"] for text in (f"{5:032x}",) for hit in hashward("lookup", "md5", text, "--json").object["hits"]}
    with Store.open(tmp_path / "other") as store:
        summary = import_list(store, "a", FileSource(path, complete=True), day="2026-01-01")
        (two,) = (each for each in store.entries(store.hash_set("a").uid) if each.ref != "ok")

    assert "may not leave in a report" in said
    assert (2, 2) == (summary.unsaid, len(two.signals))
    assert (0, 0, 2) == (again["added"], again["changed"], again["unchanged"])
    assert all(len(ref) == 32 and int(ref, 16) for ref in refs)
    assert 1 == len(refs)
