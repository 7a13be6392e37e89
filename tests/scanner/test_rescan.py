"""Re-scan: from stored signals, by deltas, to the same end whatever happened before or happens meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hashsets.store import Store
from hashsets.types import Classification, Entry, Mode, Role, Rule, Signal, entry_key
from scanner.ledger import contents
from scanner.ledger.inventory import Inventory, Stretch
from scanner.ledger.ledger import Ledger
from scanner.rescan import KEPT_VERSIONS, Rescan
from tests.scanner.fakes import (
    Site,
    entry_of,
    fake_media,
    pdq,
    sha256,
    sha256_entry,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a folder `media` beside its home."""
    (tmp_path / "media").mkdir()
    with Site(tmp_path / "home") as site:
        yield site


def media(site: Site) -> Path:
    """The scanned folder."""
    return site.home.parent / "media"


def states(site: Site) -> dict[bytes, str]:
    """State by entry key; of one content in these tests."""
    return {key: state for _, _, key, state in site.matches()}


def test_a_new_entry_finds_what_was_scanned_before_and_opens_no_file(site: Site) -> None:
    """Ten contents scanned, ten listed afterwards: ten matches, although the files are gone by then."""
    contents = [fake_media(pdq(seed)) for seed in range(10)]
    for number, content in enumerate(contents):
        (media(site) / f"{number}").write_bytes(content)
    site.scan(media(site))
    site.list_entries("A", *(sha256_entry(content) for content in contents))
    looks = site.fingerprinter.looks.total()
    shutil.rmtree(media(site))
    summary = site.rescan()

    assert (10, 10) == (summary.contents, summary.change.added)
    assert looks == site.fingerprinter.looks.total()
    assert 10 == len(site.said())


def test_a_withdrawn_entry_withdraws_its_matches_and_says_so_once_sealed(site: Site) -> None:
    """Before sealing nothing is left to say; after sealing one withdrawal says it."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    entry = sha256_entry(content)
    site.list_entries("A", entry)
    site.rescan()
    site.list_entries("A", removed=[entry.key])
    site.rescan()
    unsealed = site.said()
    site.list_entries("A", entry)
    site.rescan()
    site.seal()
    site.list_entries("A", removed=[entry.key])
    site.rescan()
    site.rescan()

    assert [] == unsealed
    assert [("match", None), ("withdrawal", "entry")] == [(kind, cause) for kind, _, cause in site.said()]


def test_two_sets_that_list_one_value_are_two_matches(site: Site) -> None:
    """Withdrawing from one leaves the other's match as it is."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    entry = sha256_entry(content)
    site.list_entries("A", entry)
    site.list_entries("B", entry)
    site.rescan()
    site.list_entries("A", removed=[entry.key])
    site.rescan()

    assert {("A", "withdrawn"), ("B", "active")} == {(name, state) for _, name, _, state in site.matches()}


def test_an_entry_listed_again_keeps_the_matches_its_other_signals_support(site: Site) -> None:
    """Dropped signals withdraw only what they alone supported, added ones find more."""
    contents = {name: fake_media(pdq(seed)) for name, seed in (("kept", 1), ("dropped", 2), ("found", 3))}
    for name, content in contents.items():
        site.upload(content, name.encode())
    site.list_entries("A", entry_of(pdq(1), pdq(2), ref="e"))
    site.rescan()
    site.list_entries("A", entry_of(pdq(1), pdq(3), ref="e"))
    site.rescan()

    expected = {(sha256(contents["kept"]), "active"), (sha256(contents["dropped"]), "withdrawn")}
    assert expected | {(sha256(contents["found"]), "active")} == {(c, state) for c, _, _, state in site.matches()}


def test_a_changed_radius_compares_again_and_says_that_the_rule_changed(site: Site) -> None:
    """A match at 20 bits goes when the radius shrinks to 10, and comes back when it grows."""
    site.upload(fake_media(pdq(1, flipped=20)), b"u")
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    site.rescan()
    site.seal()
    site.store.set_rule("A", Rule(radius_bits={"pdq": 10}))
    site.rescan()
    site.seal(1)
    site.store.set_rule("A", Rule(radius_bits={"pdq": 20}))
    site.rescan()

    assert [("match", None), ("withdrawal", "rule"), ("match", None)] == [(k, cause) for k, _, cause in site.said()]


def test_a_removed_set_withdraws_with_its_cause_and_its_name(site: Site) -> None:
    """The report can name the set after it is gone."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content, "r"))
    site.rescan()
    site.seal()
    site.store.remove("A")
    summary = site.rescan()
    again = site.rescan()

    assert (1, 0) == (summary.change.withdrawn, again.change.withdrawn)
    assert [("match", "r", None), ("withdrawal", "r", "set")] == site.said()
    assert ["A"] == [body.hash_set for body in site.ledger.sealing.pending()]


def test_a_set_that_is_switched_off_or_purged_withdraws_nothing(site: Site) -> None:
    """Neither `disable` nor deleting hashsets.db says anything to the world."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    site.seal()
    site.store.set_enabled("A", False)
    off = site.rescan()
    site.close()
    for path in site.home.glob("hashsets.db*"):
        path.unlink()
    site.open()
    purged = site.rescan()

    assert (0, 0) == (off.change.withdrawn, purged.change.withdrawn)
    assert ["active"] == [state for *_, state in site.matches()]
    assert ["match"] == [kind for kind, *_ in site.said()]


def test_a_rebuilt_set_sweeps_everything(site: Site) -> None:
    """A new uid has met nothing, so that what was purged and imported again matches again."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    site.close()
    for path in site.home.glob("hashsets.db*"):
        path.unlink()
    site.open()
    site.list_entries("A", sha256_entry(content))

    assert 1 == site.rescan().change.added


def test_known_good_suppresses_near_matches_and_holds_exact_ones(site: Site) -> None:
    """And both come back when the vouching entry goes."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    near, exact = entry_of(pdq(1, flipped=3), ref="near"), sha256_entry(content, "exact")
    site.list_entries("A", near, exact)
    site.store.create("good", role=Role.KNOWN_GOOD)
    good = sha256_entry(content, "good")
    site.list_entries("good", good)
    site.rescan()
    vouched = {(name, key): state for _, name, key, state in site.matches()}
    said = site.said()
    site.list_entries("good", removed=[good.key])
    site.rescan()

    assert {("A", near.key): "suppressed", ("A", exact.key): "held", ("good", good.key): "active"} == vouched
    assert [] == said
    assert {"exact", "near"} == {ref for _, ref, _ in site.said()}


def test_known_good_that_loses_a_digest_vouches_no_longer(site: Site) -> None:
    """MD5 and SHA-1 together vouch; when the entry is listed again with MD5 alone, its match stays and vouches not."""
    recorded = site.upload(fake_media(pdq(1)), b"u")
    stored = next(contents.stored(site.ledger.db, recorded.outcome.content_seq, 9, 1))
    digests = {signal.hash_type: signal for signal in stored.digests}
    site.store.create("good", role=Role.KNOWN_GOOD)
    site.list_entries("good", entry_of(digests["md5"], digests["sha1"], ref="g"))
    site.list_entries("A", entry_of(pdq(1), ref="near"))
    site.rescan()
    before = states(site)
    site.list_entries("good", entry_of(digests["md5"], ref="g"))
    site.rescan()

    assert {b"ref\x00near": "suppressed", b"ref\x00g": "active"} == before
    assert {b"ref\x00near": "active", b"ref\x00g": "active"} == states(site)
    assert [("match", "near", None)] == site.said()


def test_an_alert_set_that_becomes_known_good_takes_its_reports_back(site: Site) -> None:
    """What its matches mean has changed: the verdict is no match any more."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    site.seal()
    site.store.set_role("A", Role.KNOWN_GOOD)
    site.rescan()

    assert [("match", None), ("withdrawal", "rule")] == [(kind, cause) for kind, _, cause in site.said()]


def test_a_shadow_set_matches_and_says_nothing_until_it_is_active(site: Site) -> None:
    """Switching it on says what is matched by then; switching it off takes back what has not left."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.store.create("A", mode=Mode.SHADOW)
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    shadow = len(site.said())
    site.store.set_mode("A", Mode.ACTIVE)
    site.rescan()
    active = len(site.said())
    site.store.set_mode("A", Mode.SHADOW)
    site.rescan()

    assert (0, 1, 0) == (shadow, active, len(site.said()))


def test_an_upload_obeys_a_mode_changed_since_the_last_re_scan(site: Site) -> None:
    """A set put in shadow reports no upload, although no re-scan has come between."""
    content = fake_media(pdq(1))
    site.list_entries("A", sha256_entry(content))
    site.upload(fake_media(pdq(9)), b"other")
    site.store.set_mode("A", Mode.SHADOW)
    matched = site.upload(content, b"u")

    assert 1 == len(matched.outcome.matches)
    assert [] == site.said()


class BetweenReadingAndWriting(Inventory):
    """An inventory that lets something happen after contents were read for a sweep, once."""

    happens: list[Callable[[], object]]

    def stretch(self, seq_lo: int, seq_hi: int, hash_types: Collection[str]) -> Stretch:
        """Read, then let it happen."""
        found = super().stretch(seq_lo, seq_hi, hash_types)
        if self.happens:
            self.happens.pop()()
        return found


def rescan_with(site: Site, happening: Callable[[], object]) -> None:
    """Re-scan while something happens between reading the first stretch and committing it."""
    segments = site.home / "segments"
    ledger = Ledger(site.ledger.db)
    inventory = BetweenReadingAndWriting(ledger.db, segments)
    inventory.happens = [happening]
    ledger.inventory = inventory
    Rescan(site.store, ledger, site.clock).run()


def test_a_rule_changed_in_the_middle_of_a_sweep_is_the_rule_that_counts(site: Site) -> None:
    """What was compared under the old radius is compared again, not committed under the new one."""
    site.upload(fake_media(pdq(1, flipped=20)), b"u")
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    rescan_with(site, lambda: site.store.set_rule("A", Rule(radius_bits={"pdq": 10})))

    assert set() == site.matches()


def test_a_delta_committed_in_the_middle_of_a_sweep_is_not_skipped(site: Site) -> None:
    """Nor is one that another store handle commits."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", entry_of(pdq(5), ref="e"))
    other = Site(site.home, site.clock)
    rescan_with(site, lambda: other.list_entries("A", sha256_entry(content)))
    other.close()

    assert ["active"] == [state for *_, state in site.matches()]


def test_a_set_removed_in_the_middle_of_a_sweep_is_withdrawn_in_the_same_run(site: Site) -> None:
    """And the run comes to its end."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content))
    site.rescan()
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    rescan_with(site, lambda: site.store.remove("A"))

    assert {"withdrawn"} == {state for *_, state in site.matches()}


def test_another_look_recorded_in_the_middle_of_a_sweep_is_compared(site: Site) -> None:
    """Signals that changed after they were read for the sweep are not passed over."""
    content = fake_media(pdq(1), pdq(2), sees=1)
    site.upload(content, b"u")
    site.list_entries("A", entry_of(pdq(2), ref="e"))
    rescan_with(site, lambda: site.upload(content, b"u"))

    assert ["active"] == [state for *_, state in site.matches()]


def test_two_re_scans_at_once_compare_every_pair_once(site: Site) -> None:
    """The one that comes second finds its stretch gone and takes the next."""
    contents = [fake_media(pdq(seed)) for seed in range(5)]
    for number, content in enumerate(contents):
        site.upload(content, b"%d" % number)
    site.list_entries("A", *(sha256_entry(content) for content in contents))
    other = Site(site.home, site.clock)
    rescan_with(site, other.rescan)
    other.close()

    assert 5 == len(site.said())
    assert 5 == len(site.matches())


def copied(home: Path, name: str) -> None:
    """Keep a copy of a database of a closed home."""
    shutil.copy(home / name, home.parent / name)


def test_an_older_hashsets_db_put_back_is_compared_as_a_whole(site: Site) -> None:
    """Its versions count from before: a delta from the future would miss what it lists now."""
    content = fake_media(pdq(1))
    site.list_entries("A", entry_of(pdq(7), ref="e"))
    site.close()
    copied(site.home, "hashsets.db")
    site.open()
    site.list_entries("A", entry_of(pdq(8), ref="f"))
    site.list_entries("A", entry_of(pdq(9), ref="g"))
    site.upload(content, b"u")
    site.rescan()
    site.close()
    shutil.copy(site.home.parent / "hashsets.db", site.home / "hashsets.db")
    site.open()
    site.list_entries("A", sha256_entry(content))
    site.rescan()

    assert ["active"] == [state for *_, state in site.matches()]


def test_an_older_ledger_put_back_catches_up_although_changes_were_purged(site: Site) -> None:
    """What lies behind the purge is compared as a whole."""
    content = fake_media(pdq(1))
    site.list_entries("A", sha256_entry(content))
    site.upload(content, b"u")
    site.close()
    copied(site.home, "ledger.db")
    site.open()
    site.list_entries("A", removed=[sha256_entry(content).key])
    site.rescan()
    site.list_entries("A", entry_of(pdq(1), ref="e"))
    site.rescan()
    site.close()
    shutil.copy(site.home.parent / "ledger.db", site.home / "ledger.db")
    site.open()
    site.rescan()

    assert {sha256_entry(content).key: "withdrawn", b"ref\x00e": "active"} == states(site)


def test_withdrawn_rows_go_once_every_content_has_passed_them(site: Site) -> None:
    """And no rollback can ask for them; what is listed stays right."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    entry = entry_of(pdq(1), ref="e")
    site.list_entries("A", entry)
    site.rescan()
    site.list_entries("A", removed=[entry.key])
    uid = site.hash_set("A").uid
    for number in range(KEPT_VERSIONS):
        site.list_entries("A", entry_of(pdq(2 + number), ref=f"e{number}"))
        site.upload(fake_media(comment=f"{number}"), b"%d" % number)
        kept = [each.ref for each in site.store.entries(uid, 1)]
        site.rescan()

    assert ["e"] == kept
    assert [] == list(site.store.entries(uid, 1))
    assert [] == site.store.verify("A")


def test_a_re_scan_with_nothing_to_do_writes_nothing(site: Site) -> None:
    """`watch` calls it again and again."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content))
    site.list_entries("B", sha256_entry(content))
    site.store.remove("B")
    site.rescan()
    versions = Store.open(site.home), Ledger.open(site.home)
    before = versions[0].data_version(), versions[1].db.data_version()
    site.rescan()
    after = versions[0].data_version(), versions[1].db.data_version()
    for opened in versions:
        opened.close()

    assert before == after


def test_an_asset_that_changed_is_reported_once_for_an_entry_both_contents_meet(site: Site) -> None:
    """The report outlives the entry's loss of the first content, and is withdrawn with the second."""
    first, second = fake_media(pdq(1), comment="first"), fake_media(pdq(2), comment="second")
    site.list_entries("A", entry_of(pdq(1), pdq(2), ref="e"))
    site.upload(first, b"u")
    site.seal()
    site.upload(second, b"u")
    site.list_entries("A", entry_of(pdq(2), ref="e"))
    site.rescan()
    kept = site.said()
    site.list_entries("A", removed=[b"ref\x00e"])
    site.rescan()

    assert [("match", "e", None)] == kept
    assert [("match", "e", None), ("withdrawal", "e", "entry")] == site.said()


def test_a_pending_report_of_a_changed_asset_is_about_what_it_holds_now(site: Site) -> None:
    """Unsealed, and the first content lost: the second is still to be said."""
    site.list_entries("A", entry_of(pdq(1), pdq(2), ref="e"))
    site.upload(fake_media(pdq(1)), b"u")
    site.upload(fake_media(pdq(2)), b"u")
    site.list_entries("A", entry_of(pdq(2), ref="e"))
    site.rescan()

    assert [("match", "e", None)] == site.said()


def test_a_withdrawal_that_has_not_left_is_taken_back_for_assets_that_are_gone(site: Site) -> None:
    """The entry comes back before sealing: the world hears nothing of it."""
    content = fake_media(pdq(1))
    site.list_entries("A", sha256_entry(content))
    site.upload(content, b"u")
    site.seal()
    site.ledger.places.forget_upload(b"u")
    site.list_entries("A", removed=[sha256_entry(content).key])
    site.rescan()
    withdrawn = len(site.said())
    site.list_entries("A", sha256_entry(content))
    site.rescan()

    assert (2, 1) == (withdrawn, len(site.said()))


def test_a_match_seen_again_after_its_withdrawal_left_is_a_new_report(site: Site) -> None:
    """Once both have left, the world must be told again."""
    content = fake_media(pdq(1))
    entry = sha256_entry(content)
    site.upload(content, b"u")
    for seed in range(2):
        site.list_entries("A", entry)
        site.rescan()
        site.seal(2 * seed)
        site.list_entries("A", removed=[entry.key])
        site.rescan()
        site.seal(2 * seed + 1)

    assert ["match", "withdrawal", "match", "withdrawal"] == [kind for kind, *_ in site.said()]


def test_degenerate_values_never_match(site: Site) -> None:
    """The empty file and a nearly flat PDQ say nothing, on either side."""
    flat = Signal("pdq", bytes(31) + b"\x07", quality=100)
    site.upload(b"", b"empty")
    site.upload(fake_media(flat), b"flat")
    empty = sha256_entry(b"")
    site.list_entries("A", empty, Entry(entry_key(flat), (flat,)))
    site.rescan()

    assert set() == site.matches()


def test_a_changed_classification_touches_no_match(site: Site) -> None:
    """Only signals make pairs."""
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    entry = sha256_entry(content, "r")
    site.list_entries("A", entry)
    site.rescan()
    site.list_entries("A", replace(entry, classifications=(Classification("s", "c"),)))
    change = site.rescan().change

    assert (0, 0) == (change.added, change.withdrawn)
    assert 1 == len(site.said())


def test_the_clock_is_the_one_passed_in(site: Site) -> None:
    """A report says the day of the test's clock."""
    site.clock.move(3)
    content = fake_media(pdq(1))
    site.upload(content, b"u")
    site.list_entries("A", sha256_entry(content))
    site.rescan()

    assert ["2100-01-04"] == [body.day for body in site.ledger.sealing.pending()]
