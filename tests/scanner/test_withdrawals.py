"""What any source or format withdraws is withdrawn from whoever heard of it, and from nobody else.

Listed, matched, told; withdrawn, unmatched, told in the next sealed batch. Another set lists the same value throughout:
its match and its report stand.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hashsets.bundles.publishing import publish
from hashsets.formats import Options
from hashsets.refresh import import_list
from hashsets.sources import Source
from hashsets.sources.bundle import BundleSource, in_folder
from hashsets.sources.file import FileSource
from hashsets.sources.folder import FolderSource
from hashsets.sources.http_file import HttpFile
from hashsets.sources.ncmec import NCMEC
from hashsets.sources.ncmec_xml import Selection
from hashsets.sources.stopncii import StopNCII
from hashsets.sources.tcap import LIST_PATH, TCAP, TOKEN_PATH
from hashsets.sources.threat_updates import ThreatUpdates
from hashsets.sources.web import Web
from hashsets.types import Entry, Mode, Signal
from samples.feed_servers import FileServer, NCMECServer, ScriptServer, StopNCIIServer, entry, tombstone
from scanner.isolation.confinement import available
from scanner.isolation.databases import read_database
from scanner.types import MediaKind
from tests.scanner.fakes import Site, fake_media, pdq

PICTURE = fake_media(pdq(1, frame=0), kind=MediaKind.VIDEO)
MD5, SHA1 = hashlib.md5(PICTURE).hexdigest(), hashlib.sha1(PICTURE).hexdigest()
OTHER_MD5, OTHER_SHA1 = "5a" * 16, "5a" * 20  # what stays listed: no list is empty
LONG_AGO = 1_500_000_000
Rows = list[tuple[str, str]]  # md5, sha1
BEFORE: Rows = [(MD5, SHA1), (OTHER_MD5, OTHER_SHA1)]
AFTER: Rows = BEFORE[1:]


def _lines(form: str, head: str = "") -> Callable[[Rows], bytes]:
    return lambda rows: (head + "".join(form.format(md5=md5, sha1=sha1) + "\n" for md5, sha1 in rows)).encode()


def _vics(rows: Rows) -> bytes:
    media = [{"MediaID": n, "Category": 1, "MD5": md5.upper(), "SHA1": sha1} for n, (md5, sha1) in enumerate(rows)]
    context = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/US/$metadata#Media"
    return json.dumps({"@odata.context": context, "value": media}).encode()


def _encase(rows: Rows) -> bytes:
    head = bytes.fromhex("484153480D0AFF00").ljust(1152, b"\0")
    return head + b"".join(bytes.fromhex(md5) + b"\0\0" for md5, _ in rows)


def _database(schema: str, insert: str) -> Callable[[Rows], bytes]:
    def made(rows: Rows) -> bytes:
        with sqlite3.connect(":memory:") as database:
            database.executescript(schema)
            database.executemany(insert, [{"md5": md5, "raw": bytes.fromhex(md5), "sha1": sha1} for md5, sha1 in rows])
            database.commit()
            return database.serialize()

    return made


def _vpdq(rows: Rows) -> bytes:
    seeds = [1, 2] if rows == BEFORE else [2]
    return "".join(f"{n},100,{pdq(n).value.hex()},{n}.0\n" for n in seeds).encode()


def _threatexchange(rows: Rows) -> bytes:
    found = [
        {"id": str(int(md5[:6], 16)), "type": "HASH_MD5", "indicator": md5, "descriptors": {"data": []}}
        for md5, _ in rows
    ]
    return json.dumps({"data": found}).encode()


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "plain": _lines("{md5}"),
    "typed": _lines("md5 {md5}"),
    "md5sum": _lines("{md5}  name"),
    "sha1sum-bsd": _lines("SHA1 (name) = {sha1}"),
    "hashdeep": _lines("1,{md5},{sha1},name", "%%%% HASHDEEP-1.0\n%%%% size,md5,sha1,filename\n"),
    "csv": _lines("md5,{md5},ref-{md5}", "type,value,ref\n"),
    "ndjson": _lines('{{"type":"md5","value":"{md5}"}}'),
    "nsrl-2": _lines(
        '"{sha1}","{md5}","0000000A","A",1,2,"WIN",""',
        '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\n',
    ),
    "hashkeeper": _lines(
        '1,1,"a","b","{md5}",1,"","","","","",""',
        '"file_id","hashset_id","file_name","directory","hash","file_size","date_modified","time_modified","time_zone",'
        '"comments","date_accessed","time_accessed"\n',
    ),
    "icse": _lines("{md5};{sha1};;1;y", "MD5;SHA1;PhotoDNA;Image ID;Is distributed\n"),
    "vics": _vics,
    "encase": _encase,
    "vpdq": _vpdq,
    "threatexchange": _threatexchange,
    "kdb": _database(
        "CREATE TABLE db_properties (name TEXT NOT NULL, value TEXT);"
        "INSERT INTO db_properties VALUES ('Schema Version', '1');"
        "CREATE TABLE hashes (id INTEGER PRIMARY KEY, md5 BINARY(16) UNIQUE, sha1 BINARY(20), sha2_256 BINARY(32));"
        "CREATE TABLE file_names (name TEXT NOT NULL, hash_id INTEGER NOT NULL);"
        "CREATE TABLE comments (comment TEXT NOT NULL, hash_id INTEGER NOT NULL)",
        "INSERT INTO hashes (md5) VALUES (:raw)",
    ),
    "nsrl-3": _database(
        "CREATE TABLE FILE (sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, crc32, file_name, file_size, package_id);"
        "CREATE TABLE PKG (package_id, name, version); CREATE TABLE VERSION (version, description)",
        "INSERT INTO FILE (sha1, md5) VALUES (upper(:sha1), upper(:md5))",
    ),
}


DATABASES = ("kdb", "nsrl-3")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A picture that was scanned, and a set that lists it whatever others do."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "picture").write_bytes(PICTURE)
    with Site(tmp_path / "home") as made:
        signal = Signal("md5", bytes.fromhex(MD5))
        made.list_entries("other", Entry(b"ref\0o", (signal,), ref="other"))
        made.scan(tmp_path / "media")
        yield made


def told(site: Site) -> list[tuple[str, str, str | None]]:
    """What the next sealed batch says: kind, set, cause."""
    before = {report.id for report, _ in site.ledger.sealing.sealed()}
    site.seal(seed=len(before))
    new = [report.body for report, _ in site.ledger.sealing.sealed() if report.id not in before]
    return sorted((body.kind.value, body.hash_set, body.cause.value if body.cause else None) for body in new)


def check(site: Site, first: Source, second: Source) -> None:
    """The whole way."""
    assert [("match", "other", None)] == told(site)
    import_list(site.store, "a", first, day=site.day)
    _speaks(site)
    site.rescan()
    assert [("match", "a", None)] == told(site)

    done = import_list(site.store, "a", second, day=site.day)
    assert done.withdrawn > 0
    site.rescan()
    assert [("withdrawal", "a", "entry")] == told(site)
    assert {("a", "withdrawn"), ("other", "active")} == {(name, state) for _, name, _, state in site.matches()}


def _speaks(site: Site) -> None:
    """A first version may speak."""
    site.store.set_mode("a", Mode.ACTIVE)


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_next_list_of_a_format_lacks_is_withdrawn(site: Site, tmp_path: Path, name: str) -> None:
    """A complete list, whatever its format, read from a file."""
    if name in DATABASES and not available().complete:
        pytest.skip("needs a kernel with Landlock and seccomp")
    options = Options(categories={"1": "1"} if name == "vics" else None, databases=read_database)
    sources = []
    for number, rows in enumerate((BEFORE, AFTER)):
        path = tmp_path / f"list{number}"
        path.write_bytes(FORMATS[name](rows))
        sources.append(FileSource(path, complete=True, options=options))
    check(site, *sources)


@pytest.mark.parametrize("name", ["ndjson", "threatexchange"])
def test_what_a_change_takes_back_is_withdrawn(site: Site, tmp_path: Path, name: str) -> None:
    """Formats with words for a withdrawal, in a list that only adds."""
    id_ = str(int(MD5[:6], 16))
    words = {
        "ndjson": json.dumps({"type": "md5", "value": MD5, "withdrawn": True}),
        "threatexchange": json.dumps(
            {"data": [{"id": id_, "type": "HASH_MD5", "indicator": MD5, "should_delete": True}]}
        ),
    }
    (tmp_path / "first").write_bytes(FORMATS[name](BEFORE))
    (tmp_path / "second").write_text(words[name] + "\n")
    check(site, *(FileSource(tmp_path / each, complete=False) for each in ("first", "second")))


def test_a_folder_of_lists_withdraws_with_a_file(site: Site, tmp_path: Path) -> None:
    """What none of its files lists any more."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "a").write_text(f"{MD5}\n")
    (folder / "b").write_text(f"{OTHER_MD5}\n")

    class Then(FolderSource):
        def pages(self, checkpoint: bytes | None):  # type: ignore[no-untyped-def]
            (folder / "a").unlink()
            return super().pages(checkpoint)

    check(site, *(made(folder, complete=True, options=Options()) for made in (FolderSource, Then)))


def test_an_address_withdraws_by_its_next_answer(site: Site) -> None:
    """Told from the first by its ETag."""
    server = FileServer()
    server.content = FORMATS["plain"](BEFORE)

    class Then(HttpFile):
        def pages(self, checkpoint: bytes | None):  # type: ignore[no-untyped-def]
            server.content, server.etag = FORMATS["plain"](AFTER), '"2"'
            return super().pages(checkpoint)

    with server.running():
        check(site, *(made(Web(server.base), "/list", options=Options()) for made in (HttpFile, Then)))


def test_ncmec_withdraws_by_a_tombstone(site: Site) -> None:
    """Of the same member and id, in a later window."""
    server = NCMECServer()
    server.records = [
        entry(LONG_AGO, "image", 42, "one", f"<md5>{MD5}</md5>"),
        entry(LONG_AGO, "image", 42, "two", f"<md5>{OTHER_MD5}</md5>"),
        tombstone(LONG_AGO + 900, "deletedImage", 42, "one"),
    ]
    times = [datetime.fromtimestamp(LONG_AGO + late, UTC) for late in (100, 1000)]
    with server.running():
        check(site, *(NCMEC(Web(server.base), Selection("npo-csam"), now=lambda at=at: at) for at in times))


def test_stopncii_withdraws_by_a_status(site: Site) -> None:
    """The record again, withdrawn."""
    server = StopNCIIServer()
    record = {"lastModtimestamp": 11, "signalType": "VideoMD5", "hashValue": MD5, "hashStatus": "Active"}
    server.records = [record, record | {"hashValue": OTHER_MD5}]
    headers = {"x-functions-key": "one", "Ocp-Apim-Subscription-Key": "two"}

    class Then(StopNCII):
        def pages(self, checkpoint: bytes | None):  # type: ignore[no-untyped-def]
            server.records.append(record | {"lastModtimestamp": 12, "hashStatus": "Withdrawn"})
            return super().pages(checkpoint)

    now = datetime.fromtimestamp(LONG_AGO, UTC)
    with server.running():
        check(site, *(made(Web(server.base, headers=headers), now=lambda: now) for made in (StopNCII, Then)))


def test_threatexchange_withdraws_by_an_update(site: Site) -> None:
    """`should_delete`, in a later run."""
    server = ScriptServer()
    update = {"id": "1", "type": "HASH_MD5", "indicator": MD5, "descriptors": []}
    server.replies = {
        "/v21.0/77/threat_updates/": [
            {"data": [update, update | {"id": "2", "indicator": OTHER_MD5}]},
            {"data": [{"id": "1", "should_delete": True, "type": "HASH_MD5", "indicator": MD5}]},
        ]
    }
    now = datetime.fromtimestamp(LONG_AGO, UTC)
    with server.running():
        web = Web(server.base)
        check(site, *(ThreatUpdates(web, "77", "1|s", now=lambda: now, host=server.base) for _ in range(2)))


def test_tcap_withdraws_by_deleted(site: Site) -> None:
    """The same id, deleted."""
    server = ScriptServer()
    row = {"id": 1, "hash_digest": MD5, "algorithm": "MD5", "ideology": "far-right", "deleted": False}
    pages = [[row, row | {"id": 2, "hash_digest": OTHER_MD5}], [row | {"deleted": True}]]
    server.replies = {
        TOKEN_PATH: [{"token": "jwt", "user": {}}],
        LIST_PATH: [{"results": page, "checkpoint": f"{n}.0,1", "next": None} for n, page in enumerate(pages)],
    }
    with server.running():
        check(site, *(TCAP(Web(server.base), "u", "p") for _ in range(2)))


def test_a_bundle_withdraws_by_its_next_version(site: Site, tmp_path: Path) -> None:
    """What its publisher lists no more."""
    bundle, keys = tmp_path / "bundle", tmp_path / "keys"

    def published(rows: Rows) -> None:
        found = [Entry(b"", (Signal("md5", bytes.fromhex(md5)),), ref=f"r{md5[:4]}") for md5, _ in rows]
        publish(bundle, keys, found, now=datetime.now(UTC), life=timedelta(days=7))

    class Then(BundleSource):
        def pages(self, checkpoint: bytes | None):  # type: ignore[no-untyped-def]
            published(AFTER)
            return super().pages(checkpoint)

    published(BEFORE)
    root = (bundle / "metadata" / "1.root.json").read_bytes()
    made = [kind(in_folder(bundle), root, options=Options(), most_bytes=10**6) for kind in (BundleSource, Then)]
    check(site, *made)
