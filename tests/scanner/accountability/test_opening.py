"""Opening: on record before anything is told, refused where it cannot be, and nothing told to whoever only looks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from scanner.accountability import keeping
from scanner.accountability.audit import AuditLog, Event
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import LOG_NAME, LogFile
from scanner.accountability.opening import Basis, Openings, Place, Sought, told
from scanner.cli import main
from scanner.errors import AuditError, UsageError
from tests.command import Hashward
from tests.scanner.fakes import Site, fake_media, pdq, sha256_entry

REF = b"canary-ref-17"


class Opened:
    """A home with one matched upload and one matched file, both reported, and an audit log."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.site = Site(self.home)
        self.content, self.other = fake_media(pdq(1)), fake_media(pdq(2))
        (folder / "storage").mkdir()
        self.path = folder / "storage" / "canary-name.bin"
        self.path.write_bytes(self.other)
        self.site.list_entries("listed", sha256_entry(self.content, "one"), sha256_entry(self.other, "two"))
        self.site.upload(self.content, REF)
        self.site.upload(self.content, b"canary-ref-18")
        self.site.scan(folder / "storage")
        self.site.rescan()
        self.site.seal()
        LogFile(self.home).begin(Entry("0" * 32, "2100-01-01T00:00:00Z", Event.AUDIT_BEGUN, {}), lambda key: None)
        self.openings = self.with_keeper(LogFile(self.home))

    def with_keeper(self, keeper: keeping.Keeper) -> Openings:
        """Openings that are recorded by another."""
        db, clock = self.site.ledger.db, self.site.clock
        return Openings(db, self.site.ledger.locations, AuditLog(db, keeper, clock), clock)

    def report(self, ref: str) -> list[str]:
        """The ids of the reports about an entry."""
        return [report.id for report, _ in self.site.ledger.sealing.sealed() if report.body.ref == ref]

    @property
    def lines(self) -> list[tuple[str, dict[str, object]]]:
        """The log."""
        return [(line.event, dict(line.particulars)) for line in keeping.lines(LogFile(self.home))]

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return int(self.site.ledger.db.execute("SELECT count(*) FROM case_file").fetchone()[0])


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """The home."""
    made = Opened(tmp_path)
    yield made
    made.site.close()


def test_a_report_leads_to_its_own_place_and_to_a_case(opened: Opened) -> None:
    """One of two that hold the content; opened again it is the same case, and another line."""
    (report,) = opened.report("two")
    first = opened.openings.open(report, Basis.REMOVAL, "to restrict it", "somebody")
    again = opened.openings.open(report.upper(), Basis.APPEAL, "asked to", "another")

    assert (Place(bytes(opened.path), False, True),) == first.places == again.places
    assert hashlib.sha256(opened.other).digest() == first.sha256
    assert (first.case.id, 1) == (again.case.id, opened.cases)
    assert [
        (Event.CASE_OPENED, {"opened": report, "basis": "removal", "because": "to restrict it", "by": "somebody"}),
        (Event.CASE_OPENED, {"opened": report, "basis": "appeal", "because": "asked to", "by": "another"}),
    ] == opened.lines[1:]
    assert (2, 3) == (first.line, again.line)


def test_two_places_of_one_content_are_told_apart_by_their_reports(opened: Opened) -> None:
    """Each report leads to the one it is about; the case they share leads to what its first report did."""
    places = [opened.openings.open(each, Basis.REMOVAL, "x", "y") for each in opened.report("one")]

    assert {REF, b"canary-ref-18"} == {place.where for each in places for place in each.places}
    assert all(len(each.places) == 1 and each.places[0].is_upload for each in places)
    assert 1 == len({each.case.id for each in places})
    assert places[0].places == opened.openings.open(places[0].case.id, Basis.QUALITY_REVIEW, "x", "y").places


class Unwritable(LogFile):
    """A log that takes no line."""

    def append(self, entries: Sequence[Entry], user: int | None = None) -> int:
        """Not this one."""
        raise AuditError("the disk is full")


def test_where_it_cannot_be_put_on_record_nothing_is_told_and_nothing_done(opened: Opened) -> None:
    """Neither a place nor a case."""
    (report,) = opened.report("two")
    openings = opened.with_keeper(Unwritable(opened.home))

    with pytest.raises(AuditError):
        openings.open(report, Basis.REMOVAL, "x", "y")
    with pytest.raises(AuditError):
        openings.find([REF], "y")
    assert 0 == opened.cases


def test_the_line_is_on_disk_before_the_place_is_read(opened: Opened) -> None:
    """Killed while the log is written, it has told nothing: the place was not even read."""
    (report,) = opened.report("two")
    order: list[str] = []

    class Telling(LogFile):
        def append(self, entries: Sequence[Entry], user: int | None = None) -> int:
            last = super().append(entries, user)
            order.append("on record")
            return last

    db = opened.site.ledger.db
    db.connection.set_trace_callback(lambda sql: order.append("read") if "r.path" in sql else None)
    opened.with_keeper(Telling(opened.home)).open(report, Basis.REMOVAL, "x", "y")
    db.connection.set_trace_callback(None)

    assert ["on record", "read"] == order


def test_nobody_looks_without_a_reason_and_a_name(opened: Opened) -> None:
    """Nothing is recorded of what is refused."""
    (report,) = opened.report("two")
    reasons = ["", " ", "two\nlines", "\x1b[2J", "x" * 1001]
    for because, by in [*((reason, "a") for reason in reasons), ("x", "A B"), ("x", "")]:
        with pytest.raises(UsageError):
            opened.openings.open(report, Basis.REMOVAL, because, by)
    assert 1 == len(opened.lines)


def test_an_id_that_is_none_leads_nowhere(opened: Opened) -> None:
    """With a sentence that does not repeat it."""
    for asked in ("", "nothing", "case-2345678bcd", "00000000-0000-4000-8000-000000000000", "' OR 1=1 --"):
        with pytest.raises(UsageError) as refused:
            opened.openings.open(asked, Basis.REMOVAL, "x", "y")
        assert not asked or asked not in str(refused.value)
    assert 1 == len(opened.lines)


def test_a_place_that_is_gone_is_told_as_gone(opened: Opened) -> None:
    """The platform holds it no longer; the report stands."""
    opened.site.ledger.places.forget_upload(REF)
    opened.site.ledger.places.forget_upload(b"canary-ref-18")
    places = [opened.openings.open(each, Basis.REMOVAL, "x", "y").places[0] for each in opened.report("one")]

    assert [False, False] == [each.present for each in places]


def test_looking_for_something_tells_whether_it_is_known_and_never_where(opened: Opened) -> None:
    """By report, by each digest, by ref; in the order of the values; on record without them."""
    (report,) = opened.report("two")
    ones = sorted(opened.report("one"))
    digests = [hashlib.new(name, opened.content).hexdigest().encode() for name in ("md5", "sha1", "sha256")]
    case = opened.openings.open(report, Basis.REMOVAL, "x", "y").case.id
    found = opened.openings.find([report.encode(), *digests, digests[2].upper(), REF, b"unknown", b"0" * 64], "looker")

    kinds = [Sought.REPORT, *[Sought.DIGEST] * 4, Sought.REF, Sought.REF, Sought.DIGEST]
    assert kinds == [each.kind for each in found]
    assert [True] * 6 + [False] * 2 == [each.known for each in found]
    assert ((report,), (case,)) == (found[0].reports, found[0].cases)
    assert [ones] * 4 == [sorted(each.reports) for each in found[1:5]]
    assert set(found[5].reports) < set(ones)
    assert 1 == len(found[5].reports)
    event, said = opened.lines[-1]
    assert Event.CASE_SOUGHT == event
    assert {"by": "looker", "sought": 8, "known": 6, "report": 1, "digest": 5, "ref": 2} == said
    content = (opened.home / LOG_NAME).read_bytes()
    assert not any(value in content for value in (*digests, REF, b"canary"))


def test_a_ref_that_looks_like_a_digest_is_looked_for_as_it_is_said(opened: Opened) -> None:
    """And what is said to be a digest and is none is refused."""
    opened.site.upload(fake_media(pdq(9)), b"0" * 64)

    assert [True] == [each.known for each in opened.openings.find([b"0" * 64], "y", Sought.REF)]
    assert [False] == [each.known for each in opened.openings.find([b"\xff" * 9], "y", Sought.REPORT)]
    with pytest.raises(UsageError):
        opened.openings.find([b"\xff" * 64], "y", Sought.DIGEST)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_tells_nothing_before_there_is_a_log(opened: Opened) -> None:
    """Exit 2, nothing on standard output, and no canary anywhere."""
    (report,) = opened.report("two")
    (opened.home / LOG_NAME).unlink()
    (opened.home / "audit.key").unlink()
    opened.site.close()
    words = ("case", "open", report, "--basis", "removal", "--because", "x", "--by", "y")
    done = Hashward(opened.home)(*words)

    assert (2, "") == (done.code, done.out)
    assert "audit init" in done.err
    assert "canary" not in done.err


def test_the_command_prints_the_place_and_where_that_is_on_record(opened: Opened) -> None:
    """As text and as JSON; the log then says that it was told, and by whom."""
    (report,) = opened.report("two")
    opened.site.close()
    hashward = Hashward(opened.home)
    words = ("case", "open", report, "--basis", "removal", "--because", "to restrict it", "--by", "somebody")
    said = hashward.json(*words)

    assert [{"kind": "file", "where": str(opened.path), "present": True}] == said["places"]
    assert f"{opened.path}\nsha256 {said['sha256']}\n" == hashward(*words).out
    line = hashward("audit", "show", "--event", "case_opened", "--last", 2, "--json").objects[0]
    assert (said["audit_line"], "somebody") == (line["line"], line["particulars"]["by"])
    assert hashward.json("audit", "verify")["sound"]


def test_values_are_read_from_standard_input_alone(opened: Opened) -> None:
    """They show in no process list, and are not printed."""
    opened.site.close()
    hashward = Hashward(opened.home)
    words = ["--home", str(opened.home), "case", "find", "--by", "y", "--json"]
    done = CliRunner().invoke(main, words, input=b"unknown\n" + REF + b"\r\n\n")

    assert [False, True] == [json.loads(line)["known"] for line in done.stdout.splitlines()]
    assert "canary" not in done.output
    assert 2 == hashward("case", "find", "--by", "y").code


def test_paths_that_are_printed_because_somebody_asked_are_on_record_by_their_number(opened: Opened) -> None:
    """Before they are printed; where they cannot be put on record, they are not."""
    db, clock = opened.site.ledger.db, opened.site.clock
    told(AuditLog(db, LogFile(opened.home), clock), opened.site.ledger, "scan --show-paths", [1, 2, 3])
    told(AuditLog(db, LogFile(opened.home), clock), opened.site.ledger, "scan --show-paths", [])

    assert [(Event.PLACES_TOLD, {"how": "scan --show-paths", "count": 3})] == opened.lines[1:]
    with pytest.raises(AuditError):
        told(AuditLog(db, Unwritable(opened.home), clock), opened.site.ledger, "scan --show-paths", [1, 2, 3])


def test_what_is_printed_before_there_is_a_log_is_owed_to_it(tmp_path: Path) -> None:
    """Nobody need begin one to use the scanner."""
    with Site(tmp_path) as site:
        audit = AuditLog(site.ledger.db, LogFile(tmp_path), site.clock)
        asset_id = site.upload(b"content", REF).asset_id
        assert asset_id is not None
        assert [REF] * 3 == told(audit, site.ledger, "scan --show-paths", [asset_id] * 3)

        assert 1 == audit.owed()
