"""The papers of a CyberTip: file details as NCMEC's form has them, for a person to complete and to file.

    audit log -> fileDetails.xml, manifest.json, manifest.sig

Rules
- Nothing is sent. Hashes are those of the file as it came in, before any change (originalFileHash). Elements stand in
  the order of NCMEC's schema; what only the operator knows, or what NCMEC has yet to give, is left to the operator.
- fileViewedByEsp stands there, as true, only where the decision says that a person viewed the file. Otherwise the
  element is absent: whether anybody looked is nothing that a program can say.
- A near match is a lead: papers are made of one only once people have confirmed it. Of an exact match, unless people
  found that it is none.
- The audit log has the deed before any file is written; the manifest names the file's digest and the log's head.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from scanner.accountability import cases
from scanner.accountability.audit import Event
from scanner.accountability.cases import Case, Word
from scanner.accountability.levels import Finding, is_name, is_ticket
from scanner.accountability.signing import Signer, replace
from scanner.clock import utc_day
from scanner.errors import UsageError
from scanner.ledger import matches

if TYPE_CHECKING:
    from hashsets.sqlite import Database
    from scanner.api import Scanner

DETAILS_NAME: Final = "fileDetails.xml"
MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.sig"


@dataclass(frozen=True, slots=True)
class Details:
    """What a person adds: the numbers NCMEC has given, and a classification under its memorandum on hash sharing."""

    report_id: int | None = None
    file_id: str | None = None
    industry_classification: str | None = None

    def __post_init__(self) -> None:
        if self.file_id is not None and not is_ticket(self.file_id):
            raise UsageError("A file id is 1 to 128 letters, digits and . _ : / -")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written; `complete`: the form lacks nothing that NCMEC's schema demands."""

    files: tuple[str, ...]
    viewed: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class _File:
    """What the ledger knows of the file."""

    md5: str
    sha1: str
    sha256: str
    found: str


def export(scanner: Scanner, case_id: str, folder: Path, details: Details, *, who: str) -> Exported:
    """Write the papers of a case into a folder. Raises UsageError, AuditError: then nothing is written."""
    if not is_name(who):
        raise UsageError("Say by whom: 1 to 64 of a-z, 0-9, `.`, `_` and `-`.")
    db = scanner.ledger.db
    with db.read():
        case, words = cases.by_id(db, case_id), cases.words(db, case_id)
        viewed = _may_export(case, words)
        file = _file(db, case)
    if not scanner.audit.begun:
        raise UsageError("The audit log is not begun, and what leaves has to be on record: `hashward audit init`.")
    signer = Signer.of(scanner.home.folder)
    scanner.audit.append_now(
        Event.CASE_EXPORTED,
        {"case": case.id, "form": "cybertip", "by": who, "viewed_by_person": viewed, "key": signer.fingerprint},
    )
    pin = scanner.audit.pin()
    written = _xml(file, details, viewed=viewed)
    manifest = {
        "format": "hashward cybertip papers 1",
        "case": case.id,
        "day": utc_day(scanner.clock),
        "files": [{"name": DETAILS_NAME, "bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}],
        "outcome": case.outcome and case.outcome.value,
        "viewed_by_person": viewed,
        "audit_log": pin.text(),
        "public_key": base64.b64encode(signer.public).decode(),
    }
    content = json.dumps(manifest, sort_keys=True, indent=1).encode() + b"\n"
    _write(folder, {DETAILS_NAME: written, MANIFEST_NAME: content, SIGNATURE_NAME: signer.sign(content)})
    complete = details.report_id is not None and details.file_id is not None
    return Exported((DETAILS_NAME, MANIFEST_NAME, SIGNATURE_NAME), viewed, complete)


def _may_export(case: Case, words: list[Word]) -> bool:
    """Whether the decision says that a person viewed the file. Raises UsageError where no papers may be made."""
    if case.outcome is Finding.NOT_CONFIRMED:
        raise UsageError("People found that this match is none: there is nothing to report.")
    confirmed = case.outcome is Finding.CONFIRMED and case.state == "decided"
    if not confirmed and case.proximity != "exact":
        raise UsageError("A near match is a lead, not proof: have it confirmed first (`hashward case outcome`).")
    decided = [word for word in words if word.kind == "decided"]
    return confirmed and decided[-1].viewed


def _file(db: Database, case: Case) -> _File:
    """What the ledger knows of the file. Raises UsageError where it was erased."""
    row = db.execute("SELECT md5, sha1, sha256 FROM content WHERE seq = ?", (case.content_seq,)).fetchone()
    if row is None or case.content_seq is None:
        raise UsageError("What that case was about has been erased: retention took it.")
    md5, sha1, sha256 = (bytes(each).hex() for each in row)
    return _File(md5, sha1, sha256, _found(db, case))


def _found(db: Database, case: Case) -> str:
    if case.set_uid is None or case.entry_key is None or case.content_seq is None:
        return "Reported to the provider by a person; not found by comparison with a hash list."
    match = matches.one(db, case.content_seq, case.set_uid, case.entry_key)
    how = f"{case.proximity} match by {case.hash_type}"
    ref = f", entry {match.hit.ref}" if match is not None else ""
    return f"Found by comparison with the hash list {case.hash_set}{ref}: {how}."


def _xml(file: _File, details: Details, *, viewed: bool) -> bytes:
    """The form, elements in the order of NCMEC's schema."""
    root = ElementTree.Element("fileDetails")
    _element(root, "reportId", None if details.report_id is None else str(details.report_id), "given by /submit")
    _element(root, "fileId", details.file_id, "given by /upload")
    root.append(ElementTree.Comment(" fileName, originalFileName, uploadedToEspTimestamp, locationOfFile: yours "))
    if viewed:
        _element(root, "fileViewedByEsp", "true")
    root.append(ElementTree.Comment(" exifViewedByEsp, publiclyAvailable: yours "))
    _element(root, "fileRelevance", "Reported")
    root.append(ElementTree.Comment(" potentialMeme or fileAnnotations: yours "))
    if details.industry_classification is not None:
        _element(root, "industryClassification", details.industry_classification)
    for name, value in (("MD5", file.md5), ("SHA1", file.sha1), ("SHA256", file.sha256)):
        ElementTree.SubElement(root, "originalFileHash", hashType=name).text = value
    root.append(ElementTree.Comment(" ipCaptureEvent, deviceId, details: yours "))
    _element(root, "additionalInfo", file.found)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _element(root: ElementTree.Element, name: str, text: str | None, otherwise: str = "") -> None:
    if text is None:
        root.append(ElementTree.Comment(f" {name}: {otherwise} "))
    else:
        ElementTree.SubElement(root, name).text = text


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files, the signature last. Raises UsageError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            replace(folder / name, content)
    except OSError:
        raise UsageError("The folder cannot be written to; the audit log says that the papers were made.") from None
