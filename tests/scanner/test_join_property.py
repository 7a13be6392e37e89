"""After any interleaving the matches equal brute force, coverage is a partition, and what is said is due.

The machine below does to a small site whatever operators, platforms and providers do, in any order, from two handles.
After every step the ledger is compared with `tests.scanner.ledger.oracle`, which knows neither delta nor index: each
content with each set at the version and rule that coverage claims; and after a re-scan coverage must claim today's.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hashsets.types import Bounds, Classification, Entry, FrameShares, HashSet, Mode, Role, Rule, Shape, Signal
from scanner.clock import utc_day
from scanner.curation import Curation
from scanner.ledger import coverage
from scanner.ledger.coverage import Interval, Met
from scanner.ledger.packing import unpack
from scanner.types import MediaKind
from tests.scanner.fakes import MovableClock, Site, fake_media, parse_fake, pdq, sha256, value
from tests.scanner.ledger import oracle

KEYS = [b"CANARYKEY-a", b"CANARYKEY-b", b"sub/CANARYKEY-c", b"sub/CANARYKEY-d", b"sub/CANARYKEY-\xff", b"CANARYKEY-e"]
SPARE = [b"CANARYKEY-f", b"sub/CANARYKEY-g"]
REFS = [b"CANARYREF-1", b"CANARYREF-2"]
NAMES = ["A", "B", "good"]
CANARIES = (b"CANARYKEY", b"CANARYREF", b"CANARYROOT")
FLIPS = (0, 0, 5, 20, 31, 32)
QUALITIES = (100, 80, 50, 49, 30)
DEGENERATE = Signal("pdq", bytes(29) + b"\x07\xff\xff", quality=100)
EDGE = Signal("pdq", bytes(28) + b"\xff\xff\xff\xff", quality=100)  # an eighth of its bits: not degenerate, and near it
CONTENTS, ENTRIES, VARIANTS, MARKED = 12, 12, 3, 6  # of MARKED forms, two at a time differ in their mark alone
QUICK_EXAMPLES = 75


# What chance seldom draws: a frame that comes again in a better state, one that can match nothing, and values at the
# edge of that, to be met from either side.
MADE = {
    2: (MediaKind.VIDEO, (pdq(0, 0, 30, 0), pdq(0, 0, 100, 3), pdq(1, 0, 80, 6))),
    3: (MediaKind.VIDEO, (pdq(0, 0, 100, 0), replace(DEGENERATE, frame=3, frame_ms=120))),
    4: (MediaKind.IMAGE, (DEGENERATE, pdq(2, 31, 50))),
    5: (MediaKind.IMAGE, (EDGE,)),
}


def drawn_content(number: int, *, owed: int = 0) -> bytes:
    """One of the contents of this little world; with `owed`, another of the same signals whose first look sees half."""
    draw = random.Random(f"content {number}")
    if number == 0:
        return b""
    if number == 1:
        return b"no media at all"
    kind, signals = MADE.get(number) or _drawn_signals(draw)
    sees = draw.randint(0, len(signals)) if draw.random() < 0.3 else None
    if owed:
        return fake_media(*signals, kind=kind, sees=len(signals) // 2, comment=f"content {number} {owed}")
    return fake_media(*signals, kind=kind, sees=sees, comment=f"content {number}")


def _drawn_signals(draw: random.Random) -> tuple[MediaKind, tuple[Signal, ...]]:
    kind = draw.choice((MediaKind.IMAGE, MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.ANIMATION))
    still = kind is MediaKind.IMAGE
    signals = [
        pdq(draw.randrange(3), draw.choice(FLIPS), draw.choice(QUALITIES), None if still else 3 * frame)
        for frame in range(draw.randint(0, 2) if still else draw.randint(1, 5))
    ]
    if draw.random() < 0.3:
        signals.append(draw.choice((DEGENERATE, EDGE)))
    if still and draw.random() < 0.5:
        signals.append(Signal("phash", value("phash", draw.randrange(2), draw.choice((0, 8, 9)))))
    return kind, tuple(signals)


def digests_of(content: bytes) -> dict[str, bytes]:
    """All three."""
    return {name: hashlib.new(name, content).digest() for name in oracle.EXACT}


# By entry and variant: what of one content is listed in turn, so that the same match has other evidence each time.
LISTED_DIGESTS = (
    (("md5",), ("md5", "sha1"), ("sha1", "sha256")),
    (("sha1",), ("sha256",), ("md5", "sha1", "sha256")),
)


def listed_content(number: int) -> int:
    """The content whose digests an entry lists."""
    return (5 * number + 1) % CONTENTS


def drawn_entry(number: int, variant: int) -> Entry:
    """One of the entries a list may hold, in one of its forms."""
    marks = (Classification("scheme", f"{variant % 2}"),)
    variant %= VARIANTS
    draw = random.Random(f"entry {number} {variant}")
    ref = f"ref-{number}"
    shape = Shape.ITEM
    signals: tuple[Signal, ...]
    form = number % 4
    digests = digests_of(drawn_content(listed_content(number)))
    if form == 0:
        signals = tuple(Signal(name, digests[name]) for name in LISTED_DIGESTS[number // 4 % 2][variant])
    elif form == 1:
        signals = tuple(pdq(draw.randrange(3), draw.choice(FLIPS), 100) for _ in range(draw.randint(1, 2)))
    elif form == 2:
        shape = Shape.FRAMES
        frames = 1 if number == 2 else draw.randint(1, 4)
        signals = tuple(
            pdq(variant % 2, 0, 100, 0)
            if number == 2
            else pdq(draw.randrange(3), draw.choice(FLIPS), draw.choice(QUALITIES), frame)
            for frame in range(frames)
        )
    else:
        signals = (
            Signal("sha256", digests["sha256"]),
            pdq(draw.randrange(3), 0, 100),
            Signal("phash", value("phash", draw.randrange(2))),
            draw.choice((DEGENERATE, EDGE)),
        )
    distinct = {(s.hash_type, s.value): s for s in reversed(signals)}
    return Entry(f"key-{number}".encode(), tuple(distinct.values()), shape, ref, marks)


RULES = st.builds(
    Rule,
    radius_bits=st.sampled_from([{}, {"pdq": 0}, {"pdq": 4}, {"pdq": 32, "phash": 9}, {"pdq": 80}]),
    quality_floor=st.sampled_from([{}, {"pdq": 0}, {"pdq": 49}, {"pdq": 100}]),
    frame_shares=st.sampled_from([FrameShares(), FrameShares(0.0, 0.5), FrameShares(0.5, 1.0), FrameShares(1.0, 0.0)]),
    hash_types=st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"pdq", "md5"}), frozenset({"sha256"})]),
    codes=st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"0"}), frozenset({"scheme:1", "other:0"})]),
    agreeing=st.sampled_from([1, 1, 2, 3]),
)
LISTED = st.lists(st.tuples(st.integers(0, ENTRIES - 1), st.integers(0, MARKED - 1)), min_size=1, max_size=8)
BOUNDS = st.sampled_from([Bounds(), Bounds(matches=0), Bounds(matches=2, share=1.0), Bounds(matches=99, share=0.5)])


class Join(RuleBasedStateMachine):
    """The site, and what we know of it without asking it."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # so that waiting for a disk does not eat the examples
        self.base = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.root = self.base / "CANARYROOT"
        self.root.mkdir()
        self.sites = [Site(self.base / "home", MovableClock())]
        self.sites.append(Site(self.base / "home", self.sites[0].clock, self.sites[0].fingerprinter))
        self.site = self.sites[0]
        self.site.ledger.places.add_root(os.fsencode(self.root), "media")
        self.model = oracle.RootModel(lambda key: self.site.ledger.locations.key(1, key))
        self.contents: dict[bytes, bytes] = {}
        self.entries: dict[bytes, dict[bytes, Entry]] = {}
        self.listed: dict[tuple[bytes, int], dict[bytes, Entry]] = {}
        self.rules: dict[tuple[bytes, int], Rule] = {}
        self.looked_again: set[bytes] = set()
        self.writes = 0
        self.joined: dict[tuple[object, ...], oracle.Met | None] = {}
        self.removed: set[bytes] = set()  # sets whose removal the next re-scan must follow
        self.current = False  # whether a re-scan came last

    def teardown(self) -> None:
        for site in self.sites:
            site.close()
        shutil.rmtree(self.base)

    @initialize(
        numbers=st.permutations(range(CONTENTS)),
        listed=st.permutations([(n, v) for n in range(ENTRIES) for v in range(MARKED)]),
    )
    def begin(self, numbers: list[int], listed: list[tuple[int, int]]) -> None:
        """A world in which much matches: most files differ, one lies in two places, one set vouches for some."""
        for key, number in zip(KEYS, [*numbers[:4], numbers[0], numbers[1]], strict=True):
            self.write(key, number)
        self.scan()
        self.upload(REFS[0], numbers[2])
        self.create("A", Role.ALERT, Mode.ACTIVE, Rule())
        self.delta("A", listed[:10], [], False, "rescan")
        self.create("good", Role.KNOWN_GOOD, Mode.ACTIVE, Rule())
        self.delta("good", [which for which in listed if which[0] % 4 in (0, 3)][:2], [], False)

    # -- files -------------------------------------------------------------------------------------------------------

    def path(self, key: bytes) -> Path:
        return self.root / os.fsdecode(key)

    def files(self) -> dict[bytes, bytes]:
        """What lies in the root, by key."""
        return {key: self.path(key).read_bytes() for key in [*KEYS, *SPARE] if self.path(key).exists()}

    @rule(key=st.sampled_from(KEYS), number=st.integers(0, CONTENTS - 1))
    def write(self, key: bytes, number: int) -> None:
        if not self.root.exists():
            return
        path = self.path(key)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(drawn_content(number))
        self.writes += 1
        os.utime(path, ns=(10**18, 10**18 + self.writes))  # no two writes look alike, however coarse the clock is

    @rule(key=st.sampled_from(KEYS), to=st.sampled_from(KEYS))
    def rename(self, key: bytes, to: bytes) -> None:
        if self.path(key).exists():
            self.path(to).parent.mkdir(exist_ok=True)
            self.path(key).rename(self.path(to))

    @rule(place=st.integers(0, 7), spare=st.integers(0, 1), sealed=st.booleans(), copies=st.booleans())
    def move(self, place: int, spare: int, sealed: bool, copies: bool) -> None:
        """A file goes where none was and perhaps a copy of it goes for good; a walk sees it, perhaps after sealing."""
        there = self.files()
        if not self.root.exists() or not there:
            return
        self.scan()
        if sealed:
            self.seal(0)
        key = sorted(there)[place % len(there)]
        for other in [other for other in there if copies and other != key and there[other] == there[key]][:1]:
            self.delete(other)
        self.rename(key, SPARE[spare])
        self.scan()

    @rule(place=st.integers(0, 7), number=st.integers(2, CONTENTS - 1), told=st.booleans())
    def change(self, place: int, number: int, told: bool) -> None:
        """A place that held one content holds another."""
        there = sorted(self.files())
        if self.root.exists() and there:
            self.rescan()
            if told:
                self.seal(0)
            self.write(there[place % len(there)], number)
            self.scan()

    @rule(places=st.lists(st.integers(0, 7), min_size=2, max_size=3, unique=True))
    def touch(self, places: list[int]) -> None:
        """Some files look changed and are not: a walk reads them, and what lies between them stays as it was."""
        there = sorted(self.files())
        for key in {there[place % len(there)] for place in places} if there else ():
            self.writes += 1
            os.utime(self.path(key), ns=(10**18, 10**18 + self.writes))
        self.scan()

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: bytes) -> None:
        self.path(key).unlink(missing_ok=True)

    @rule(how=st.sampled_from(["away", "emptied", "copied"]))
    def disturb_root(self, how: str) -> None:
        """The root goes away, loses everything, or is another folder with the same files; a walk sees it."""
        if not self.root.exists():
            return
        aside = self.base / "aside"
        self.root.rename(aside)
        if how == "emptied":
            self.root.mkdir()
        elif how == "copied":
            shutil.copytree(aside, self.root)
        self.scan()
        if how != "away":
            shutil.rmtree(self.root)
        aside.rename(self.root)

    @rule()
    def accept_root(self) -> None:
        self.site.ledger.places.accept_root("media")
        self.model.accepted, self.model.identity = True, None

    @rule()
    def scan(self) -> None:
        """Walk the root, and compare what became of its assets with the model."""
        told = {self.key(asset_id) for (asset_id,) in self.site.ledger.db.execute(
            "SELECT DISTINCT asset_id FROM report WHERE report_id IS NOT NULL"
        )}  # fmt: skip
        files = self.files()
        walked = self.site.scan(self.root)
        for content in files.values():
            self.hold(content)
        self.current = False
        if self.root.exists():
            status = self.root.stat()
            moves = self.model.moves
            concluded = self.model.walk(
                {key: sha256(content) for key, content in files.items()},
                (status.st_dev, status.st_ino),
                self.site.clock.now_ns(),
                told,
            )
            assert concluded == (walked.suspect is None)
            if concluded:
                assert self.model.moves - moves == walked.moved
        else:
            assert walked.suspect is not None

    def key(self, asset_id: int) -> bytes:
        """The key of an asset below the root, however it is written; its ref, if it is an upload."""
        where = self.site.where(asset_id)
        assert where is not None
        return where.removeprefix(os.fsencode(self.root) + b"/")

    @rule()
    @precondition(lambda self: not self.site.sealed)
    def seal_locations(self) -> None:
        """Half-way through all that has happened."""
        for site in self.sites:
            site.close()
            site.sealed = True
        for site in self.sites:
            site.open()

    def hold(self, content: bytes) -> None:
        digest = sha256(content)
        if digest in self.contents and self.site.fingerprinter.looks[digest] > 1:
            self.looked_again.add(digest)
        self.contents[digest] = content

    # -- uploads and time --------------------------------------------------------------------------------------------

    @rule(ref=st.sampled_from([*REFS, None]), number=st.integers(0, CONTENTS - 1))
    def upload(self, ref: bytes | None, number: int) -> None:
        self.upload_content(ref, drawn_content(number))

    def upload_content(self, ref: bytes | None, content: bytes) -> None:
        recorded = self.site.upload(content, ref, self.base)
        self.hold(content)
        self.current = False
        rows = self.site.ledger.db.execute(
            "SELECT m.entry_key FROM match m JOIN met_set s USING (set_uid) WHERE m.content_seq = ?"
            " AND m.state IN ('active', 'held') AND s.role != 'known_good'",
            (recorded.outcome.content_seq,),
        )

        assert sorted(key for (key,) in rows) == sorted(hit.entry_key for hit in recorded.outcome.matches)
        for hash_set in self.site.store.hash_sets():
            met = coverage.at(self.site.ledger.db, hash_set.uid, recorded.outcome.content_seq)
            assert not hash_set.in_force or met == Met(hash_set.rule_revision, hash_set.version)

    @rule(number=st.integers(2, CONTENTS - 1), name=st.sampled_from([*NAMES, None]), listed=LISTED)
    def look_twice(self, number: int, name: str | None, listed: list[tuple[int, int]]) -> None:
        """A first look sees part, everything catches up, another sees all while a set is off; then a list grows."""
        self.writes += 1
        content = drawn_content(number, owed=self.writes)
        self.upload_content(REFS[1], content)
        self.rescan()
        if name is not None:
            self.change_standing(name, None, None, False)
        self.upload_content(REFS[1], content)
        if name is not None:
            self.change_standing(name, None, None, True)
        self.delta("A", listed, [], False, "rescan")

    @rule(
        name=st.sampled_from(NAMES),
        number=st.integers(0, ENTRIES - 1),
        variants=st.permutations(range(MARKED)),
        as_rule=st.one_of(st.none(), RULES),
        told=st.booleans(),
    )
    def list_again(self, name: str, number: int, variants: list[int], as_rule: Rule | None, told: bool) -> None:
        """An entry is listed, met and perhaps told, and listed again otherwise, perhaps under another rule."""
        self.delta(name, [(number, variants[0])], [], False, "seal" if told else "rescan")
        if as_rule is not None:
            self.change_rule(name, as_rule)
        self.delta(name, [(number, variants[1])], [], False, "rescan")

    @rule(ref=st.sampled_from(REFS), number=st.sampled_from([4, 8]), told=st.booleans(), then=st.booleans())
    def waver(self, ref: bytes, number: int, told: bool, then: bool) -> None:
        """An upload matches, perhaps is told of and perhaps goes; its entry is withdrawn and listed again."""
        self.upload(ref, listed_content(number))
        self.delta("A", [(number, 1)], [], False, "seal" if told else "rescan")
        if then:
            self.forget_upload(ref)
        self.delta("A", [], [number], False, "rescan")
        self.delta("A", [(number, 1)], [], False, "rescan")

    @rule(ref=st.sampled_from(REFS))
    def forget_upload(self, ref: bytes) -> None:
        self.site.ledger.places.forget_upload(ref)

    @rule(days=st.sampled_from([0.5, 1, 2]))
    def pass_days(self, days: float) -> None:
        self.site.clock.move(days)

    @rule(number=st.integers(0, 1))
    def other_handle(self, number: int) -> None:
        self.site = self.sites[number]

    # -- sets --------------------------------------------------------------------------------------------------------

    def known(self, name: str) -> HashSet | None:
        return next((found for found in self.site.store.hash_sets() if found.name == name), None)

    @rule(
        name=st.sampled_from(NAMES),
        role=st.sampled_from([Role.ALERT, Role.ALERT, Role.KNOWN_GOOD]),
        mode=st.sampled_from([Mode.ACTIVE, Mode.ACTIVE, Mode.SHADOW]),
        as_rule=RULES,
    )
    def create(self, name: str, role: Role, mode: Mode, as_rule: Rule) -> None:
        if self.known(name) is None:
            made = self.site.store.create(name, role=role, mode=mode, rule=as_rule)
            self.entries[made.uid] = {}
            self.note(made)
            self.current = False

    def note(self, hash_set: HashSet) -> None:
        """Remember what a set lists and how it compares at its present version and rule revision."""
        self.listed[hash_set.uid, hash_set.version] = dict(self.entries[hash_set.uid])
        self.rules[hash_set.uid, hash_set.rule_revision] = hash_set.rule

    @rule(
        name=st.sampled_from(NAMES),
        added=st.one_of(st.just([]), LISTED),
        removed=st.lists(st.integers(0, ENTRIES - 1), max_size=4),
        complete=st.booleans(),
        then=st.sampled_from(["", "rescan", "seal"]),
    )
    def delta(
        self, name: str, added: list[tuple[int, int]], removed: list[int], complete: bool, then: str = ""
    ) -> None:
        hash_set = self.known(name)
        if hash_set is None:
            return
        entries = [drawn_entry(*which) for which in dict(added).items()]
        keys = [f"key-{number}".encode() for number in removed]
        self.site.list_entries(name, *entries, removed=keys, complete=complete)
        held = {} if complete else self.entries[hash_set.uid]
        held = {key: entry for key, entry in held.items() if key not in keys}
        self.entries[hash_set.uid] = held | {entry.key: entry for entry in entries}
        self.note(self.site.hash_set(name))
        self.current = False
        if then:
            self.rescan()
        if then == "seal":
            self.seal(0)

    @rule(name=st.sampled_from(NAMES), as_rule=RULES)
    def change_rule(self, name: str, as_rule: Rule) -> None:
        if self.known(name) is not None:
            self.note(self.site.store.set_rule(name, as_rule))
            self.current = False

    @rule(
        name=st.sampled_from(NAMES),
        role=st.sampled_from([Role.ALERT, Role.KNOWN_GOOD, None]),
        mode=st.sampled_from([Mode.ACTIVE, Mode.SHADOW, None, None]),
        enabled=st.sampled_from([True, False, None, None]),
    )
    def change_standing(self, name: str, role: Role | None, mode: Mode | None, enabled: bool | None) -> None:
        if self.known(name) is None:
            return
        if role is not None:
            self.note(self.site.store.set_role(name, role))
        if mode is not None:
            self.site.store.set_mode(name, mode)
        if enabled is not None:
            self.site.store.set_enabled(name, enabled)
        self.current = False

    # -- what a person decides ---------------------------------------------------------------------------------------

    @property
    def curation(self) -> Curation:
        return Curation(self.site.store, self.site.ledger, self.site.clock, self.rescan)

    @rule(name=st.sampled_from(NAMES), bounds=BOUNDS)
    def change_bounds(self, name: str, bounds: Bounds) -> None:
        if self.known(name) is not None:
            self.site.store.set_bounds(name, bounds)

    @rule(
        listed=LISTED,
        ref=st.sampled_from(REFS),
        number=st.integers(2, CONTENTS - 1),
        told=st.booleans(),
        then=st.sampled_from(["approve", "roll back", "mute", "shadow", "retire", "widen", "", ""]),
    )
    def hold_back(self, listed: list[tuple[int, int]], ref: bytes, number: int, told: bool, then: str) -> None:
        """A version that brings anything is held, an upload comes meanwhile, and somebody decides, or nobody."""
        known = self.known("A")
        if known is None or not known.version:
            return
        self.approve("A", 0)
        self.change_bounds("A", Bounds(matches=0, share=0.0))
        self.delta("A", listed, [], False, "seal" if told else "rescan")
        self.upload(ref, number)
        if then == "approve":
            self.approve("A", 0)
        elif then == "roll back":
            self.roll_back("A", 1)
        elif then == "mute":
            self.mute("A", listed[0][0], 1, False)
        elif then == "shadow":
            self.change_standing("A", None, Mode.SHADOW, None)
        elif then == "retire":
            self.retire("A")
        elif then == "widen":
            self.change_bounds("A", Bounds(matches=99, share=1.0))
            self.current = False

    @rule(name=st.sampled_from(NAMES), back=st.integers(0, 2))
    def approve(self, name: str, back: int) -> None:
        """A person lets a set speak, up to its present version or an earlier one."""
        known = self.known(name)
        if known is None or not known.version:
            return
        version = max(known.version - back, 1)
        self.curation.approve(name, version)
        speech = self.site.ledger.probation.of(known.uid)

        assert self.site.hash_set(name).mode is Mode.ACTIVE
        assert speech is not None
        assert max(speech.version, speech.approved) >= version
        assert speech.version >= version or not known.enabled

    @rule(name=st.sampled_from(NAMES), back=st.integers(1, 4))
    def roll_back(self, name: str, back: int) -> None:
        """A set lists again what it listed some versions ago, and everything follows within the one call."""
        known = self.known(name)
        if known is None or not self.site.store.oldest_kept(known.uid) <= known.version - back:
            return
        self.entries[known.uid] = dict(self.listed[known.uid, known.version - back])
        speech = self.site.ledger.probation.of(known.uid)
        self.curation.roll_back(name, known.version - back)
        now = self.site.hash_set(name)
        after = self.site.ledger.probation.of(known.uid)

        assert {e.key: e for e in self.site.store.entries(known.uid)}.keys() == self.entries[known.uid].keys()
        if speech is not None and known.version - back <= speech.version and now.in_force:
            assert after is not None
            assert (now.version, None) == (after.version, after.held) or now.version == known.version

    @rule(name=st.sampled_from(NAMES))
    def retire(self, name: str) -> None:
        """Its matches are withdrawn, and nothing of it matches."""
        known = self.known(name)
        if known is not None:
            self.curation.retire(name)
            standing = self.site.ledger.db.execute(
                "SELECT count(*) FROM match WHERE set_uid = ? AND state != 'withdrawn'", (known.uid,)
            )

            assert 0 == standing.fetchone()[0]

    @rule(name=st.sampled_from(NAMES), number=st.integers(0, ENTRIES - 1), days=st.integers(0, 2), end=st.booleans())
    def mute(self, name: str, number: int, days: int, end: bool) -> None:
        """An entry is muted for some days, and perhaps at once spoken of again."""
        known, ref = self.known(name), f"ref-{number}"
        if known is None or not self.site.store.lists_ref(known.uid, ref):
            return
        clock = MovableClock(self.site.clock.now_ns())
        clock.move(days)
        self.curation.mute(name, ref, utc_day(clock), "a test")
        if end:
            self.curation.unmute(name, ref)

    @rule(name=st.sampled_from(NAMES))
    def remove_set(self, name: str) -> None:
        known = self.known(name)
        if known is not None:
            self.site.store.remove(name)
            if known.version:  # one that never listed anything has no matches to withdraw
                self.removed.add(known.uid)
            self.current = False

    @precondition(lambda self: len(self.entries) > 1)
    @rule()
    def purge(self) -> None:
        """hashsets.db is deleted; its provider's data is gone, and nothing is withdrawn by that."""
        said = self.withdrawals()
        for site in self.sites:
            site.close()
        for path in (self.base / "home").glob("hashsets.db*"):
            path.unlink()
        self.removed.clear()  # nobody knows of that any more
        for site in self.sites:
            site.open()
        self.site.rescan()

        assert said == self.withdrawals()

    def withdrawals(self) -> int:
        (count,) = self.site.ledger.db.execute("SELECT count(*) FROM report WHERE kind = 'withdrawal'").fetchone()
        return int(count)

    @rule(name=st.sampled_from(NAMES))
    def disable_alone(self, name: str) -> None:
        """Once everything else is settled, switching a set off says nothing."""
        if self.known(name) is not None:
            self.rescan()
            said = self.withdrawals()
            self.site.store.set_enabled(name, False)
            self.rescan()

            assert said == self.withdrawals()

    # -- catching up and telling -------------------------------------------------------------------------------------

    @rule()
    def rescan(self) -> None:
        db = self.site.ledger.db
        sets = self.site.store.hash_sets()
        for known in sets:  # a version that came by a rollback
            if (known.uid, known.version) not in self.listed:
                self.note(known)
        off = [known.uid for known in sets if not known.enabled and known.mode is not Mode.RETIRED]
        self.removed |= {known.uid for known in sets if known.mode is Mode.RETIRED}
        before = [coverage.intervals(db, uid) for uid in off]
        self.site.rescan()
        self.current = True

        assert before == [coverage.intervals(db, uid) for uid in off]
        assert not self.removed & set(coverage.sets(db))
        standing = db.execute("SELECT DISTINCT set_uid FROM match WHERE state != 'withdrawn'")
        assert not self.removed & {uid for (uid,) in standing}
        self.removed.clear()

    @rule(seed=st.integers(0, 3))
    def seal(self, seed: int) -> None:
        pending = len(self.site.ledger.sealing.pending())
        self.writes += 1

        assert pending == self.site.seal(1000 * self.writes + seed)
        assert [] == self.site.ledger.sealing.pending()

    # -- what must hold after every step -----------------------------------------------------------------------------

    @invariant()
    def coverage_is_a_partition(self) -> None:
        db = self.site.ledger.db
        (top,) = db.execute("SELECT coalesce(max(seq), 0) FROM content").fetchone()
        for uid in coverage.sets(db):
            stretches = coverage.intervals(db, uid)
            assert 1 == stretches[0].seq_lo
            assert stretches[-1].seq_hi <= top
            for left, right in pairwise(stretches):
                assert left.seq_lo <= left.seq_hi == right.seq_lo - 1
                assert left.met != right.met
        if self.current and top:
            for hash_set in self.site.store.hash_sets():
                if hash_set.in_force:
                    met = Met(hash_set.rule_revision, hash_set.version)
                    assert [Interval(1, top, met)] == coverage.intervals(db, hash_set.uid)

    @invariant()
    def matches_are_the_join(self) -> None:
        db = self.site.ledger.db
        found: dict[tuple[bytes, bytes], dict[bytes, oracle.Met]] = {}
        rows = db.execute(
            "SELECT c.sha256, m.set_uid, m.entry_key, m.hash_type, m.distance, m.exact_types FROM match m"
            " JOIN content c ON c.seq = m.content_seq WHERE m.state != 'withdrawn'"
        )
        for digest, uid, key, hash_type, distance, exact in rows:
            met = oracle.Met(frozenset(exact.split()), None if hash_type in oracle.EXACT else distance)
            found.setdefault((digest, uid), {})[key] = met
        contents = db.execute("SELECT seq, sha256, extent, signals FROM content").fetchall()
        assert {digest for _, digest, *_ in contents} == set(self.contents)
        covered = coverage.sets(db)
        assert {uid for _, uid in found} <= set(covered)
        for seq, digest, extent, blob in contents:
            signals = unpack(blob)
            whole = parse_fake(self.contents[digest]).signals
            assert Counter(signals) <= Counter(whole)
            assert extent != "whole" or Counter(signals) == Counter(whole)
            for uid in covered:
                met = coverage.at(db, uid, seq)
                if not met.version:
                    assert (digest, uid) not in found or digest in self.looked_again
                    continue
                expected = self.expected(digest, signals, uid, met)
                assert expected == found.get((digest, uid), {})

    def expected(self, digest: bytes, signals: tuple[Signal, ...], uid: bytes, met: Met) -> dict[bytes, oracle.Met]:
        digests = digests_of(self.contents[digest])
        as_rule = self.rules[uid, met.rule_revision]
        joined = {}
        for key, entry in self.listed[uid, met.version].items():
            how = self.join(digests, signals, entry, as_rule)
            if how is not None:  # exact evidence is the best; its distance is none
                joined[key] = oracle.Met(how.exact_types, None if how.exact_types else how.distance)
        return joined

    def join(
        self, digests: dict[str, bytes], signals: tuple[Signal, ...], entry: Entry, as_rule: Rule
    ) -> oracle.Met | None:
        known = (digests["sha256"], signals, entry, repr(as_rule))
        if known not in self.joined:
            self.joined[known] = oracle.join(digests, signals, entry, as_rule)
        return self.joined[known]

    @invariant()
    def matches_stand_as_known_good_says(self) -> None:
        db = self.site.ledger.db
        by_content: dict[int, list[tuple[str, Role, list[str]]]] = {}
        rows = db.execute(
            "SELECT m.content_seq, m.state, s.role, m.exact_types FROM match m JOIN met_set s USING (set_uid)"
            " WHERE m.state != 'withdrawn'"
        )
        for seq, state, role, exact in rows:
            by_content.setdefault(seq, []).append((state, Role(role), exact.split()))
        for matches in by_content.values():
            good = any(oracle.vouches(role, exact) for _, role, exact in matches)
            assert [oracle.state(role, exact, good) for _, role, exact in matches] == [state for state, *_ in matches]
        if self.current:
            standing = {uid: tuple(rest) for uid, *rest in db.execute("SELECT set_uid, name, role, mode FROM met_set")}
            for known in self.site.store.hash_sets():
                assert standing[known.uid] == (known.name, known.role, known.mode)

    @invariant()
    def what_is_said_is_due(self) -> None:
        db = self.site.ledger.db
        chains: dict[tuple[int, bytes, bytes], list[tuple[int, int, str, int | None, str | None]]] = {}
        rows = db.execute(
            "SELECT asset_id, set_uid, entry_key, id, content_seq, kind, withdraws, report_id FROM report ORDER BY id"
        )
        for asset, uid, key, *link in rows:
            chains.setdefault((asset, uid, key), []).append(tuple(link))  # type: ignore[arg-type]
        standing = {
            (seq, uid, key): (state, Role(role), Mode(mode), bool(waits), bool(muted))
            for seq, uid, key, state, role, mode, waits, muted in db.execute(
                "SELECT content_seq, m.set_uid, entry_key, state, role, mode, m.version > coalesce(p.version, 0),"
                " EXISTS (SELECT 1 FROM mute WHERE mute.set_uid = m.set_uid AND mute.ref = m.ref)"
                " FROM match m JOIN met_set s USING (set_uid) LEFT JOIN speech p ON p.set_uid = m.set_uid"
            )
        }
        for (_, uid, key), chain in chains.items():
            for place, (_, _, kind, withdraws, report_id) in enumerate(chain):
                assert kind == ("match", "withdrawal")[place % 2]
                assert withdraws == (chain[place - 1][0] if place % 2 else None)
                assert report_id is not None or place == len(chain) - 1
            _, seq, kind, _, report_id = chain[-1]
            state, role, mode, waits, muted = standing[seq, uid, key]
            stands = role is not Role.KNOWN_GOOD and not muted
            stands = stands and (state in ("active", "held") or (state == "withdrawn" and waits))
            if kind == "match":
                assert stands
                assert report_id is not None or (state == "active" and mode is Mode.ACTIVE and not waits)
            elif report_id is None:
                assert not stands
        held = db.execute("SELECT id, content_seq FROM asset WHERE NOT gone AND content_seq IS NOT NULL")
        for asset, seq in held.fetchall():
            for (of, uid, key), (state, role, mode, waits, muted) in standing.items():
                due = state == "active" and role is not Role.KNOWN_GOOD and mode is Mode.ACTIVE
                if of == seq and due and not waits and not muted:
                    assert "match" == chains[asset, uid, key][-1][2]

    @invariant()
    def what_no_settled_version_matches_waits(self) -> None:
        """Of a pair that meets only by what a version on probation lists, nothing may be said."""
        db = self.site.ledger.db
        rows = db.execute(
            "SELECT c.seq, c.sha256, c.signals, m.set_uid, m.entry_key, m.version, p.version FROM match m"
            " JOIN content c ON c.seq = m.content_seq JOIN speech p USING (set_uid)"
            " WHERE m.state IN ('active', 'held') AND m.version <= p.version"
        ).fetchall()
        for seq, digest, blob, uid, key, _, settled in rows:
            met = coverage.at(db, uid, seq)
            entry = self.listed.get((uid, settled), {}).get(key)
            if digest in self.looked_again or met.version <= settled or (uid, settled) not in self.listed:
                continue
            rules = [rule for (of, _), rule in self.rules.items() if of == uid]
            assert entry is not None
            assert any(self.join(digests_of(self.contents[digest]), unpack(blob), entry, each) for each in rules)

    @invariant()
    def what_is_held_is_past_a_bound(self) -> None:
        """Once all have met a version it speaks, or is held for a reason that can be counted."""
        if not self.current:
            return
        db = self.site.ledger.db
        (contents,) = db.execute("SELECT count(*) FROM content").fetchone()
        for known in self.site.store.hash_sets():
            speech = self.site.ledger.probation.of(known.uid)
            if not known.in_force or not contents:
                continue
            assert speech is not None
            if speech.version == known.version:
                assert speech.held is None
                continue
            assert speech.held is not None
            assert (known.version, Mode.ACTIVE) == (speech.held.version, known.mode)
            assert known.role is not Role.KNOWN_GOOD
            assert {"matches", "share"} >= set(speech.held.reasons)

    @invariant()
    def assets_are_where_they_should_be(self) -> None:
        rows = self.site.ledger.db.execute(
            "SELECT a.id, c.sha256, a.missing_at, a.gone FROM asset a JOIN content c ON c.seq = a.content_seq"
            " WHERE a.root_id > 0"
        ).fetchall()
        present = {self.key(asset_id): digest for asset_id, digest, missing, gone in rows if not missing and not gone}
        missing = Counter(digest for _, digest, missing, gone in rows if missing is not None and not gone)

        assert self.model.summary() == (present, missing, Counter(digest for _, digest, _, gone in rows if gone))

    @invariant()
    def no_report_names_a_place(self) -> None:
        for (body,) in self.site.ledger.db.execute("SELECT body FROM report"):
            assert not any(canary in body for canary in CANARIES)


def main() -> None:
    """Quick counts. A failure is told as it was found: shrinking it takes minutes, in which a machine would give up.

    The blob that is printed with it replays it under any settings; `make prove` and the `here` profile shrink.
    """
    quick = settings(
        max_examples=QUICK_EXAMPLES,
        stateful_step_count=30,
        phases=[Phase.explicit, Phase.generate],
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Join, settings=quick)  # type: ignore[no-untyped-call]


@pytest.mark.timeout(900)
def test_the_match_table_equals_brute_force_after_any_interleaving() -> None:
    """Quick counts, in a process of its own: its end is told however it ends; `make prove` runs many more."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.scanner.test_join_property"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout[-20_000:] + done.stderr[-20_000:]


@pytest.mark.prove
@pytest.mark.timeout(0)
def test_the_match_table_equals_brute_force_after_very_many_interleavings(proof: Callable[..., None]) -> None:
    """The same machine at length."""
    examples, steps = 2000, 60
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Join,
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck)),
    )
    proof("durability", "the join after any interleaving", examples=examples, steps=steps, differences=0)


if __name__ == "__main__":
    from tests import conftest  # the profile: in CI the same examples each time

    assert conftest
    main()
