"""Films past their deadline: kept in the spool until looked at, through kills, and gone after that."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scanner.doors.answers import ACCEPTED, Answer, undecidable
from scanner.doors.bodies import Body, Memory
from scanner.doors.spooling import Spool
from scanner.types import MediaKind
from tests.scanner.doors.houses import House, house, run
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256

FILM = fake_media(*(pdq(n, frame=n) for n in range(9)), kind=MediaKind.VIDEO, steps=2)
PICTURE = fake_media(pdq(1), pdq(2), steps=1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A home that lists the last frame of the film."""
    with Site(tmp_path / "home") as made:
        made.list_entries("set", entry_of(pdq(8), ref="last-frame"))
        yield made


async def late(made: House, body: bytes, **rules: Any) -> Answer:
    """Upload, with nobody to look at what is spooled."""
    made.intake._catching_up.close()
    return await made.upload(body, b"ref", **rules)


@pytest.mark.parametrize("on_match", ["block", "accept"])
def test_a_late_film_is_kept_and_looked_at_to_its_end(on_match: str, site: Site, tmp_path: Path) -> None:
    """The answer says that it ran out of time; what the rest shows is matched under the upload's ref; it is gone."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            assert undecidable("timeout") == await late(made, FILM, on_match=on_match)
            (name,) = os.listdir(made.spool)
            assert 0o600 == stat.S_IMODE((made.spool / name).stat().st_mode)
            assert FILM == (made.spool / name).read_bytes()
            assert [name] == [each.name for each in site.ledger.uploads.spooled()]
            assert undecidable("timeout") == await made.upload(PICTURE, b"picture")
            assert 1 == len(os.listdir(made.spool))
        spool = Spool(made.spool, site.ledger)
        assert 0 == spool.sweep()
        assert 1 == spool.look(site.pipeline)
        site.rescan()
        assert ([], []) == (os.listdir(made.spool), site.ledger.uploads.spooled())
        assert [("match", "last-frame", None)] == site.said()
        assert not site.ledger.known(sha256(FILM)).owed

    run(test)


def test_a_kill_at_any_point_leaves_nothing_behind_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    """A file without a record is swept; a record without a file is struck; a file somebody is at is left alone."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            await late(made, FILM)
        spool = Spool(made.spool, site.ledger)
        (made.spool / "orphan").write_bytes(b"of a kill before its record")
        assert 1 == spool.sweep()
        assert 1 == len(os.listdir(made.spool))
        assert 0 == spool.look(site.pipeline, stop=lambda: True)
        assert 1 == len(site.ledger.uploads.spooled())
        with spool._locked(os.listdir(made.spool)[0]) as held:
            assert held is not None
            assert 0 == spool.look(site.pipeline)
        (made.spool / os.listdir(made.spool)[0]).unlink()
        assert 0 == spool.look(site.pipeline)
        assert [] == site.ledger.uploads.spooled()

    run(test)


def test_what_the_spool_has_no_room_for_is_not_kept(site: Site, tmp_path: Path) -> None:
    """The bound counts what lies there already; one content is kept once."""
    from scanner.doors.intake import Bounds

    other = FILM + b"another\n"

    async def test() -> None:
        async with house(site, tmp_path, Bounds(lanes=1, spool_bytes=len(FILM) + 1)) as made:
            for body in (FILM, FILM, other):
                await late(made, body)
            assert 1 == len(os.listdir(made.spool))

    run(test)


def test_serving_goes_on_with_what_another_process_left(site: Site, tmp_path: Path) -> None:
    """The next start looks at the spool and meets what was accepted, by itself."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            await late(made, FILM)
            assert ACCEPTED == await made.upload(fake_media(pdq(8)), b"other", on_match="accept")
        assert [] == site.said()
        async with house(site, tmp_path) as made:
            while len(site.said()) < 2 or site.ledger.uploads.spooled():
                await asyncio.sleep(0.05)
        assert [] == os.listdir(made.spool)

    run(test)


@pytest.mark.parametrize("lengths", [(1,), (70_000, 3, 2_000_000), (300_000,) * 20, (5000,) * 1500])
def test_a_body_in_memory_is_what_came_wherever_it_is_read(lengths: tuple[int, ...], tmp_path: Path) -> None:
    """By offset, laid out in a file that held more, and given a name in the spool."""

    async def test() -> None:
        pieces = [random.Random(number).randbytes(length) for number, length in enumerate(lengths)]
        whole = b"".join(pieces)
        with ThreadPoolExecutor(1) as threads, tempfile.TemporaryFile() as file:
            file.write(b"x" * 10**7)
            body = Body(tmp_path, Memory(), threads)
            for piece in pieces:
                await body.write(piece)
            assert body.complete().sha256 == hashlib.sha256(whole).digest()
            for seed in range(50):
                rng = random.Random(seed)
                at, count = rng.randrange(len(whole) + 10), rng.choice((1, 7, 4096, 300_000))
                assert body.at(at, count) == whole[at : at + count]
            assert body.source() is body
            body.write_to(file.fileno())
            assert os.pread(file.fileno(), 10**7 + 1, 0) == whole
            body.name_in(tmp_path, "kept")

            assert (tmp_path / "kept").read_bytes() == whole
            assert [body.at(at, 9) for at in (0, 5, len(whole))] == [whole[at : at + 9] for at in (0, 5, len(whole))]
            body.close()

    run(test)


@pytest.mark.parametrize("on_match", ["block", "accept"])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_equal_films_at_once_are_looked_at_to_their_end_and_not_kept_twice(
    count: int, on_match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look they share counts once: else they would soon be given up, and what is listed in the rest be missed."""
    film = fake_media(*(pdq(n, frame=3 * n) for n in range(20)), kind=MediaKind.VIDEO, steps=3)
    keeping: list[str] = []
    beside: list[str] = []
    named = Body.name_in

    def name_in(body: Body, folder: Path, name: str) -> None:
        beside.extend(keeping)
        keeping.append(name)
        time.sleep(0.02)  # whoever does not wait is here by then
        named(body, folder, name)
        keeping.remove(name)

    monkeypatch.setattr(Body, "name_in", name_in)

    async def test(site: Site) -> None:
        async with house(site, tmp_path) as made:
            await asyncio.gather(*(made.upload(film, b"%d" % n, on_match=on_match) for n in range(count)))
            while len(site.said()) < count:
                await asyncio.sleep(0.02)

    with Site(tmp_path / "home") as site:
        site.list_entries("set", entry_of(pdq(19), ref="the end"))
        run(lambda: asyncio.wait_for(test(site), 60))
    assert [] == beside


def test_what_has_come_counts_as_taken_before_it_is_hashed(tmp_path: Path) -> None:
    """Else every connection could hold a piece that nobody counts; past the bound a body goes to its file, whole."""

    async def test() -> None:
        with ThreadPoolExecutor(1) as hashers:
            memory = Memory(1000)
            body = Body(tmp_path, memory, hashers)
            await body.write(b"a" * 600)
            assert (True, False) == (body.is_in_memory, memory.take(401))
            await body.write(b"b" * 600)
            digests = body.complete()

            assert hashlib.sha256(b"a" * 600 + b"b" * 600).digest() == digests.sha256
            assert (False, b"ab") == (body.is_in_memory, body.at(599, 2))
            assert memory.take(1000)
            memory.give_back(1000)
            body.close()

    run(test)
