"""Signed bundles: what one site publishes another takes, and each attack of The Update Framework's list is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hashsets.bundles import LIST_NAME
from hashsets.bundles.publishing import publish
from hashsets.bundles.verifying import MOST_METADATA_BYTES
from hashsets.errors import HashsetsError, SourceError, UsageError
from hashsets.formats import Options
from hashsets.refresh import RefreshSummary, import_list, refresh
from hashsets.sources.bundle import BundleSource, in_folder, over_web
from hashsets.sources.web import Patience, Web
from hashsets.store import Store
from hashsets.types import Classification, Entry, Shape, Signal
from samples.feed_servers import Reply, Server

DAY = "2026-01-01"
LIFE = timedelta(days=7)
MARK = Classification("scale", "A1")


def entry(number: int) -> Entry:
    """An entry with a ref of its own."""
    signal = Signal("md5", number.to_bytes(16))
    return Entry(f"k{number}".encode(), (signal,), Shape.ITEM, f"ref-{number}", (MARK,))


class Site:
    """A publisher, and a subscriber who has its root."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self.folder = folder
        self.bundle, self.keys = folder / "bundle", folder / "keys"
        self.patience = patience
        self.store = Store.open(folder / "subscriber")
        self.publish(1, 2)
        self.root = (self.bundle / "metadata" / "1.root.json").read_bytes()

    def publish(self, *numbers: int, ago: timedelta = timedelta(0), keys: Path | None = None) -> None:
        """Publish a list of these entries."""
        when = datetime.now(UTC) - ago
        publish(self.bundle, keys or self.keys, [entry(number) for number in numbers], now=when, life=LIFE)

    def take(self, web: Web | None = None, most_bytes: int = 10**6) -> RefreshSummary:
        """Refresh the subscriber's set."""
        fetch = in_folder(self.bundle) if web is None else over_web(web)
        source = BundleSource(fetch, self.root, options=Options(), most_bytes=most_bytes)
        known = any(each.name == "a" for each in self.store.hash_sets())
        return (refresh if known else import_list)(self.store, "a", source, day=DAY)

    def listed(self) -> set[str]:
        """The refs in force."""
        return {str(each.ref) for each in self.store.entries(self.store.hash_set("a").uid)}


@pytest.fixture
def site(tmp_path: Path, patience: Patience) -> Iterator[Site]:
    """A bundle with two entries."""
    made = Site(tmp_path, patience)
    with made.store:
        yield made


class Files(Server):
    """Offers a folder; without end, where that is asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.endless = ""

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """See Server."""
        if self.endless and self.endless in path:
            return Reply(b"x" * (MOST_METADATA_BYTES * 4))
        place = self.folder / path.lstrip("/")
        return Reply(place.read_bytes()) if place.is_file() else Reply(status=404)


def test_a_set_is_told_on_whole_and_only_when_it_differs(site: Site) -> None:
    """Refs, classifications and shapes; what is published no more is withdrawn; the same list costs nothing."""
    frames = Entry(b"f", (Signal("pdq", b"\xc5" * 32, frame=3, frame_ms=90),), Shape.FRAMES, "film")
    publish(site.bundle, site.keys, [entry(1), frames], now=datetime.now(UTC), life=LIFE)
    first, same = site.take(), site.take()
    site.publish(1, 3)
    then = site.take()

    assert (2, 0, 0) == (first.added, same.added, same.withdrawn)
    assert ({"ref-1", "ref-3"}, 1, 1) == (site.listed(), then.added, then.withdrawn)
    (one,) = (each for each in site.store.entries(site.store.hash_set("a").uid, 1) if each.ref == "film")
    assert (Shape.FRAMES, 3, 90) == (one.shape, one.signals[0].frame, one.signals[0].frame_ms)
    assert (MARK,) == next(iter(site.store.entries(site.store.hash_set("a").uid))).classifications


def test_a_bundle_comes_over_http(site: Site) -> None:
    """From any server of files."""
    server = Files(site.bundle)
    with server.running():
        site.take(Web(server.base, patience=site.patience))

    assert {"ref-1", "ref-2"} == site.listed()


def wrong_key(site: Site) -> None:
    """Somebody else publishes in its place, under a root of their own."""
    shutil.rmtree(site.bundle)
    site.publish(6, 7, keys=site.folder / "other-keys")


def wrong_key_under_our_root(site: Site) -> None:
    """Signatures of another key, with the root that we know."""
    other = site.folder / "other"
    publish(other, site.folder / "other-keys", [entry(6)], now=datetime.now(UTC), life=LIFE)
    publish(other, site.folder / "other-keys", [entry(7)], now=datetime.now(UTC), life=LIFE)
    publish(other, site.folder / "other-keys", [entry(8)], now=datetime.now(UTC), life=LIFE)
    (other / "metadata" / "1.root.json").write_bytes(site.root)
    shutil.rmtree(site.bundle)
    other.rename(site.bundle)


def rollback(site: Site) -> None:
    """A bundle of before, well signed."""
    shutil.rmtree(site.bundle)
    (site.folder / "old").rename(site.bundle)


def freeze(site: Site) -> None:
    """The newest bundle has expired."""
    site.publish(1, 2, 3, 4, ago=timedelta(days=8))


def mix_and_match(site: Site) -> None:
    """The timestamp of one bundle, the snapshot of another."""
    site.publish(1, 2, 3, 4)
    metadata = site.bundle / "metadata"
    newest = max(int(path.name.split(".")[0]) for path in metadata.glob("*.snapshot.json"))
    shutil.copy(metadata / f"{newest - 1}.snapshot.json", metadata / f"{newest}.snapshot.json")


def another_list(site: Site) -> None:
    """The metadata are true, the list is not the one that they name."""
    site.publish(1, 2, 3, 4)
    for path in (site.bundle / "targets").glob(f"*.{LIST_NAME}"):
        path.write_bytes(path.read_bytes().replace(b"ref-4", b"ref-9"))


def endless_list(site: Site) -> None:
    """The list goes on behind what was signed."""
    site.publish(1, 2, 3, 4)
    for path in (site.bundle / "targets").glob(f"*.{LIST_NAME}"):
        path.write_bytes(path.read_bytes() * 100)


def endless_metadata(site: Site) -> None:
    """A timestamp of a gigabyte, but for the room."""
    (site.bundle / "metadata" / "timestamp.json").write_bytes(b"{" * (MOST_METADATA_BYTES + 1))


def no_metadata(site: Site) -> None:
    """Not JSON, and of no role."""
    (site.bundle / "metadata" / "timestamp.json").write_text(json.dumps({"signed": {"_type": "targets"}}))


@pytest.mark.parametrize(
    "attack",
    [
        wrong_key, wrong_key_under_our_root, rollback, freeze, mix_and_match, another_list, endless_list,
        endless_metadata, no_metadata,
    ],
    ids=lambda attack: attack.__name__,
)  # fmt: skip
def test_an_attack_is_refused_and_the_old_version_serves(site: Site, attack: Callable[[Site], None]) -> None:
    """In words of our own, and what comes after it truly signed is taken."""
    shutil.copytree(site.bundle, site.folder / "old")
    site.take()
    site.publish(1, 2, 3)
    site.take()
    shutil.copytree(site.bundle, site.folder / "true")
    attack(site)
    with pytest.raises(SourceError) as refused:
        site.take()

    assert {"ref-1", "ref-2", "ref-3"} == site.listed()
    assert "bundle" in str(refused.value)
    assert str(site.folder) not in str(refused.value)
    shutil.rmtree(site.bundle)
    (site.folder / "true").rename(site.bundle)
    site.publish(1, 5)
    site.take()
    assert {"ref-1", "ref-5"} == site.listed()


def test_a_server_without_end_is_left(site: Site) -> None:
    """Its metadata and its list are taken no further than they may be."""
    server = Files(site.bundle)
    with server.running():
        for endless in ("timestamp", LIST_NAME):
            server.endless = endless
            with pytest.raises(SourceError):
                site.take(Web(server.base, patience=site.patience))
        with pytest.raises(SourceError):
            site.take(most_bytes=10)

    assert [] == site.store.hash_sets()


def test_a_bundle_is_not_gone_on_with_under_other_keys(site: Site) -> None:
    """A publisher who has lost the keys begins another bundle."""
    with pytest.raises(UsageError):
        site.publish(9, keys=site.folder / "new-keys")
    with pytest.raises(HashsetsError):
        publish(site.bundle, site.keys, [], now=datetime.now(UTC), life=LIFE)

    site.take()
    assert {"ref-1", "ref-2"} == site.listed()
    assert 0o600 == (site.keys / "online.pem").stat().st_mode & 0o777


def test_old_parts_of_a_bundle_go(site: Site) -> None:
    """All but those that somebody may be reading."""
    for number in range(3, 9):
        site.publish(1, number)

    assert 2 == len(list((site.bundle / "targets").iterdir()))
    assert 2 == len(list((site.bundle / "metadata").glob("*.snapshot.json")))
