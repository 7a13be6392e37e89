"""The papers of a CyberTip: NCMEC's order, no claim that nobody made, signed, and on record before they exist."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.accountability import cybertip
from scanner.accountability.audit import Event
from scanner.accountability.cybertip import Details
from scanner.accountability.signing import is_signed
from scanner.api import Scanner
from scanner.config import Config, Home
from scanner.errors import UsageError
from tests.command import Hashward
from tests.scanner.accountability.people import CONFIRMED, EXACT, NEAR, OTHER, Office

# The elements of <fileDetails> in the order of NCMEC's cyber_tipline.xsd.
ORDER = (
    "reportId", "fileId", "fileName", "originalFileName", "uploadedToEspTimestamp", "locationOfFile",
    "fileViewedByEsp", "exifViewedByEsp", "publiclyAvailable", "fileRelevance", "potentialMeme", "fileAnnotations",
    "industryClassification", "originalFileHash", "ipCaptureEvent", "deviceId", "details", "additionalInfo",
)  # fmt: skip


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Matches and people."""
    made = Office(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def scanner(office: Office) -> Iterator[Scanner]:
    """The same home, with an audit log."""
    assert 0 == Hashward(office.site.home)("audit", "init").code
    with Scanner(Home(office.site.home), Config.defaults(), office.site.clock) as made:
        yield made


def export(scanner: Scanner, case_id: str, folder: Path, **details: object) -> tuple[ET.Element, dict[str, object]]:
    """Export a case; the form, and the manifest once its signature was checked."""
    cybertip.export(scanner, case_id, folder, Details(**details), who="ann")  # type: ignore[arg-type]
    form, manifest = ((folder / name).read_bytes() for name in ("fileDetails.xml", "manifest.json"))
    said = json.loads(manifest)
    (file,) = said["files"]

    assert is_signed(manifest, (folder / "manifest.sig").read_bytes(), base64.b64decode(said["public_key"]))
    assert (hashlib.sha256(form).hexdigest(), len(form)) == (file["sha256"], file["bytes"])
    return ET.fromstring(form), said


def test_hashes_are_those_at_ingest_and_elements_stand_in_ncmecs_order(
    office: Office, scanner: Scanner, tmp_path: Path
) -> None:
    """With the numbers that NCMEC gave the form lacks nothing that its schema demands."""
    case = office.decide(office.case("exact"), CONFIRMED)
    form, manifest = export(
        scanner, case.id, tmp_path / "out", report_id=4711, file_id="b0dd5e34", industry_classification="A1"
    )
    names = [each.tag for each in form]
    hashes = {each.get("hashType"): each.text for each in form.iter("originalFileHash")}

    assert sorted(names, key=ORDER.index) == names
    assert ["reportId", "fileId"] == names[:2]
    assert {
        "MD5": hashlib.md5(EXACT).hexdigest(),
        "SHA1": hashlib.sha1(EXACT).hexdigest(),
        "SHA256": hashlib.sha256(EXACT).hexdigest(),
    } == hashes
    assert str(manifest["audit_log"]).startswith("hwpin_")
    assert 0o600 == (tmp_path / "out" / "manifest.json").stat().st_mode & 0o777


@pytest.mark.parametrize("viewed", [True, False])
def test_viewed_stands_there_only_where_a_decision_says_so(
    office: Office, scanner: Scanner, tmp_path: Path, viewed: bool
) -> None:
    """True where somebody saw it; otherwise the element is absent, never false and never true."""
    case = office.case("exact")
    for who in ("ann", "abe"):
        office.say(case, who, CONFIRMED, viewed=viewed)
    form, manifest = export(scanner, case.id, tmp_path / "out")

    assert ["true"] * viewed == [each.text for each in form.iter("fileViewedByEsp")]
    assert viewed is manifest["viewed_by_person"]


def test_an_exact_match_needs_no_review_and_claims_none(office: Office, scanner: Scanner, tmp_path: Path) -> None:
    """Nobody looked: nothing of that kind is said, and what NCMEC has to give is left open."""
    form, manifest = export(scanner, office.case("exact").id, tmp_path / "out")

    assert ["fileRelevance", *["originalFileHash"] * 3, "additionalInfo"] == [each.tag for each in form]
    assert manifest["outcome"] is None


def test_no_papers_are_made_of_what_is_no_match(office: Office, scanner: Scanner, tmp_path: Path) -> None:
    """A near match that nobody confirmed, and one that was overturned, are refused; nothing is on record then."""
    case = office.case("near")
    with pytest.raises(UsageError, match="lead"):
        export(scanner, case.id, tmp_path / "out")
    office.decide(case, OTHER)
    with pytest.raises(UsageError, match="none"):
        export(scanner, case.id, tmp_path / "out")

    assert not (tmp_path / "out").exists()
    assert Event.CASE_EXPORTED not in {line.event for line in scanner.audit.lines()}


def test_the_audit_log_has_it_before_any_file_is_there(office: Office, scanner: Scanner, tmp_path: Path) -> None:
    """A folder that cannot be written to leaves the line, and no paper; without a log nothing is written."""
    case = office.case("exact")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be written"):
        export(scanner, case.id, tmp_path / "file")
    lines = [line for line in scanner.audit.lines() if line.event == Event.CASE_EXPORTED]
    for name in ("audit.log", "audit.key"):
        (office.site.home / name).unlink()
    with (
        Scanner(Home(office.site.home), Config.defaults(), office.site.clock) as other,
        pytest.raises(UsageError, match="audit init"),
    ):
        export(other, case.id, tmp_path / "out")

    assert 1 == len(lines)
    assert not (tmp_path / "out").exists()


def test_a_changed_manifest_is_found(office: Office, scanner: Scanner, tmp_path: Path) -> None:
    """One byte other, and the signature is of something else."""
    export(scanner, office.case("exact").id, tmp_path / "out")
    content = (tmp_path / "out" / "manifest.json").read_bytes()
    public = base64.b64decode(json.loads(content)["public_key"])
    signature = (tmp_path / "out" / "manifest.sig").read_bytes()

    assert is_signed(content, signature, public)
    assert not is_signed(content.replace(b"exact", b"exacu").replace(b"case-", b"case+"), signature, public)
    assert not is_signed(content, b"bm8=", public)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the check on the page for the legal team is openssl's")
def test_the_check_on_the_page_for_the_legal_team_works(office: Office, scanner: Scanner, tmp_path: Path) -> None:
    """As it stands there, by somebody who has no hashward; a changed manifest fails it."""
    export(scanner, office.case("exact").id, tmp_path / "out")
    page = (Path(cybertip.__file__).parent / "pages" / "for-your-legal-team.md").read_text()
    lines = page.partition("```sh\n")[2].partition("```")[0]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-ec", lines], cwd=tmp_path / "out", capture_output=True, text=True, check=False)

    assert "Signature Verified Successfully" in check().stdout
    manifest = tmp_path / "out" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"false", b"true"))
    assert check().returncode


def test_nothing_that_leads_to_the_place_is_in_the_papers(office: Office, scanner: Scanner, tmp_path: Path) -> None:
    """Where the file lies is the operator's to add."""
    office.decide(office.case("near"), CONFIRMED)
    export(scanner, office.case("near").id, tmp_path / "out")
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())

    assert b"upload-near" not in written
    assert hashlib.sha256(NEAR).hexdigest().encode() in written
