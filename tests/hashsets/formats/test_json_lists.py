"""JSON lists: Project VIC's documents, ThreatExchange's pages, and our own lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hashsets.formats import Removal
from hashsets.formats.json_stream import MAX_LETTERS
from hashsets.types import Classification, Entry, Shape, Signal, entry_key, entry_key_of_ref
from tests.hashsets.formats.reading import (
    CANARY,
    EMPTY_MD5,
    MD5,
    PDQ,
    PHOTODNA,
    SHA1,
    SHA256,
    read,
    refused,
    refused_at_every_cut,
    signals,
    updates,
)  # fmt: skip

US = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media"
ALL = {"all": "all"}


def media(**members: Any) -> dict[str, Any]:
    """One VICS record, with what must not be kept."""
    return {
        "odata.id": f'Media("{CANARY}")',
        "MediaFiles": [{"MD5": MD5, "FileName": CANARY, "FilePath": CANARY}],
        "VictimIdentified": "false",
        "Series": CANARY,
        "Comments": CANARY,
        **members,
    }


def vics(*records: Any, **top: Any) -> str:
    """A VICS 2.0 document."""
    return json.dumps({"@odata.context": US, **top, "value": list(records)})


def test_vics_gives_an_entry_a_record() -> None:
    """Digests in upper case, alternative hashes by name, the id as ref, the category as classification."""
    record = media(
        MediaID=501, Category=1, MD5=MD5.upper(), SHA1=SHA1.upper(), PhotoDNA=PHOTODNA,
        AlternativeHashes=[{"MD5": MD5, "HashName": "SHA-256", "HashValue": SHA256}],
    )  # fmt: skip
    entries, reading = read(vics(record), categories={"1": "1"})

    md5, sha1, sha256 = signals(("md5", MD5), ("sha1", SHA1), ("sha256", SHA256))
    assert [
        Entry(entry_key(md5), (md5, sha1, sha256), ref="501", classifications=(Classification("vics-us", "1"),))
    ] == (entries)
    assert ({"photodna": 1}, 0) == (dict(reading.unmatchable), reading.rejected.total())


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        (vics(media(MD5=MD5, Category="2")), "vics-us"),
        ("\ufeff" + vics(media(md5=MD5, mediacategory=2)), "vics-us"),
        (json.dumps({"value": [media(MD5=MD5, VICSCategory=2.0)], "odata.metadata": "…/1.2.xml#Media"}), "vics"),
        (json.dumps({"odata.metadata": "#Cases", "value": [{"Media": [media(MD5=MD5, Category=2)]}]}), "vics"),
        (json.dumps([media(MD5=MD5, Category=2)]), "vics"),
        (json.dumps({"odata.metadata": "#Media", "VALUE": [media(MD5=MD5, Category=2)]}, indent=2), "vics"),
    ],
)  # fmt: skip
def test_vics_is_read_in_every_wrapper(text: str, scheme: str) -> None:
    """1.x and 2.0, hash sets and cases, any order and case of keys, with a mark, indented, or a bare array."""
    for encoded in (text.encode(), text.lstrip("\ufeff").encode("utf-16")):
        entries, _ = read(encoded, categories={"2": "exploitative"})

        assert [signals(("md5", MD5))] == [entry.signals for entry in entries]
        assert [(Classification(scheme, "exploitative"),)] == [entry.classifications for entry in entries]


def test_vics_categories_must_be_chosen() -> None:
    """What they mean is the provider's: nothing alarms or vouches by default. 0 is a category, absent is none."""
    document = vics(*(media(MD5=f"{n + 1:032x}", Category=code) for n, code in enumerate([0, 1, "1", None, 5])))

    assert all(part in refused(document) for part in ("0 (1)", "1 (2)", "5 (1)", "none (1)", "--category"))
    entries, reading = read(document, categories={"0": "benign", "none": "none"})
    assert [(Classification("vics-us", "benign"),), ()] == [entry.classifications for entry in entries]
    assert {"1": 2, "5": 1} == dict(reading.filtered)
    assert 5 == len(read(document, categories=ALL)[0])
    assert "categories not chosen" in refused(document, categories={"7": "7"})


def test_vics_without_any_category_needs_no_choice() -> None:
    """There is none to make."""
    assert [(), ()] == [e.classifications for e in read(vics(media(MD5=MD5), media(MD5=SHA256[:32], Category=None)))[0]]


def test_vics_records_that_say_nothing_are_counted() -> None:
    """Without hash, of a wrong length, of the empty file, or no object at all."""
    good = [media(MD5=f"{n:032x}") for n in range(1, 200)]
    bad = [media(SHA1=""), media(MD5=SHA1), media(MD5=EMPTY_MD5), 7, media(MD5=5)]
    _, reading = read(vics(*good, *bad))

    assert {"no_value": 2, "not_a_value": 2, "degenerate": 1} == dict(reading.rejected)
    assert 200 == reading.first_line["no_value"]


def test_vics_that_was_cut_off_imports_nothing() -> None:
    """Wherever the cut fell."""
    whole = vics(media(MD5=MD5, Category=1), media(MD5=SHA256[:32], Category=2)).encode()
    refused_at_every_cut(whole, first=120)
    assert "after record 1" in refused(whole[:-20], categories=ALL)


@pytest.mark.parametrize(
    "text",
    [
        vics(media(MD5=MD5)) + "x",
        vics(media(MD5=MD5)) + vics(media(MD5=MD5)),
        vics(media(MD5=MD5, IsSuspected="true")).replace('"true"', '"true""'),
        '{"@odata.context":"x","value":[' + "[" * 100_000,
        '{"@odata.context":"x","value":[{"MD5":' + "9" * 10_000 + "}]}",
        '{"@odata.context":"x","value":[{"MD5":"' + "a" * (MAX_LETTERS + 10_000) + '"}]}',
        '{"@odata.context":"x"}',
        '{"@odata.context":"x","value":{}}',
        '{"@odata.context":"x","value":[]}',
        '{"@odata.context":"x","value":[{"a":1,}]}',
        '{"@odata.context":"x","value":[\x80]}',
    ],
)
def test_what_is_no_document_is_refused(text: str) -> None:
    """Trailing bytes, broken quotes, nesting, giant numbers and texts: an error of ours, never a hang or a trace."""
    refused(text, categories=ALL)


def test_a_case_longer_than_any_buffer_is_read_record_by_record() -> None:
    """One case may hold millions of media."""
    count = 11 * MAX_LETTERS // 10 // len(json.dumps(media(MD5=MD5, Category=1)))
    case = {"CaseNumber": CANARY, "Media": [media(MD5=f"{n:032x}", Category=1) for n in range(1, count)], "Last": 1}
    entries, _ = read(json.dumps({"odata.metadata": "1.3.xml#Cases", "value": [case, media(MD5=MD5)]}), categories=ALL)

    assert count == len(entries)


def test_a_long_document_is_read_in_constant_memory(tmp_path: Path) -> None:
    """Reading 10 MB takes no more than reading 1."""
    assert _peak_kib(tmp_path, 20_000) < _peak_kib(tmp_path, 2_000) + 8_192


@pytest.mark.prove
def test_a_document_of_several_gigabytes_is_read_in_constant_memory(tmp_path: Path) -> None:
    """Constant means constant."""
    assert _peak_kib(tmp_path, 5_000_000) < _peak_kib(tmp_path, 6_000) + 8_192


def _peak_kib(folder: Path, records: int) -> int:
    """Peak memory of a process that writes such a document and reads it."""
    return int(subprocess.run(
        [sys.executable, "-c", _MEASURED, str(folder / "list.json"), str(records)], check=True, capture_output=True,
        text=True, cwd=Path(__file__).parents[3],
    ).stdout)  # fmt: skip


_MEASURED = """
import json, resource, sys
from hashsets.formats import Options, Reading, read_list
path, count = sys.argv[1], int(sys.argv[2])
with open(path, "w") as out:
    out.write('{"@odata.context":"x","value":[')
    for n in range(1, count + 1):
        record = {"MediaID": n, "Category": 1, "MD5": f"{n:032X}", "SHA1": f"{n:040X}", "Tags": "x" * 350}
        out.write(json.dumps(record) + ("," if n < count else "]}"))
with open(path, "rb") as stream:
    assert count == sum(1 for _ in read_list(stream, Options(categories={"all": "all"}), Reading()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


# -- threatexchange ---------------------------------------------------------------------------------------------------


def indicator(id_: int, **members: Any) -> dict[str, Any]:
    """One update, as the interface sends it."""
    tags = {"data": [{"id": "9", "text": "media_type_photo"}]}
    descriptor = {"id": "11", "owner": {"id": CANARY}, "status": "MALICIOUS", "tags": tags, "reactions": []}
    return {"id": str(id_), "type": "HASH_PDQ", "indicator": PDQ, "descriptors": {"data": [descriptor]}, **members}


def exchange(*records: dict[str, Any]) -> str:
    """One page."""
    return json.dumps({"data": list(records), "paging": {"next": f"https://example.org/?access_token={CANARY}"}})


def test_threatexchange_lists_and_withdraws() -> None:
    """`should_delete`, or no descriptors at all, withdraws; status and tags classify; owners are not kept."""
    page = exchange(
        indicator(1),
        indicator(2, type="HASH_VIDEO_MD5", indicator=MD5.upper(), descriptors=[{"tags": ["a"]}, {"tags": None}]),
        indicator(3, should_delete=True),
        {"id": "4", "type": "HASH_MD5", "indicator": MD5},
    )  # fmt: skip
    found, reading = updates(page)

    first = (
        Classification("threatexchange-status", "MALICIOUS"),
        Classification("threatexchange-tag", "media_type_photo"),
    )
    assert [
        Entry(entry_key_of_ref("1"), signals(("pdq", PDQ)), Shape.ITEM, "1", first),
        Entry(
            entry_key_of_ref("2"), signals(("md5", MD5)), Shape.ITEM, "2", (Classification("threatexchange-tag", "a"),)
        ),
        Removal(entry_key_of_ref("3")),
        Removal(entry_key_of_ref("4")),
    ] == found
    assert CANARY not in repr(found)
    assert (4, 0) == (reading.valid, reading.rejected.total())


def test_threatexchange_counts_what_is_no_media_hash() -> None:
    """Addresses and words are unmatchable; an unknown type and a short value are rejects."""
    good = [indicator(n) for n in range(1, 60)]
    page = exchange(*good, indicator(97, type="URI"), indicator(98, type="NEW_KIND"), indicator(99, indicator=PDQ[:32]))
    _, reading = read(page)

    assert ({"url": 1}, {"unknown_type": 1, "not_a_value": 1}) == (dict(reading.unmatchable), dict(reading.rejected))
    refused_at_every_cut(exchange(indicator(1)).encode(), first=30)


# -- our own lines ----------------------------------------------------------------------------------------------------


def test_our_own_lines_say_all_an_entry_can_be() -> None:
    """Values alone, entries of several signals with shape and classifications, and withdrawals."""
    frames = {"type": "PDQ", "value": PDQ.upper(), "quality": 90, "frame": 3, "ms": 120}
    lines = [
        {"type": "md5", "value": MD5, "note": CANARY},
        {"ref": "a", "shape": "frames", "signals": [frames], "classifications": [{"scheme": "s", "code": "A1"}]},
        {"ref": "b", "type": "sha1", "value": SHA1, "scheme": "s", "code": "B"},
        {"ref": "a", "withdrawn": True},
        {"type": "md5", "value": MD5, "withdrawn": True},
    ]
    found, reading = updates("\n".join(map(json.dumps, lines)))

    md5 = signals(("md5", MD5))
    frame = Signal("pdq", bytes.fromhex(PDQ), quality=90, frame=3, frame_ms=120)
    assert [
        Entry(entry_key(md5[0]), md5),
        Entry(entry_key_of_ref("a"), (frame,), Shape.FRAMES, "a", (Classification("s", "A1"),)),
        Entry(entry_key_of_ref("b"), signals(("sha1", SHA1)), Shape.ITEM, "b", (Classification("s", "B"),)),
        Removal(entry_key_of_ref("a")),
        Removal(entry_key(md5[0])),
    ] == found
    assert 5 == reading.valid


def test_lines_that_are_not_understood_are_counted() -> None:
    """Each for its reason; a last line cut off refuses the list."""
    good = "".join(json.dumps({"type": "md5", "value": f"{n:032x}"}) + "\n" for n in range(1, 300))
    bad = [
        "no json", "[]", {"type": "md5"}, {"type": "odd", "value": MD5}, {"value": MD5}, {"type": "md5", "value": SHA1},
        {"type": "md5", "value": MD5, "ref": "r" * 300}, {"type": "md5", "value": MD5, "ref": 7},
        {"type": "md5", "value": MD5, "shape": "odd"}, {"type": "md5", "value": MD5, "classifications": [{}]},
        {"signals": []}, {"signals": [3]}, '{"a":' + "[" * 5000,
    ]  # fmt: skip
    text = good + "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in bad)
    entries, reading = read(text)

    assert 299 == len(entries)
    assert {
        "not_an_object": 3, "not_a_value": 3, "unknown_type": 2, "bad_ref": 2, "bad_shape": 1, "bad_classification": 1,
        "no_value": 1,
    } == dict(reading.rejected)  # fmt: skip
    assert "cut off" in refused(good[:-20])
