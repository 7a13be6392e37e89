"""What doors take in is counted once, under their listener's region, however it is answered."""

from __future__ import annotations

from pathlib import Path

from scanner.doors.catching_up import compare_accepted
from tests.scanner.doors.houses import house, run
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256_entry

EXACT, NEAR, CLEAR = (fake_media(pdq(n)) for n in (1, 2, 3))


def counted(site: Site) -> list[tuple[object, ...]]:
    """Region, media, extent, items, contents of every row."""
    return site.ledger.db.execute(
        "SELECT region, media, extent, items, contents FROM volume ORDER BY region, media, extent"
    ).fetchall()


def flagged(site: Site) -> list[tuple[object, ...]]:
    """Region and hash type of every flag."""
    return site.ledger.db.execute("SELECT region, hash_type FROM flag ORDER BY region, hash_type").fetchall()


def test_each_upload_counts_once_with_what_its_look_found(tmp_path: Path) -> None:
    """A listed digest is recorded before its look and counted after it; what is known counts under another ref only."""

    async def test(site: Site) -> None:
        async with house(site, tmp_path) as made:
            for body, ref in ((EXACT, b"a"), (NEAR, b"b"), (CLEAR, b"c"), (EXACT, b"a"), (EXACT, b"d")):
                await made.upload(body, ref, region="EU")
            for _ in range(2):
                await made.upload(CLEAR, b"e", region="US")

    with Site(tmp_path / "home") as site:
        site.list_entries("A", sha256_entry(EXACT))
        site.list_entries("B", entry_of(pdq(2, flipped=3), ref="near"))
        run(lambda: test(site))

        assert [("EU", "image", "whole", 4, 3), ("US", "image", "whole", 1, 0)] == counted(site)
        assert [("EU", "pdq"), ("EU", "sha256")] == flagged(site)


def test_what_is_accepted_before_it_is_compared_counts_once(tmp_path: Path) -> None:
    """The comparison afterwards flags it where it came in, and counts it no second time."""

    async def test(site: Site) -> None:
        async with house(site, tmp_path) as made:
            await made.upload(EXACT, b"a", region="EU", on_match="accept")
            await made.upload(CLEAR, None, region="EU", on_match="accept")

    with Site(tmp_path / "home") as site:
        site.list_entries("A", sha256_entry(EXACT))
        run(lambda: test(site))
        compare_accepted(site.pipeline, site.ledger, site.clock)

        assert [("EU", "image", "whole", 2, 2)] == counted(site)
        assert [("EU", "sha256")] == flagged(site)
