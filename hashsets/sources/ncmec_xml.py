"""What NCMEC's answers say: XML of a page, without entities, its elements told by their local names.

Rules
- An entry's key is environment, kind, member and id: ids are unique per member, and environments are databases
  of their own. Its ref is member and id.
- Every fingerprint of a type that we compare is kept, of images and videos alike; the others are counted by type.
- What is not well-formed or declares anything of its own is a SourceError. An element without text is no value.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

from hashsets import hashtypes
from hashsets.errors import SourceError
from hashsets.formats import Reading, Reject, Removal
from hashsets.formats.plain import checked_signal
from hashsets.limits import is_classification, is_ref
from hashsets.types import Classification, Entry, Shape, Signal

_KINDS = {"image": False, "video": False, "deletedImage": True, "deletedVideo": True}
_ENCODING = re.compile(rb"""^<\?xml[^>]*encoding\s*=\s*["']([^"']*)["']""")
_ID = re.compile(r"\S{1,200}")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are taken: of one environment, and of these members where any are named."""

    environment: str
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """A page: what it says, how many entries that were, and the way to the next page."""

    updates: tuple[Entry | Removal, ...]
    entries: int
    link: str | None


def parse_answer(body: bytes, selection: Selection, reading: Reading) -> Answer:
    """One page. Counts into `reading`; raises SourceError."""
    root = _root(body)
    updates: list[Entry | Removal] = []
    entries = 0
    for group in root:
        for element in group if _local(group) in ("images", "videos") else ():
            kind = _local(element)
            if kind not in _KINDS:
                reading.unmatchable["unknown"] += 1
                continue
            entries += 1
            reading.records += 1
            update = _update(element, kind, selection, reading)
            if update is not None:
                updates.append(update)
    return Answer(tuple(updates), entries, _link(root))


def _root(body: bytes) -> ET.Element:
    """The document's root. Entities, and encodings that could hide them, are refused."""
    plain = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    declared = _ENCODING.match(plain)
    if b"<!DOCTYPE" in body or b"\0" in body or (declared and declared[1].lower() not in (b"utf-8", b"us-ascii")):
        raise SourceError("the source's answer is XML of a kind that is not read: declarations or another encoding")
    try:
        root = ET.fromstring(plain)
    except (ET.ParseError, ValueError, LookupError):
        raise SourceError("the source's answer is not whole or not XML: try again later") from None
    if _local(root) != "queryResult":
        raise SourceError("the source's answer is not of NCMEC's Hash Sharing: check its address")
    return root


def _link(root: ET.Element) -> str | None:
    paging = next((child for child in root if _local(child) == "paging"), None)
    if paging is None:
        return None
    text = next(((child.text or "").strip() for child in paging if _local(child) == "next"), "")
    if not text:
        raise SourceError("the source's answer has pages to come but does not say where: try again later")
    return text


def _update(element: ET.Element, kind: str, selection: Selection, reading: Reading) -> Entry | Removal | None:
    parts = {_local(child): child for child in element}
    member = parts["member"].get("id", "").strip() if "member" in parts else ""
    id_ = ((parts["id"].text or "") if "id" in parts else "").strip()
    if not (_ID.fullmatch(member) and _ID.fullmatch(id_)):
        raise SourceError("the source's answer has an entry without member or id: nothing of it is taken")
    if selection.members and member not in selection.members:
        reading.filter(f"member {member}" if member.isdigit() and len(member) < 9 else "other member")
        return None
    shown = "video" if kind.endswith("ideo") else "image"
    key = "\0".join(("ncmec", selection.environment, shown, member, id_)).encode()
    if _KINDS[kind]:
        reading.valid += 1
        return Removal(key)
    signals = tuple(dict.fromkeys(_signals(parts.get("fingerprints"), reading)))
    if not signals:
        return Removal(key)
    reading.valid += 1
    ref = f"{member}-{id_}"
    mark = Classification(f"ncmec-{selection.environment}", (_text(parts.get("classification")) or "unclassified"))
    marks = (mark,) if is_classification(mark) else ()
    return Entry(key, signals, Shape.ITEM, ref if is_ref(ref) else None, marks)


def _signals(fingerprints: ET.Element | None, reading: Reading) -> Iterator[Signal]:
    for element in fingerprints if fingerprints is not None else ():
        text = _text(element)
        hash_type = hashtypes.find(_local(element))
        if hash_type is None:
            reading.unmatchable["unknown"] += 1
        elif not hash_type.matchable:
            reading.unmatchable[hash_type.name] += 1
        elif text:
            signal = checked_signal(hash_type, text, reading.records, reading)
            if signal is not None:
                yield signal
        else:
            reading.reject(Reject.NO_VALUE, reading.records)


def _text(element: ET.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
