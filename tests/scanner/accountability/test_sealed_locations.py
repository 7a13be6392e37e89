"""Sealing a home: nothing of a path or ref stays, all is known again, and the broker alone opens, on record."""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner import unix_socket
from scanner.accountability import keeping, sealed_locations
from scanner.accountability.audit import AuditLog, Event
from scanner.accountability.broker import MOST_BOXES, Broker, BrokerLog
from scanner.accountability.keeping import Entry
from scanner.accountability.location_file import NAME, LocationFile
from scanner.accountability.log_file import KEY_NAME, LogFile
from scanner.accountability.sealed_locations import Standing
from scanner.errors import AuditError, LedgerError
from scanner.location_keys import Inside, LocationKeys, Sealer, WalkKey, read
from tests.command import Hashward
from tests.scanner.accountability.brokers import Running, first_entry
from tests.scanner.fakes import LOCATION_KEYS, Site, fake_media, pdq
from tests.statements import die_at

NOBODY, DAEMON = 65534, 1  # the scanner's user, and the broker's
CANARIES = (b"canary-folder", b"canary-file", b"canary-ref", b"canary-refused", b"canary-brought")


def filled(base: Path, keys: Callable[[], LocationKeys] = lambda: LOCATION_KEYS) -> Site:
    """A home that met files and uploads before anybody thought of sealing."""
    folder = base / "media" / "canary-folder"
    folder.mkdir(parents=True)
    for number in range(7):
        (folder / f"canary-file-{number}").write_bytes(fake_media(pdq(number)))
    site = Site(base / "home", keys=keys)
    site.scan(base / "media")
    site.upload(b"with a ref", b"canary-ref")
    site.ledger.refusals.remember(b"canary-refused", site.day)
    site.ledger.refusals.bring(b"canary-brought", "tus", site.day)
    (folder / "canary-file-6").unlink()
    return site


def left(home: Path) -> set[tuple[str, bytes]]:
    """Which canaries stand in which files."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return {(path.name, canary) for path in files for canary in CANARIES if canary in path.read_bytes()}


def is_whole(site: Site, base: Path) -> None:
    """Nothing is left, and all is known again."""
    assert Standing.SEALED == sealed_locations.standing(site.ledger.db)
    assert set() == left(base / "home")
    walked = site.scan(base / "media")
    assert (0, 6, 1) == (walked.scanned, walked.skipped, walked.missing)
    assert site.ledger.refusals.holds(b"canary-refused")
    assert site.ledger.refusals.is_of(b"canary-brought", "tus")
    assert site.ledger.places.forget_upload(b"canary-ref")


def test_a_home_that_is_sealed_has_lost_nothing_but_its_names(tmp_path: Path) -> None:
    """Nothing is read anew; what went missing is missing; no name stands in any file of the home."""
    with filled(tmp_path) as site:
        assert {canary for _, canary in left(tmp_path / "home")} == set(CANARIES)
        sealed = sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock)
        again = sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock)
        site.close()
        site.open()

        assert (8, 0) == (sealed, again)
        is_whole(site, tmp_path)
        due = site.ledger.db.execute("SELECT event, particulars FROM audit_due").fetchall()
        assert [(Event.LOCATIONS_SEALED, '{"places":8}')] == due


def test_another_key_does_not_go_on(tmp_path: Path) -> None:
    """What it would seal, nobody could tell from what stands there."""
    with filled(tmp_path) as site:
        sealed_locations.seal(site.ledger.db, LOCATION_KEYS, site.clock)
        with pytest.raises(LedgerError, match="another location key"):
            sealed_locations.seal(site.ledger.db, LocationKeys(WalkKey(bytes(32)), LOCATION_KEYS.public), site.clock)


def _killed_at(base: Path, statement: int) -> bool:
    """Seal in a child, killed before a statement; whether it came that far. The parent has nothing open."""
    child = os.fork()
    if not child:
        try:
            die_at(statement)
            Site(base / "home", sealed=True)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def _trial(base: Path, statement: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(sealed_locations, "_AT_ONCE", 3)
    base.mkdir()
    filled(base).close()
    killed = _killed_at(base, statement)
    with Site(base / "home", sealed=True) as site:
        is_whole(site, base)
    return killed


@pytest.mark.parametrize("statement", [40, 55, 62, 70, 78])
def test_killed_at_a_statement_it_goes_on(tmp_path: Path, statement: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was sealed by then."""
    assert _trial(tmp_path / "base", statement, monkeypatch)


@pytest.mark.prove
def test_killed_at_every_statement_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proof) -> None:  # type: ignore[no-untyped-def]
    """At each."""
    statement = 1
    while _trial(tmp_path / str(statement), statement, monkeypatch):
        statement += 1
    assert statement > 50
    proof("durability", "sealing killed at every statement", trials=statement - 1, lost=0)


# -- the keys ----------------------------------------------------------------------------------------------------------


def test_the_keys_are_made_once_and_read_from_then_on(tmp_path: Path) -> None:
    """Of mode 0600, whoever comes first."""
    first, second = LocationFile(tmp_path), LocationFile(tmp_path)
    keys = first.public()

    assert keys == second.public() == LocationFile(tmp_path).public()
    assert [NAME] == os.listdir(tmp_path)
    assert 0o600 == (tmp_path / NAME).stat().st_mode & 0o777


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"walk":"00","private":"11"}', b"[" * 5000, b'{"walk":1,"private":2}']
)
def test_a_damaged_file_of_keys_is_not_made_anew(tmp_path: Path, content: bytes) -> None:
    """Else every box there is could be opened by nobody."""
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(AuditError, match="put a copy of it back"):
        LocationFile(tmp_path).public()
    assert content == (tmp_path / NAME).read_bytes()


def test_keys_that_were_used_and_are_gone_are_not_made_anew(running: Running) -> None:
    """The broker says so: what they have sealed opens by a copy of them alone."""
    used = running.broker.has_sealed
    box = Sealer(running.log.location_keys().public).seal(Inside(1, b"x"))
    before = used()
    running.log.open(Entry("2" * 32, "2100-01-01T00:00:00Z", Event.PLACES_TOLD, {"how": "x"}), [box])
    (running.folder / NAME).unlink()

    assert (False, True) == (before, used())
    with pytest.raises(AuditError, match="put a copy of it back"):
        LocationFile(running.folder, used).public()
    assert not (running.folder / NAME).exists()


# -- with a broker -----------------------------------------------------------------------------------------------------


def _as(user: int, folder: Path, work: Callable[[Path], None]) -> int:
    """Do something in a child of another user, which has all imported it needs; its process.

    The folder is all it sees: the way there may be closed to other users.
    """
    for lazy in ("utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le", "idna"):
        codecs.lookup(lazy)
    child = os.fork()
    if not child:
        try:
            os.chroot(folder)
            os.chdir("/")
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            work(Path("/"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def _keep(folder: Path) -> None:
    """The broker's life."""
    LogFile(folder / "broker").begin(first_entry("0" * 32), lambda key: None)
    listener = unix_socket.listening(str(folder / "s"), 0o666, None, 8)
    (folder / "ready").touch()
    Broker(folder / "broker", frozenset({NOBODY})).serve(listener)


def _use(folder: Path) -> None:
    """The scanner's."""
    broker = BrokerLog(folder / "s")
    site = filled(folder / "own", broker.location_keys)
    sealed_locations.seal(site.ledger.db, broker.location_keys(), site.clock)
    site.close()
    site.open()
    is_whole(site, folder / "own")
    for path in (folder / "broker" / NAME, folder / "broker" / KEY_NAME):
        with pytest.raises(PermissionError):
            path.read_bytes()
    assert site.ledger.places.where(1) is None
    audit = AuditLog(site.ledger.db, broker, site.clock)
    line, places = audit.tell(Event.CASE_OPENED, {"by": "ann", "because": "asked"}, [1, 2])
    assert line == 3  # behind the one that was owed for sealing
    assert all(each is not None and b"/media/canary-folder/canary-file-" in each for each in places)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_scanners_own_user_recovers_nothing_but_through_the_broker(short: Path) -> None:
    """All it has is its home, in which no name is left, and a socket at which every box it opens is on record first."""
    os.chmod(short, 0o777)
    for name, user in (("broker", DAEMON), ("own", NOBODY)):
        (short / name).mkdir(mode=0o700)
        os.chown(short / name, user, user)
    keeping_log = _as(DAEMON, short, _keep)
    try:
        while not (short / "ready").exists():
            assert os.waitid(os.P_PID, keeping_log, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            time.sleep(0.01)
        user = _as(NOBODY, short, _use)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(user, 0)[1])
    finally:
        os.kill(keeping_log, signal.SIGKILL)
        os.waitpid(keeping_log, 0)

    assert set() == left(short / "own" / "home")
    lines = [(each.event, each.user, dict(each.particulars)) for each in keeping.lines(LogFile(short / "broker"))]
    assert (Event.CASE_OPENED, NOBODY, {"by": "ann", "because": "asked", "boxes": 2}) == lines[-1]


def test_a_sealed_home_by_its_commands(short: Path) -> None:
    """Sealed half-way, walked on, shown on record; and without the broker nothing is told, nor walked."""
    broker, hashward = Hashward(short / "broker"), Hashward(short / "home")
    folder = short / "media" / "canary-folder"
    folder.mkdir(parents=True)
    (folder / "canary-file").write_bytes(b"P5 64 64 255\n" + bytes(4096))
    (short / "list").write_text(f"sha256 {hashlib.sha256((folder / 'canary-file').read_bytes()).hexdigest()}\n")
    assert "needs" not in hashward("scan", short / "media").err
    assert "Sealed locations need a broker" in hashward("locations", "seal").err
    (hashward.home / "config.toml").write_text(f'[broker]\nsocket = "{short}/s"\n')
    assert 6 == hashward("locations", "seal").code  # it does not answer yet
    broker("audit", "init")
    process = broker.process("broker", "--socket", short / "s", "--user", os.getuid())
    assert process.stderr is not None
    assert "keeping" in process.stderr.readline()
    sealed = hashward("locations", "seal")
    assert "1 place sealed, and whatever comes from now on." in sealed.out
    assert "location.key" in sealed.err
    assert "Sealed already." in hashward("locations", "seal").out
    assert {"locations": "sealed"} == hashward.json("locations", "show")
    assert "sealed" == hashward.json("status")["locations"]
    assert set() == left(hashward.home)
    hashward("hashset", "import", "known", short / "list")
    hashward("hashset", "approve", "known")
    shown = hashward("scan", short / "media", "--show-paths")
    assert f"{folder / 'canary-file'}\n" in shown.out
    hashward("reports", "seal")
    (report,) = [each["id"] for each in hashward("reports", "list", "--json").objects]
    told = hashward.json("case", "open", report, "--basis", "appeal", "--because", "asked", "--by", "ann")
    assert [str(folder / "canary-file")] == [each["where"] for each in told["places"]]
    process.terminate()
    process.communicate(timeout=60)
    assert 0 == process.returncode

    for words in (
        ("scan", short / "media"),
        ("case", "open", report, "--basis", "appeal", "--because", "x", "--by", "a"),
    ):
        done = hashward(*words)
        assert (6, "") == (done.code, done.out)
        assert "does not answer" in done.err
    assert "nothing can begin to walk" in hashward("scan", short / "media").err
    assert "until the broker answers no walk can begin" in hashward("status").out
    opened = [each for each in keeping.lines(LogFile(broker.home)) if "boxes" in each.particulars]
    assert [Event.PLACES_TOLD, Event.CASE_OPENED] == [each.event for each in opened]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"boxes": []}, "1 to 256 boxes"),
        ({"boxes": ["AA=="] * (MOST_BOXES + 1)}, "1 to 256 boxes"),
        ({"boxes": [7]}, "for a line that says why"),
        ({"boxes": ["no base64"]}, "in a form it does not know"),
        ({"boxes": ["AA=="], "event": "set_changed"}, "for a line that says why"),
        ({"boxes": ["AA=="], "again": True}, "for a line that says why"),
        ({"boxes": ["AA=="], "uid": "0"}, "whose uid"),
        ({"boxes": ["AA=="], "particulars": {"by": "ann", "because": " "}}, "for a line that says why"),
        ({"boxes": ["AA=="], "event": "places_told"}, "for a line that says why"),
        ({"boxes": ["AA=="], "event": "erased", "particulars": {"": "x"}}, "for a line that says why"),
    ],
)
def test_the_broker_opens_nothing_without_a_line(running: Running, asked: dict[str, object], sentence: str) -> None:
    """And writes none for what it does not open."""
    said = {"by": "ann", "because": "asked"}
    entry = {"uid": "1" * 32, "at": "2100-01-01T00:00:00Z", "event": "case_opened", "particulars": said, "again": False}
    entry |= {name: value for name, value in asked.items() if name != "boxes"}

    assert (
        sentence
        in json.loads(running.say(json.dumps({"op": "open", "entry": entry, **asked}).encode() + b"\n"))["error"]
    )
    assert 1 == LogFile(running.folder).append([])


def test_every_opening_is_a_line_whatever_uid_it_was_asked_under(running: Running) -> None:
    """One that was written before would be taken for the same line, and what is opened under it be on no record."""
    box = base64.b64encode(Sealer(running.log.location_keys().public).seal(Inside(1, b"x"))).decode()
    entry = {"uid": "3" * 32, "at": "2100-01-01T00:00:00Z", "event": "places_told", "again": False}
    entry["particulars"] = {"how": "x"}
    running.log.append([Entry("3" * 32, "2100-01-01T00:00:00Z", Event.SET_CHANGED, {})])
    asked = json.dumps({"op": "open", "entry": entry, "boxes": [box]}).encode() + b"\n"
    answers = [json.loads(running.say(asked)) for _ in range(2)]

    assert [3, 4] == [each["line"] for each in answers]
    assert [Event.PLACES_TOLD] * 2 == [each.event for each in keeping.lines(LogFile(running.folder))][2:]


def test_many_boxes_are_opened_in_parts_and_each_part_is_on_record(running: Running) -> None:
    """What is no box of the broker's is told as that, beside the others."""
    keys = running.log.location_keys()
    inside = [Inside(1, b"%d" % number) for number in range(MOST_BOXES + 1)]
    boxes = [Sealer(keys.public).seal(each) for each in inside]
    entry = Entry("2" * 32, "2100-01-01T00:00:00Z", Event.PLACES_TOLD, {"how": "x"})
    line, opened = running.log.open(entry, [*boxes, b"none", *boxes])

    assert 3 == line
    assert opened.pop(b"none") is None
    assert inside == [read(opened[box] or b"") for box in boxes]
    told = [dict(each.particulars) for each in keeping.lines(LogFile(running.folder))][1:]
    assert [{"how": "x", "boxes": MOST_BOXES}, {"how": "x", "boxes": 2}] == told
