"""Votes on NCMEC's entries: a member says of one fingerprint of one entry that it is right, or why it is not.

Rules
- A vote is sent once and never by itself: whether one arrived that got no answer is not known, and is not tried out.
- A negative vote gives a reason out of those that NCMEC offers for that kind of fingerprint.

Source: NCMEC's documentation of the Hash Sharing API, version 2, feedback.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from urllib.parse import quote

from hashsets.errors import SourceError, UsageError
from hashsets.sources.web import Web

#: The names of fingerprints in addresses, by hash type.
TOKENS = {"md5": "MD5", "sha1": "SHA1", "pdq": "PDQ", "photodna": "PDNA"}
_XMLNS = "https://hashsharing.ncmec.org/hashsharing/v2"
_HEADERS = {"Content-Type": "application/xml; charset=utf-8"}
_MOST_REASONS = 1000


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an entry may be voted down: what NCMEC calls it, and its number there."""

    guid: str
    name: str


def entry_of(ref: str) -> tuple[str, str]:
    """Member and id of an entry, by its ref. Raises UsageError."""
    member, dash, id_ = ref.partition("-")
    if not dash or not member.isdigit() or not id_:
        raise UsageError("the ref is not one of an entry of NCMEC's: it is a member's number, '-' and an id")
    return member, id_


class NCMECVotes:
    """Votes in one environment."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def reasons(self, hash_type: str) -> list[Reason]:
        """What may be said against a fingerprint of a type. Raises SourceError, UsageError."""
        body = self._web.get(f"/v2/feedback/{_token(hash_type)}/reasons").body
        if b"<!DOCTYPE" in body or b"\0" in body:
            raise SourceError("the source's answer is XML of a kind that is not read: declarations or another encoding")
        try:
            root = ET.fromstring(body.removeprefix(b"\xef\xbb\xbf").lstrip())
        except (ET.ParseError, ValueError, LookupError):
            raise SourceError("the source's answer is not whole or not XML: try again later") from None
        if root.tag.rpartition("}")[2] != "availableFeedbackReasons":  # the root itself, whose children they are
            raise SourceError("the source's answer is not of NCMEC's Hash Sharing: check its address")
        found = [Reason(child.get("guid", ""), child.get("name", "")) for child in root]
        return [each for each in found[:_MOST_REASONS] if each.guid and each.name.isprintable()]

    def vote(self, ref: str, hash_type: str, reasons: tuple[Reason, ...] | None) -> None:
        """Vote for a fingerprint of an entry, or with reasons against it. Raises SourceError, UsageError."""
        member, id_ = entry_of(ref)
        path = f"/v2/entries/{quote(member, safe='')}/{quote(id_, safe='')}/{_token(hash_type)}/feedback"
        self._web.put(path, _submission(reasons), _HEADERS)


def _submission(reasons: tuple[Reason, ...] | None) -> bytes:
    root = ET.Element("feedbackSubmission", xmlns=_XMLNS)
    if reasons is None:
        ET.SubElement(root, "affirmative")
    else:
        ids = ET.SubElement(ET.SubElement(root, "negative"), "reasonIds")
        for reason in reasons:
            ET.SubElement(ids, "guid").text = reason.guid
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _token(hash_type: str) -> str:
    if hash_type not in TOKENS:
        raise UsageError(f"NCMEC takes votes on {', '.join(TOKENS)} alone")
    return TOKENS[hash_type]
