"""Files on file systems that may never answer: read as if they were sent, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.doors.answers import CLEAR, Undecided, Verdict, undecidable
from scanner.doors.clamd import ClamdListener
from scanner.doors.outside import Outside, Unanswered, folder_of, is_local, let_go
from scanner.doors.rules import DoorRules
from tests.scanner.doors.fakes import FakeIntake
from tests.scanner.doors.houses import RULES, house, run
from tests.scanner.doors.running import running, unix_socket
from tests.scanner.fakes import Site, entry_of, fake_media, pdq

WAIT_S = 60.0
NEAR = fake_media(pdq(2))


class Hanging:
    """pread of one file does not come back until it may: as over a network that is gone."""

    def __init__(self, inode: int) -> None:
        self._inode = inode
        self._real = os.pread
        self.may, self.asked = threading.Event(), threading.Event()

    def __call__(self, fd: int, count: int, offset: int) -> bytes:
        if os.fstat(fd).st_ino == self._inode:
            self.asked.set()
            assert self.may.wait(WAIT_S)
        return self._real(fd, count, offset)


def open_outside(most: int = 64) -> Outside:
    """Every file lies on such a file system."""
    return Outside(most, lambda _fd: False)


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """A file that hangs."""
    (tmp_path / "hangs").write_bytes(NEAR)
    made = Hanging((tmp_path / "hangs").stat().st_ino)
    monkeypatch.setattr(os, "pread", made)
    yield made
    made.may.set()


def test_where_a_file_lies_is_told_without_asking_its_file_system(tmp_path: Path) -> None:
    """A disk is here; what lies in no mount of ours may lie anywhere."""
    (tmp_path / "f").write_bytes(b"x")
    memory = os.memfd_create("x")
    with open(tmp_path / "f", "rb") as file, open("/proc/version", "rb") as told:
        assert [True, False, False] == [is_local(each) for each in (file.fileno(), told.fileno(), memory)]
    let_go(memory)

    assert not is_local(10**6)


def test_files_from_outside_are_judged_as_any(tmp_path: Path) -> None:
    """Matched, clear, too long, empty: and found again by their ref."""

    async def test() -> None:
        with Site(tmp_path / "home") as site:
            site.list_entries("set", entry_of(pdq(2, flipped=3), ref="near"))
            async with house(site, tmp_path, outside=open_outside()) as made:
                said = []
                for content in (NEAR, b"nothing to look at", b""):
                    (tmp_path / "f").write_bytes(content)
                    with open(tmp_path / "f", "rb") as file:
                        said.append(await made.intake.scan_fd(RULES, file.fileno(), b"ref"))
                        assert 0 == file.tell()
                with open(tmp_path / "home" / "ledger.db", "rb") as file:
                    rules = replace(RULES, max_bytes=1000)
                    said.append(await made.intake.scan_fd(rules, file.fileno(), None))

                assert [Verdict.MATCHED, CLEAR, CLEAR] == [said[0].verdict, *said[1:3]]
                assert undecidable(Undecided.OVER_LIMIT) == said[3]
                assert await made.intake.forget(b"ref")

    run(test)


def test_many_files_that_hang_keep_nobody_waiting(tmp_path: Path, hanging: Hanging) -> None:
    """More than there are threads: each is undecidable in its time, others are judged meanwhile, these later."""

    async def test() -> None:
        with Site(tmp_path / "home") as site:
            site.list_entries("set", entry_of(pdq(2, flipped=3), ref="near"))
            async with house(site, tmp_path, outside=open_outside(8)) as made:
                with open(tmp_path / "hangs", "rb") as file:
                    fast = replace(RULES, deadline_s=0.3)
                    asking = [made.intake.scan_fd(fast, file.fileno(), b"ref") for _ in range(20)]
                    hung = await asyncio.gather(*asking)
                    others = [await made.upload(b"text %d" % number) for number in range(10)]
                    hanging.may.set()
                    while made.intake.in_hand:
                        await asyncio.sleep(0.01)
                    again = await made.intake.scan_fd(RULES, file.fileno(), b"ref")

                assert [undecidable("timeout")] * 20 == hung
                assert [CLEAR] * 10 == others
                assert Verdict.MATCHED is again.verdict

    run(test)


def test_descriptors_are_judged_while_every_thread_hangs(tmp_path: Path) -> None:
    """Of files that lie here: neither those for others' file systems nor those that find a path are waited for."""
    may, told = threading.Event(), b""
    (tmp_path / "f").write_bytes(b"text")
    intake: Any = FakeIntake()

    def hang(pool: Outside, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(2):
            asyncio.run_coroutine_threadsafe(pool.call(lambda: may.wait(WAIT_S), WAIT_S), loop)

    sock = unix_socket(tmp_path / "s")
    with running(lambda: ClamdListener(sock, intake, DoorRules("door", deadline_s=1.0))) as loop:
        intake.outside, intake.names = Outside(2), Outside(2)
        hang(intake.outside, loop)
        hang(intake.names, loop)
        with socket.socket(socket.AF_UNIX) as line, open(tmp_path / "f", "rb") as file:
            line.settimeout(WAIT_S)
            line.connect(str(tmp_path / "s"))
            line.sendall(b"zFILDES\0")
            socket.send_fds(line, [b"x"], [file.fileno()])
            told = line.recv(100)
        may.set()

    assert told.endswith(b": OK\0")
    assert {} == intake.refs


def test_what_comes_of_a_call_that_was_given_up_is_let_go_of() -> None:
    """A descriptor nobody takes any more would stay open."""
    may, gone = threading.Event(), threading.Event()

    def work() -> int:
        assert may.wait(WAIT_S)
        return 7

    def undo(brought: int) -> None:
        assert 7 == brought
        gone.set()

    async def test() -> None:
        outside = Outside(1)
        with pytest.raises(Unanswered):
            await outside.call(work, 0.05, undo)
        with pytest.raises(Unanswered):  # all threads wait for what does not answer
            await outside.call(lambda: 1, 0.05)
        may.set()
        assert await asyncio.to_thread(gone.wait, WAIT_S)
        assert 1 == await outside.call(lambda: 1, WAIT_S)
        with pytest.raises(KeyError):
            await outside.call(dict[str, Any]().popitem, WAIT_S)

    run(test)


def test_one_file_system_that_hangs_leaves_threads_for_the_others() -> None:
    """However many of its files are asked for: a quarter of the threads is all it gets."""
    may = threading.Event()
    hung, other = os.memfd_create("a"), os.open("/proc/version", os.O_RDONLY)

    async def test() -> None:
        outside = Outside(8)
        asked = [outside.call(lambda: may.wait(WAIT_S), 0.05, of=hung) for _ in range(20)]
        assert [Unanswered] * 20 == [type(each) for each in await asyncio.gather(*asked, return_exceptions=True)]
        assert [1, 2] == [await outside.call(lambda: 1, WAIT_S, of=other), await outside.call(lambda: 2, WAIT_S)]
        hopeful = asyncio.create_task(outside.call(lambda: 3, WAIT_S, of=hung))
        may.set()
        assert 3 == await hopeful

    run(test)
    os.close(hung)
    os.close(other)


def test_a_folder_that_hangs_keeps_the_folders_beside_it_answered() -> None:
    """Paths are told apart by the configured folder they name."""
    folders = (b"/srv/a", b"/srv/b/", b"/")
    paths = (b"/srv/a/x", b"/srv/ab", b"/srv/b/x", b"/srv/a", b"relative")

    assert [b"/srv/a", b"/", b"/srv/b/", b"/srv/a", b""] == [folder_of(folders, path) for path in paths]
