"""The intake: what is said of a body, when, and what is then on record."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashsets.errors import StoreError
from hashsets.snapshots import Snapshot
from hashsets.store import Store
from hashsets.types import Mode
from scanner import actions
from scanner.action_config import ActionsConfig
from scanner.doors import cuts
from scanner.doors.answers import ACCEPTED, CLEAR, NEVER_PASSES, OverLimit, Verdict, undecidable
from scanner.doors.catching_up import compare_accepted
from scanner.doors.intake import Bounds
from scanner.ledger.assets import NAMELESS, UPLOADS
from scanner.ledger.ledger import Pinned
from scanner.pipeline import SetsInForce
from scanner.types import Fingerprint, Resume, Source, Stop, never
from tests.scanner.doors.houses import RULES, house, run
from tests.scanner.fakes import FakeFingerprinter, Site, entry_of, fake_media, pdq, sha256, sha256_entry

PICTURE = fake_media(pdq(1))
OTHER = fake_media(pdq(2))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A home with a list of one picture by its digest and of another by its PDQ."""
    with Site(tmp_path / "home") as made:
        made.list_entries("set", sha256_entry(PICTURE, "exact"), entry_of(pdq(2, flipped=3), ref="near"))
        yield made


def test_a_body_is_clear_matched_exactly_or_nearly(site: Site, tmp_path: Path) -> None:
    """What a digest lists is exact, what only looks alike is not, and what is neither is clear."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            exact, near = await made.upload(PICTURE, b"a"), await made.upload(OTHER, b"b")
            assert CLEAR == await made.upload(fake_media(pdq(3)), b"c")
            assert CLEAR == await made.upload(b"just text", b"d")
            assert (Verdict.MATCHED, True) == (exact.verdict, exact.exact)
            assert (Verdict.MATCHED, False) == (near.verdict, near.exact)
            assert exact.name != near.name
            assert re.fullmatch(r"Policy\.Blocked\.[2-9B-Z]{8}", exact.name)
            assert not re.search("OK|FOUND|ERROR", exact.name)

    run(test)


def test_known_content_is_neither_decoded_nor_written_again(site: Site, tmp_path: Path) -> None:
    """The second time the ledger answers; only a new ref, or the first time without one, is a write."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            body = fake_media(pdq(3))
            await made.upload(body, b"a")
            await made.upload(body)
            before = site.ledger.db.data_version(), site.fingerprinter.looks[sha256(body)]
            assert CLEAR == await made.upload(body, b"a")
            assert CLEAR == await made.upload(body)
            assert before == (site.ledger.db.data_version(), site.fingerprinter.looks[sha256(body)])
            assert CLEAR == await made.upload(body, b"b")

            assert await made.intake.forget(b"b")

    run(test)


def test_what_is_listed_or_withdrawn_later_is_in_force_at_once(site: Site, tmp_path: Path) -> None:
    """A known content is compared with a list that came after it, and freed of an entry that went."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            body = fake_media(pdq(3))
            entry = sha256_entry(body, "late")
            assert CLEAR == await made.upload(body, b"a")
            site.list_entries("late", entry)
            assert Verdict.MATCHED is (await made.upload(body)).verdict
            site.list_entries("late", removed=[entry.key])
            assert CLEAR == await made.upload(body)

    run(test)


class Held(FakeFingerprinter):
    """A fingerprinter that looks only once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may = threading.Event(), threading.Event()

    def fingerprint(
        self, source: Source, resume: Resume | None = None, stop: Stop = never, within_s: float | None = None
    ) -> Fingerprint:
        self.asked.set()
        assert self.may.wait(60)
        return super().fingerprint(source, resume, stop, within_s)


def test_a_listed_digest_is_answered_before_anything_is_decoded(tmp_path: Path) -> None:
    """The match is committed and told while the decoder still stands; what it sees later is recorded too."""
    fingerprinter = Held()

    async def test(site: Site) -> None:
        async with house(site, tmp_path) as made:
            answer = await made.upload(PICTURE, b"a")
            assert answer.exact
            assert [("match", "exact", None)] == site.said()
            fingerprinter.may.set()
        content = site.ledger.known(sha256(PICTURE))
        assert 1 == len(site.ledger.signals(content.seq))

    with Site(tmp_path / "home", fingerprinter=fingerprinter) as site:
        site.list_entries("set", sha256_entry(PICTURE, "exact"))
        run(lambda: test(site))


def test_who_waits_too_long_hears_so_and_the_look_goes_on(tmp_path: Path) -> None:
    """At the deadline the answer is undecidable; the next asker gets what the look found."""
    fingerprinter = Held()

    async def test(site: Site) -> None:
        async with house(site, tmp_path) as made:
            assert undecidable("timeout") == await made.upload(PICTURE, b"a", deadline_s=0.05)
            fingerprinter.may.set()
            while made.intake.in_hand:
                await asyncio.sleep(0.01)
            assert CLEAR == await made.upload(PICTURE, b"a")
        assert 1 == fingerprinter.looks[sha256(PICTURE)]

    with Site(tmp_path / "home", fingerprinter=fingerprinter) as site:
        run(lambda: test(site))


def test_what_is_forgotten_under_its_look_is_held_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever deletes what hashward was too slow about is told when it is gone, and it does not come back."""
    fingerprinter, tried = Held(), threading.Event()

    async def test(site: Site) -> None:
        async with house(site, tmp_path) as made:
            forget = site.ledger.places.forget_upload

            def tell(ref: bytes) -> bool:
                known = forget(ref)
                tried.set()
                return known

            monkeypatch.setattr(site.ledger.places, "forget_upload", tell)
            upload = asyncio.ensure_future(made.upload(PICTURE, b"a"))
            assert await asyncio.to_thread(fingerprinter.asked.wait, 60)
            forgetting = asyncio.ensure_future(made.intake.forget(b"a"))
            assert await asyncio.to_thread(tried.wait, 60)
            assert not await made.intake.forget(b"b")
            fingerprinter.may.set()
            assert CLEAR == await upload
            assert await forgetting
            assert not await made.intake.forget(b"a")

    with Site(tmp_path / "home", fingerprinter=fingerprinter) as site:
        run(lambda: test(site))


@pytest.mark.parametrize("more_bytes", [0, 100_000])
def test_known_content_waits_for_no_look(tmp_path: Path, more_bytes: int) -> None:
    """Whatever its length: while all lanes look at others it is answered."""
    fingerprinter, known = Held(), b"known text" + bytes(more_bytes)

    async def test(site: Site) -> None:
        async with house(site, tmp_path, Bounds(lanes=1)) as made:
            fingerprinter.may.set()
            assert CLEAR == await made.upload(known, b"a")
            fingerprinter.may.clear()
            other = asyncio.ensure_future(made.upload(PICTURE))
            while made.intake.in_hand < 1:
                await asyncio.sleep(0.01)
            assert CLEAR == await made.upload(known, b"a")
            fingerprinter.may.set()
            assert CLEAR == await other

    with Site(tmp_path / "home", fingerprinter=fingerprinter) as site:
        run(lambda: test(site))


def test_past_the_bound_the_answer_is_busy(tmp_path: Path) -> None:
    """Work in hand is bounded; once there is room again, there are verdicts again."""
    fingerprinter = Held()

    async def test(site: Site) -> None:
        async with house(site, tmp_path, Bounds(in_hand=1, lanes=1)) as made:
            first = asyncio.ensure_future(made.upload(PICTURE))
            while not fingerprinter.asked.is_set():
                await asyncio.sleep(0.01)
            assert undecidable("busy") == await made.upload(OTHER)
            fingerprinter.may.set()
            assert CLEAR == await first
            while made.intake.in_hand:
                await asyncio.sleep(0.01)
            assert CLEAR == await made.upload(OTHER)

    with Site(tmp_path / "home", fingerprinter=fingerprinter) as site:
        run(lambda: test(site))


def test_accept_answers_alike_and_compares_later(site: Site, tmp_path: Path) -> None:
    """The answer to listed and unlisted bodies is one; the ledger says what was not met until the catch-up met it."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            made.intake._catching_up.close()
            for body, ref in ((PICTURE, b"a"), (OTHER, b"b"), (fake_media(pdq(3)), b"c"), (PICTURE, b"d")):
                assert ACCEPTED == await made.upload(body, ref, on_match="accept")
            assert ([], set()) == (site.said(), site.matches())
            assert site.ledger.first_behind(site.hash_set("set")) is not None
            assert 4 == compare_accepted(site.pipeline, site.ledger, site.clock)
            assert site.ledger.first_behind(site.hash_set("set")) is None
            assert ["exact", "exact", "near"] == sorted(ref for _, ref, _ in site.said())
            assert ACCEPTED == await made.upload(PICTURE, b"e", on_match="accept")
            assert 3 == len(site.said())
            compare_accepted(site.pipeline, site.ledger, site.clock)
            assert 4 == len(site.said())

    run(test)


@pytest.mark.parametrize("on_match", ["block", "accept"])
def test_an_upload_without_a_ref_is_reported_as_any_other(site: Site, tmp_path: Path, on_match: str) -> None:
    """Once for each content, when it comes or when it is listed later, with an action that names the digest alone."""
    later = fake_media(pdq(9))

    async def test() -> None:
        async with house(site, tmp_path) as made:
            for body in (PICTURE, PICTURE, later):
                await made.upload(body, on_match=on_match)
        site.rescan()
        assert [("match", "exact", None)] == site.said()
        site.list_entries("set", sha256_entry(later, "later"))
        site.rescan()
        assert [("match", "exact", None), ("match", "later", None)] == site.said()
        actions.draw(site.ledger, ActionsConfig(command=("/bin/true",)), site.clock)
        told = [
            json.loads(actions.encode(each, site.where(each.asset_id)))
            for each in site.ledger.actions.owed(site.clock.now_ns())
        ]
        assert {sha256(PICTURE).hex(), sha256(later).hex()} == {each["sha256"] for each in told}
        assert not {"ref", "path"} & told[0].keys()
        assert not site.ledger.places.forget_upload(NAMELESS + sha256(PICTURE))
        site.list_entries("set", removed=[sha256_entry(later, "later").key])
        site.rescan()
        assert [("match", "exact", None)] == site.said()  # it was never sealed: the world hears of neither

    run(test)


def test_a_ref_that_begins_as_the_ledgers_own_is_none(site: Site, tmp_path: Path) -> None:
    """A caller cannot put another content in the place of one that came without a ref."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            await made.upload(PICTURE)
            await made.upload(b"another", NAMELESS + sha256(PICTURE))
            asset = site.ledger.places.find(UPLOADS, NAMELESS + sha256(PICTURE))
            assert asset is not None
            assert site.ledger.known(sha256(PICTURE)).seq == asset.content_seq

    run(test)


def test_a_rescan_does_what_a_killed_catch_up_left(site: Site, tmp_path: Path) -> None:
    """Accepted uploads are met by `rescan` too, with what follows of every place they came to."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            made.intake._catching_up.close()
            for ref in (b"a", b"b"):
                await made.upload(PICTURE, ref, on_match="accept")
            site.rescan()
            await made.upload(PICTURE, b"c", on_match="accept")
            site.rescan()
        assert [("match", "exact", None)] * 3 == site.said()
        assert [] == site.ledger.uploads.accepted(9)

    run(test)


def test_a_set_in_shadow_blocks_and_says_nothing(site: Site, tmp_path: Path) -> None:
    """What is listed is never clear to who asks; no report of it is due."""
    site.store.set_mode("set", Mode.SHADOW)

    async def test() -> None:
        async with house(site, tmp_path) as made:
            assert Verdict.MATCHED is (await made.upload(PICTURE, b"a")).verdict
            assert Verdict.MATCHED is (await made.upload(PICTURE, b"a")).verdict

    run(test)
    assert 1 == len(site.matches())
    assert [] == site.said()


@pytest.mark.parametrize("how", ["told", "declared", "length", "middle"])
def test_a_part_is_never_clear_and_a_match_in_it_stays_one(how: str, site: Site, tmp_path: Path) -> None:
    """However it is known that not all came, the answer is cut, unless what did come is listed."""

    async def upload(made: object, body: bytes) -> object:
        rules = RULES.__class__("door", deadline_s=60.0, cut_lengths=frozenset({len(body)} if how == "length" else ()))
        declared = len(body) + 1 if how == "declared" else None
        up = made.intake.begin(rules, None, declared, how != "middle")  # type: ignore[attr-defined]
        await up.write(body)
        return await up.finish(cut=how == "told")

    async def test() -> None:
        async with house(site, tmp_path) as made:
            for _ in range(2):
                assert undecidable("cut") == await upload(made, fake_media(pdq(3)))
                assert Verdict.MATCHED is (await upload(made, PICTURE)).verdict  # type: ignore[attr-defined]

    run(test)


def test_what_begins_with_nothing_known_is_a_piece_only_where_pieces_are_sent(site: Site, tmp_path: Path) -> None:
    """A file in its place, and an upload of callers who send whole files, are what they are, as for a scan."""
    noise, path = b"\x01" + bytes(cuts.LARGE_BYTES), tmp_path / "file"
    path.write_bytes(noise)

    async def test() -> None:
        async with house(site, tmp_path) as made:
            assert undecidable("cut") == await made.upload(noise)
            assert CLEAR == await made.upload(noise, whole_files=True)
            assert CLEAR == await made.upload(noise[: cuts.LARGE_BYTES - 1])
            with path.open("rb") as file:
                assert CLEAR == await made.intake.scan_fd(RULES, file.fileno(), None)

    run(test)


def test_too_much_nothing_and_not_ready_are_said(site: Site, tmp_path: Path) -> None:
    """Each has its reason, none is clear."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            upload = made.intake.begin(RULES.__class__("door", max_bytes=3))
            with pytest.raises(OverLimit):
                await upload.write(b"four")
            assert undecidable("over_limit") == await upload.finish()
            assert undecidable("empty") == await made.upload(b"")
        assert undecidable("not_ready") == await made.upload(PICTURE)
        rendered = made.metrics.render().decode()
        assert 'hashward_answers_total{listener="door",reason="empty",verdict="undecidable"} 1.0' in rendered

    run(test)


def test_a_large_body_lies_in_a_file_without_a_name(site: Site, tmp_path: Path) -> None:
    """Past the memory bound it goes to the spool, where a listing shows nothing; its digest is that of its bytes."""
    body = fake_media(pdq(3)) + b"x" * 9_000_000

    async def test() -> None:
        async with house(site, tmp_path) as made:
            upload = made.intake.begin(RULES)
            for start in range(0, len(body), 300_000):
                await upload.write(body[start : start + 300_000])
            assert not upload._body.is_in_memory
            assert [] == os.listdir(made.spool)
            assert CLEAR == await upload.finish()
            assert sha256(body) == upload.sha256

    run(test)


def test_a_file_is_judged_by_its_descriptor(site: Site, tmp_path: Path) -> None:
    """The offset stays where it was; an empty file is clear, one over the limit is not."""
    path = tmp_path / "file"
    path.write_bytes(PICTURE)

    async def test() -> None:
        async with house(site, tmp_path) as made:
            with path.open("rb") as file:
                file.seek(3)
                answer = await made.intake.scan_fd(RULES, file.fileno(), b"the path")
                assert 3 == os.lseek(file.fileno(), 0, os.SEEK_CUR)
                assert (Verdict.MATCHED, True) == (answer.verdict, answer.exact)
                small = RULES.__class__("door", max_bytes=3)
                assert undecidable("over_limit") == await made.intake.scan_fd(small, file.fileno(), None)
            path.write_bytes(b"")
            with path.open("rb") as file:
                assert CLEAR == await made.intake.scan_fd(RULES, file.fileno(), None)

    run(test)


def test_a_file_whose_end_cannot_be_read_is_recorded_and_not_clear(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a look has seen is kept, though nobody can tell any more whether that was all."""
    path = tmp_path / "file"
    path.write_bytes(fake_media(pdq(77)))

    def is_cut(_content: object, **_how: object) -> bool:
        raise OSError(errno.EIO, "the disk")

    monkeypatch.setattr(cuts, "is_cut", is_cut)

    async def test() -> None:
        async with house(site, tmp_path) as made:
            with path.open("rb") as file:
                assert undecidable("io") == await made.intake.scan_fd(RULES, file.fileno(), b"the path")
        assert site.ledger.known(sha256(path.read_bytes())) is not None

    run(test)


class BlockedSets(SetsInForce):
    """Sets that nobody can be compared with until they may."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.asked, self.may = threading.Event(), threading.Event()
        self.may.set()

    def pin(self) -> tuple[Pinned, Snapshot]:
        self.asked.set()
        assert self.may.wait(60)
        return super().pin()

    as_pinned = pin


def test_with_accept_the_reply_is_out_while_the_matcher_still_blocks(site: Site, tmp_path: Path) -> None:
    """Nothing is compared before the answer: a matcher that never answers holds nobody up."""
    sets = BlockedSets(site.store)

    async def test() -> None:
        async with house(site, tmp_path, sets=sets) as made:
            sets.may.clear()
            sets.asked.clear()
            assert ACCEPTED == await made.upload(PICTURE, b"a", on_match="accept")
            assert ACCEPTED == await made.upload(PICTURE, b"b", on_match="accept")
            assert await asyncio.to_thread(sets.asked.wait, 60)
            assert [] == site.said()
            sets.may.set()
            while len(site.said()) < 2:
                await asyncio.sleep(0.02)

    run(test)


@pytest.mark.parametrize(
    "error", [StoreError("the disk is full"), OSError(errno.ENOSPC, "the disk is full")], ids=["store", "file"]
)
@pytest.mark.parametrize("body", [fake_media(pdq(3)), PICTURE], ids=["new", "listed"])
def test_a_ledger_that_refuses_is_said_and_found_well_again(
    site: Site, tmp_path: Path, body: bytes, error: Exception
) -> None:
    """While nothing can be committed nothing passes, whatever a listener's rule; once it can, all goes on by itself."""

    async def test() -> None:
        async with house(site, tmp_path) as made:
            write = site.ledger.db.write

            def full(*_: object, **__: object) -> object:
                raise error

            site.ledger.db.write = full
            answer = await made.upload(body, b"a")
            assert undecidable("not_ready") == answer
            assert answer.reason in NEVER_PASSES
            assert not made.intake.ready
            assert undecidable("not_ready") == await made.upload(fake_media(pdq(4)), b"b")
            site.ledger.db.write = write
            while not made.intake.ready:
                await asyncio.sleep(0.02)
            assert CLEAR == await made.upload(fake_media(pdq(4)), b"b")

    run(test)
