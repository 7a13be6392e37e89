"""The audit log: what is owed is written once, and whatever was done to the log is found."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.accountability import chain, keeping
from scanner.accountability.audit import AuditLog, Event, Key, due
from scanner.accountability.chain import FIRST_PREV, Check, Fault, Pin, Problem, Verified
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import KEY_NAME, LOG_NAME, LogFile, _State
from scanner.errors import AuditError, UsageError
from tests.scanner.accountability.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A log that has begun."""
    made = Site(tmp_path)
    made.begin()
    return made


def test_what_is_owed_is_written_in_order_and_no_longer_owed(site: Site) -> None:
    """Each deed has one line, in the order of the deeds, and the chain holds by its key."""
    site.owe(300)

    assert 300 == site.audit.drain()
    assert 0 == site.audit.owed() == site.audit.drain()
    assert list(range(300)) == site.numbers
    assert site.audit.verify(site.audit.pin(), site.key).sound


def test_a_deed_that_is_rolled_back_owes_nothing(site: Site) -> None:
    """The record goes with the deed."""

    def deed() -> None:
        with site.db.write():
            due(site.db, Event.ERASED, {"number": 1}, at_ns=0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        deed()
    assert 0 == site.audit.owed()


def test_before_there_is_a_log_deeds_wait(tmp_path: Path) -> None:
    """Nothing is lost before `audit init`; what must be on record first is refused."""
    site = Site(tmp_path)
    site.owe(3)

    assert 0 == site.audit.drain()
    with pytest.raises(UsageError, match="audit init"):
        site.audit.append_now(Event.CASE_OPENED, {})
    site.begin()
    site.audit.drain()
    assert [0, 1, 2] == site.numbers


def test_a_line_that_was_written_before_its_process_died_is_not_written_again(site: Site) -> None:
    """Killed between the log's sync and the ledger's commit: the line is known by its uid."""
    site.owe(5)
    taken = [entry for _, entry in site.audit._take()]
    site.files.append(taken[:3])

    assert 5 == site.audit.drain()
    assert [0, 1, 2, 3, 4] == site.numbers


def test_two_who_drain_at_once_write_each_line_once(site: Site, tmp_path: Path) -> None:
    """The second comes while the first has taken the lines and not yet written them."""
    site.owe(5)
    second = AuditLog(site.db, LogFile(site.folder), site.clock)
    thread = threading.Thread(target=second.drain)

    class Slow(LogFile):
        def append(self, entries: Sequence[Entry], user: int | None = None) -> int:
            if entries and not thread.ident:
                thread.start()
                thread.join(0.5)  # by then it has written, if nothing holds it
            return super().append(entries, user)

    AuditLog(site.db, Slow(site.folder), site.clock).drain()
    thread.join()

    assert [0, 1, 2, 3, 4] == site.numbers


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files in another user's home")
def test_what_root_makes_in_a_home_belongs_to_its_user(tmp_path: Path) -> None:
    """`sudo hashward audit init` keeps nobody out; what has a second name elsewhere stays root's."""
    site = Site(tmp_path / "home")
    (tmp_path / "elsewhere").touch()
    os.link(tmp_path / "elsewhere", site.folder / "audit.linked")
    os.chown(site.folder, 65534, 65534)
    site.begin()
    site.owe(1)
    site.audit.drain()

    owners = {path.name: path.stat().st_uid for path in site.folder.glob("audit.*")}
    assert 0 == owners.pop("audit.linked")
    assert {LOG_NAME, KEY_NAME, "audit.due-lock", "audit.log-lock"} < owners.keys()
    assert {65534} == set(owners.values())


def test_an_urgent_line_comes_behind_what_is_owed(site: Site) -> None:
    """Its number is that of the line it is in."""
    site.owe(2)

    assert 4 == site.audit.append_now(Event.CASE_OPENED, {"by": "J. Doe"})
    assert ["audit_begun", "erased", "erased", "case_opened"] == [line.event for line in site.audit.lines()]


# -- whatever was done to it is found ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A log of twenty lines with all that belongs to it."""

    folder: Path
    log: bytes
    key: Key
    pin: Pin

    @property
    def lines(self) -> list[bytes]:
        """Its lines."""
        return self.log.splitlines(keepends=True)

    def verified(self, log: bytes, *, key: Key | None = None, pin: Pin | None = None) -> Verified:
        """What a check finds with other bytes in the place of the log."""
        (self.folder / LOG_NAME).write_bytes(log)
        return keeping.verify(LogFile(self.folder), pin, key)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Twenty lines."""
    made = Site(tmp_path_factory.mktemp("written"))
    made.begin()
    made.owe(19)
    made.audit.drain()
    return Written(made.folder, made.log, made.key, made.audit.pin())


def found_at_once(written: Written, flips: Iterable[int]) -> int:
    """Every byte flipped: how many changes were made; each is found at the line it is in, or at the one after."""
    check, count = Check(written.key, written.pin), 0
    for at, line in enumerate(written.lines):
        for flip in flips:
            for place in range(len(line)):
                changed = bytearray(line + b"".join(written.lines[at + 1 : at + 2]))
                changed[place] ^= flip
                trial = copy.copy(check)
                trial.problems = []
                assert any(trial.add(raw) is None or trial.problems for raw in chain.split([bytes(changed)])), place
                count += 1
        check.add(line)
    assert not check.problems
    return count


def test_every_flipped_byte_is_found(written: Written) -> None:
    """At every position of the log, the newlines too."""
    assert len(written.log) == found_at_once(written, [0x01])


@pytest.mark.prove
def test_every_byte_changed_to_any_other_is_found(written: Written, proof) -> None:
    """At every position, to each of the 255 other values."""
    changes = found_at_once(written, range(1, 256))

    proof("audit", "every byte of a log of 20 lines changed to every other value", changes=changes, missed=0)


@pytest.mark.parametrize("given", ["nothing", "key", "pin"])
def test_a_flipped_byte_is_found_whatever_the_operator_kept(written: Written, given: str) -> None:
    """In the files, over a spread of places and the whole last line: without a key too, while its file is there."""
    kept = {"nothing": {}, "key": {"key": written.key}, "pin": {"pin": written.pin}}[given]
    last = len(written.log) - len(written.lines[-1])
    for place in [*range(0, last, 211), *range(last, len(written.log), 7), len(written.log) - 1]:
        changed = bytearray(written.log)
        changed[place] ^= 0x04

        assert not written.verified(bytes(changed), **kept).sound, place
    assert written.verified(written.log, **kept).sound


@pytest.mark.parametrize("kept", [0, 1, 10, 19])
def test_a_cut_tail_is_found_without_a_pin_while_its_key_has_moved_on(written: Written, kept: int) -> None:
    """Whoever cuts the log cannot turn its key back."""
    found = written.verified(b"".join(written.lines[:kept]))

    assert Fault.CUT in {each.fault for each in found.problems}


@pytest.mark.parametrize("kept", [2, 10, 19])
def test_an_earlier_state_put_back_is_found_from_the_pin(tmp_path: Path, kept: int) -> None:
    """Log and key together, as from a snapshot: only the pin can tell."""
    site = Site(tmp_path)
    site.begin()
    site.owe(kept - 1)
    site.audit.drain()
    earlier = {name: (tmp_path / name).read_bytes() for name in (LOG_NAME, KEY_NAME)}
    site.owe(20 - kept)
    site.audit.drain()
    pinned = site.audit.pin()
    for name, content in earlier.items():
        (tmp_path / name).write_bytes(content)

    assert site.audit.verify(key=site.key).sound
    assert (Problem(kept, Fault.PIN),) == site.audit.verify(pinned, site.key).problems


def test_lines_left_out_or_exchanged_are_found(written: Written) -> None:
    """In the middle, where numbers and chain go on."""
    lines = written.lines
    assert not written.verified(b"".join(lines[:5] + lines[6:])).sound
    assert not written.verified(b"".join([*lines[:5], lines[6], lines[5], *lines[7:]])).sound
    assert not written.verified(b"".join([*lines[:5], lines[5], *lines[5:]])).sound


def test_whoever_takes_the_machine_cannot_write_earlier_lines_anew(written: Written) -> None:
    """With all that lies there, a whole new chain by the rules: the key that is kept elsewhere tells."""
    state = next(filter(None, map(_State.of_slot, slots(written.folder))))
    head, forged = FIRST_PREV, []
    for number in range(1, 21):
        said = {"at": "2100-01-01T00:00:00Z", "event": "erased", "uid": "1" * 32, "user": 0, "particulars": {}}
        forged.append(chain.write(Key(number, state.key.secret), head, said))
        head = chain.digest(forged[-1])

    faults = {each.fault for each in written.verified(b"".join(forged), key=written.key).problems}
    assert Fault.KEY in faults


def slots(folder: Path) -> list[bytes]:
    """The two places of the key."""
    content = (folder / KEY_NAME).read_bytes()
    return [content[: len(content) // 2], content[len(content) // 2 :]]


def test_no_earlier_key_stays_in_its_file(site: Site) -> None:
    """Of all the keys there were, the file holds the next one alone."""
    site.owe(5)
    site.audit.drain()
    key, past = site.key, set()
    for _ in range(6):
        past.add(key.secret.hex().encode())
        key = key.next()

    content = (site.folder / KEY_NAME).read_bytes()
    assert key.secret.hex().encode() in content
    assert not any(secret in content for secret in past)


def test_a_damaged_or_missing_key_file_is_found_and_nothing_more_is_written(site: Site) -> None:
    """Nobody could say then whether lines were cut off; so what is owed waits."""
    for spoil in (lambda path: path.write_bytes(path.read_bytes()[:-9000]), Path.unlink):
        spoil(site.folder / KEY_NAME)

        assert [Fault.KEEPER] == [each.fault for each in site.audit.verify().problems]
        with pytest.raises((AuditError, UsageError)):
            site.audit.append_now(Event.CASE_OPENED, {})


def test_nothing_is_written_behind_a_log_that_was_changed(site: Site) -> None:
    """Its last line is another, or it is shorter: what is owed stays owed."""
    site.owe(3)
    site.audit.drain()
    whole = site.log
    site.owe(1)
    for changed in (whole[:-1], whole.replace(b'"number":2', b'"number":3')):
        (site.folder / LOG_NAME).write_bytes(changed)

        with pytest.raises(AuditError, match="verify"):
            site.audit.drain()
        assert 1 == site.audit.owed()


def test_what_a_kill_left_behind_the_end_is_cut_off_and_the_chain_goes_on(site: Site) -> None:
    """Half a line, or bytes that are none; `verify` says that there is something."""
    for rest in (b'{"at":"2100', b"\0" * 300, b"{}\n{}\n"):
        with open(site.folder / LOG_NAME, "ab") as file:
            file.write(rest)

        found = site.audit.verify(key=site.key)
        assert found.sound
        assert found.unfinished
        site.audit.append_now(Event.CASE_OPENED, {})
        assert not site.audit.verify(key=site.key).unfinished
    assert 4 == site.audit.verify(site.audit.pin(), site.key).lines


def test_a_log_that_grows_while_it_is_checked_is_sound_as_far_as_it_was_read(site: Site) -> None:
    """And nothing of it is called unfinished."""

    class Growing(LogFile):
        def size(self) -> int:
            site.audit.append_now(Event.CASE_OPENED, {})
            return super().size()

    found = keeping.verify(Growing(site.folder), key=site.key)
    assert (True, False, 1) == (found.sound, found.unfinished, found.lines)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe\n", b"[" * 20_000 + b"\n", b"9" * 5000 + b"\n", b"{}" * 9999]
)
def test_any_bytes_in_the_place_of_the_log_are_found_wrong(written: Written, content: bytes) -> None:
    """Hostile bytes give findings: no fault, no hang."""
    assert not written.verified(content, key=written.key, pin=written.pin).sound


@pytest.mark.parametrize("text", ["", "hwpin_0_" + "0" * 64, "hwpin_1_" + "g" * 64, "hwpin_1_" + "0" * 63, "1" * 9999])
def test_a_pin_that_is_none_is_refused(text: str) -> None:
    """With a sentence that does not repeat it."""
    with pytest.raises(UsageError, match="audit pin"):
        Pin.of_text(text)


def test_pins_and_keys_are_read_as_they_are_printed(written: Written) -> None:
    """With the newline that a file has."""
    assert written.pin == Pin.of_text(written.pin.text() + "\n")
    assert written.key == Key.of_text(written.key.text() + "\n")


def test_too_long_a_text_is_refused_before_anything_happens(site: Site) -> None:
    """Not half of it, and not later."""
    with pytest.raises(UsageError, match="too long"):
        site.audit.append_now(Event.CASE_OPENED, {"because": "x" * 20_000})


def test_a_log_that_cannot_be_written_refuses_what_must_be_on_record_first(site: Site) -> None:
    """A folder stands where the log should."""
    (site.folder / LOG_NAME).unlink()
    (site.folder / LOG_NAME).mkdir()

    with pytest.raises(AuditError, match="stays owed"):
        site.audit.append_now(Event.CASE_OPENED, {})


@pytest.mark.parametrize("after", [False, True])
def test_init_killed_while_it_shows_the_key_can_be_done_again(tmp_path: Path, after: bool) -> None:
    """Nobody has a log whose key was never shown."""
    site = Site(tmp_path)

    def broken(key: str) -> None:
        if after:
            site.shown.append(key)
        raise BrokenPipeError

    begun = Entry("0" * 32, "2100-01-01T00:00:00Z", Event.AUDIT_BEGUN, {})
    with pytest.raises(BrokenPipeError):
        site.files.begin(begun, broken)
    assert not site.audit.begun
    site.begin()
    assert site.audit.verify(key=site.key).sound
