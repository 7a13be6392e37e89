"""The broker: the log under another user, asked over a socket by whom it may."""

from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hashsets.sqlite import Database
from scanner import unix_socket
from scanner.accountability import keeping
from scanner.accountability.audit import AuditLog, Event
from scanner.accountability.broker import MOST_AT_ONCE, Broker, BrokerLog
from scanner.accountability.chain import Key
from scanner.accountability.keeping import Entry
from scanner.accountability.log_file import KEY_NAME, LOG_NAME, LogFile
from scanner.errors import AuditError, UsageError
from scanner.ledger.migrations import MIGRATIONS
from tests.command import Hashward
from tests.scanner.accountability.brokers import Running, first_entry
from tests.scanner.fakes import MovableClock

NOBODY = 65534


def test_what_is_owed_reaches_the_log_of_the_broker(running: Running) -> None:
    """Once each, and all that one may ask of a log can be asked of it."""
    running.owe(300)

    assert 300 == running.audit.drain()
    assert 302 == running.audit.append_now(Event.CASE_OPENED, {"by": "somebody"})
    key, pin = Key.of_text(running.shown[0]), running.audit.pin()
    assert 302 == pin.seq
    assert running.audit.verify(pin, key).sound
    assert list(range(300)) == [line.particulars["number"] for line in running.audit.lines() if line.event == "erased"]
    assert keeping.verify(LogFile(running.folder), pin, key).sound


def test_a_line_whose_answer_got_lost_is_written_once(running: Running) -> None:
    """The scanner dies after the broker has written."""
    running.owe(3)
    lost = [each for _, each in running.audit._take()]
    running.log.append(lost[:2])

    assert 3 == running.audit.drain()
    assert [0, 1, 2] == [line.particulars["number"] for line in running.audit.lines() if line.event == "erased"]


def test_a_request_that_comes_after_its_repetition_writes_nothing(running: Running) -> None:
    """Its sender died while it was under way, and whoever came next was faster."""
    late = [
        Entry(f"{number + 1:032x}", "2100-01-01T00:00:00Z", Event.ERASED, {"number": number}) for number in range(3)
    ]
    running.log.append([replace(each, again=True) for each in late])
    running.log.append(late)

    assert [0, 1, 2] == [line.particulars["number"] for line in running.audit.lines() if line.event == "erased"]


def test_another_user_is_not_answered(short: Path) -> None:
    """The kernel says who asks; what is owed stays owed."""
    made = Running(short, frozenset({os.getuid() + 1}))
    made.owe(1)

    with pytest.raises(AuditError, match="stays owed"):
        made.audit.drain()
    assert 1 == made.audit.owed()
    assert 1 == LogFile(made.folder).append([])
    made.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_scanners_user_adds_lines_and_can_neither_read_the_key_nor_change_the_log(short: Path) -> None:
    """A process of another user: the socket is all it has."""
    made = Running(short, frozenset({NOBODY}))
    child = os.fork()
    if not child:
        outcome = 99
        try:
            outcome = _as_nobody(made)
        finally:
            os._exit(outcome)

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line = list(keeping.lines(LogFile(made.folder)))[-1]
    assert (Event.CASE_OPENED, NOBODY) == (line.event, line.user)
    made.close()


def _as_nobody(made: Running) -> int:
    """What another user can do: 0 where that is what it should be. From within: the way there may be closed to it."""
    os.chdir(made.folder.parent)
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    if BrokerLog(Path(made.socket.name)).append([Entry("1" * 32, "2100-01-01T00:00:00Z", Event.CASE_OPENED, {})]) != 2:
        return 1
    for name in (LOG_NAME, KEY_NAME):
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.open(Path(made.folder.name) / name, flags)
                return 2
            except PermissionError:
                continue
    return 0


HOSTILE = {
    "nothing": b"\n",
    "no JSON": b"\xff\xfe\n",
    "no object": b"[]\n",
    "deep": b"[" * 100_000 + b"\n",
    "a long number": b"9" * 5000 + b"\n",
    "no such request": b'{"op":"erase"}\n',
    "no lines": b'{"op":"append","entries":[]}\n',
    "too many lines": b'{"op":"append","entries":[' + b",".join([b"{}"] * 257) + b"]}\n",
    "a line of other fields": b'{"op":"append","entries":[{"uid":"' + b"0" * 32 + b'"}]}\n',
    "read from before": b'{"op":"read","start":-1,"bytes":5}\n',
    "read too much": b'{"op":"read","start":0,"bytes":99999999999}\n',
    "read true": b'{"op":"read","start":0,"bytes":true}\n',
}


def test_a_hostile_request_is_answered_with_a_sentence(running: Running) -> None:
    """And nothing of it is written; the next is answered as ever."""
    for what, request in HOSTILE.items():
        answer = json.loads(running.say(request))

        assert {"error", "usage"} == answer.keys(), what
    assert 1 == len(list(running.audit.lines()))


GOOD = {"uid": "1" * 32, "at": "2100-01-01T00:00:00Z", "event": "erased", "particulars": {}, "again": False}
WRONG = {
    "uid": ["", "x" * 32, 5, None],
    "at": ["yesterday", 5, "2100-01-01T00:00:00Z\n"],
    "event": ["", "No Event", "x" * 65, None],
    "particulars": [[], "", {"a": []}, {"a": 0.5}, {"a": "x" * 20_000}, {"a": {}}],
}


def test_a_line_with_a_wrong_field_is_refused_with_all_that_came_with_it(running: Running) -> None:
    """Whole requests are written or none of them."""
    for field, wrong in ((field, wrong) for field, values in WRONG.items() for wrong in values):
        asked = {"op": "append", "entries": [GOOD, {**GOOD, field: wrong}]}
        answer = json.loads(running.say(json.dumps(asked).encode() + b"\n"))

        assert "error" in answer, (field, wrong)
    assert 1 == len(list(running.audit.lines()))


def test_a_request_that_does_not_end_is_not_answered(running: Running) -> None:
    """Cut off, or longer than any."""
    assert b"" == running.say(b'{"op":"standing"}')
    assert 1 == len(list(running.audit.lines()))


def test_more_callers_than_it_takes_are_turned_away_and_the_others_served(running: Running) -> None:
    """Idle ones hold their places and no more."""
    idle = [socket.socket(socket.AF_UNIX) for _ in range(MOST_AT_ONCE)]
    for each in idle:
        each.connect(str(running.socket))

    while True:  # until the last of them has its place
        try:
            running.log.standing()
        except AuditError:
            break
    idle.pop().close()
    while True:
        try:
            assert running.log.standing() is not None
            break
        except AuditError:
            continue
    for each in idle:
        each.close()


def test_without_the_broker_deeds_wait_and_openings_are_refused(short: Path) -> None:
    """Nobody listens."""
    audit = AuditLog(Database.open(short / "home" / "ledger.db", MIGRATIONS), BrokerLog(short / "none"), MovableClock())

    assert 0 == audit.drain()
    with pytest.raises(AuditError, match="broker"):
        audit.append_now(Event.CASE_OPENED, {})
    with pytest.raises(UsageError, match="broker's user"):
        BrokerLog(short / "none").begin(first_entry("0" * 32), lambda key: None)


def test_the_command_keeps_the_log_of_another_home_through_a_kill(short: Path) -> None:
    """What takes the place of one that was killed goes on with the chain."""
    broker, scanner = Hashward(short / "broker"), Hashward(short / "home")
    key = broker.json("audit", "init")["verification_key"]
    settings = short / "home" / "config.toml"
    settings.parent.mkdir(mode=0o700)
    settings.write_text(f'[broker]\nsocket = "{short}/s"\n')
    process = broker.process("broker", "--socket", short / "s", "--user", os.getuid())
    assert "keeping" in process.stderr.readline()
    assert [] == scanner.json("root", "list")
    process.kill()
    process.communicate(timeout=60)
    settings.write_text(f'[broker]\nsocket = "{short}/s"\n[scan]\nworkers = 1\n')
    assert "stays owed" in scanner("root", "list").err

    again = Broker(short / "broker", frozenset({os.getuid()}))
    with unix_socket.listening(str(short / "s"), 0o600, None, 64) as listener:
        thread = threading.Thread(target=again.serve, args=(listener,))
        thread.start()
        assert 0 == scanner("root", "list").code
        again.stop()
        thread.join()

    (short / "key").write_text(key)
    verified = broker.json("audit", "verify", "--key-file", short / "key")
    assert (True, True) == (verified["sound"], verified["keys_checked"])
    assert ["audit_begun", "software_changed", "config_changed", "config_changed"] == [
        each["event"] for each in broker("audit", "show", "--json").objects
    ]
