"""`hashset refresh` over the command: sources of the configuration, their secrets, and what withdrawals lead to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hashsets.refresh import import_list
from hashsets.sources.ncmec import NCMEC
from hashsets.sources.ncmec_xml import Selection
from hashsets.sources.web import Web
from hashsets.store import Store
from samples.feed_servers import FileServer, NCMECServer, StopNCIIServer, entry, tombstone
from tests.command import Hashward

SECRET = "canary-of-a-secret"
LONG_AGO = 1_500_000_000


@pytest.fixture
def server() -> Iterator[NCMECServer]:
    """NCMEC's, as it answers."""
    server = NCMECServer()
    with server.running():
        yield server


def configure(hashward: Hashward, text: str) -> None:
    """Write the configuration."""
    hashward.home.mkdir(mode=0o700, exist_ok=True)
    (hashward.home / "secret").write_text(f"{SECRET}\n")
    (hashward.home / "config.toml").write_text(text)


def feed(server: NCMECServer, name: str = "csam", secret: str = 'secret_file = "secret"') -> str:
    """A table of the configuration."""
    return (
        f'[[source]]\nhash_set = "{name}"\nkind = "ncmec"\nurl = "{server.base}"\nenvironment = "industry-csam"\n'
        f'username = "user"\n{secret}\n'
    )


def test_what_a_feed_withdraws_is_withdrawn_from_whoever_heard_of_it(
    hashward: Hashward, server: NCMECServer, folder: Path
) -> None:
    """Listed, matched, told; withdrawn, and told; what another set lists stays."""
    digest = hashlib.md5((folder / "one.ppm").read_bytes()).hexdigest()
    server.records = [
        entry(LONG_AGO, "image", 42, "image1", f"<md5>{digest}</md5>"),
        entry(LONG_AGO, "video", 42, "v", f"<md5>{7:032x}</md5>"),
        tombstone(LONG_AGO + 900, "deletedImage", 42, "image1"),
    ]
    other = folder.parent / "other.txt"
    other.write_text(f"{digest}\n")
    configure(hashward, feed(server) + f'[[source]]\nhash_set = "own"\nkind = "file"\npath = "{other}"\n')
    then = datetime.fromtimestamp(LONG_AGO + 100, UTC)  # before the withdrawal
    with Store.open(hashward.home) as store:
        source = NCMEC(Web(server.base), Selection("industry-csam"), now=lambda: then)
        import_list(store, "csam", source, day="2026-01-01")
    assert 0 == hashward("hashset", "refresh", "own").code
    assert [0, 0] == [hashward("hashset", "approve", name).code for name in ("csam", "own")]
    assert 1 == hashward("scan", folder).code
    assert 0 == hashward("reports", "seal").code

    refreshed = hashward.json("hashset", "refresh", "csam")
    rescan = hashward.json("rescan")
    hashward("reports", "seal")
    told = sorted((report["kind"], report["hash_set"]) for report in hashward("reports", "list", "--json").objects)

    assert (1, 1) == (refreshed["withdrawn"], rescan["matches_withdrawn"])
    assert [("match", "csam"), ("match", "own"), ("withdrawal", "csam")] == told


def test_secrets_come_from_files_the_environment_or_credentials_and_show_nowhere(
    hashward: Hashward, server: NCMECServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no output, no database and no message."""
    server.records = [entry(LONG_AGO, "image", 1, "a", f"<md5>{5:032x}</md5>")]
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "ncmec").write_text(SECRET)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("NCMEC_PASSWORD", SECRET)
    said = ('secret_file = "secret"', 'secret_env = "NCMEC_PASSWORD"', 'secret_credential = "ncmec"')
    configure(hashward, "".join(feed(server, f"s{number}", secret) for number, secret in enumerate(said)))
    done = hashward("hashset", "refresh")

    assert (0, "") == (done.code, done.err)
    assert 1 == len({header["Authorization"] for header in server.headers})
    assert 3 == len(hashward.json("hashset", "list"))
    kept = b"".join(path.read_bytes() for path in hashward.home.rglob("*") if path.is_file() and path.name != "secret")
    assert SECRET.encode() not in kept
    for wrong in ('secret_env = "NOT_THERE"', 'secret_credential = "../ncmec"', 'secret_file = "nothing"'):
        configure(hashward, feed(server, "x", wrong))
        failed = hashward("hashset", "refresh")
        assert (2, True) == (failed.code, "secret" in failed.err or "credential" in failed.err)
        assert SECRET not in failed.err


def test_a_secret_written_into_the_configuration_is_refused_with_the_place_for_it(
    hashward: Hashward, server: NCMECServer
) -> None:
    """It is not taken for a typing mistake, and not repeated."""
    configure(hashward, feed(server, "x", f'password = "{SECRET}"'))
    done = hashward("hashset", "refresh")

    assert 2 == done.code
    assert "source.secret_file" in done.err
    assert SECRET not in done.err


def test_a_first_refresh_says_that_the_set_is_in_shadow(hashward: Hashward, server: NCMECServer) -> None:
    """And what to do about it; no more once it is approved."""
    server.records = [entry(LONG_AGO, "image", 1, "a", f"<md5>{5:032x}</md5>")]
    configure(hashward, feed(server, "csam", 'secret_file = "secret"'))
    first = hashward("hashset", "refresh").out
    hashward("hashset", "approve", "csam")

    assert "`hashward hashset approve csam`" in first
    assert "In shadow" not in hashward("hashset", "refresh").out


def test_a_source_that_fails_hinders_no_other(hashward: Hashward, tmp_path: Path) -> None:
    """Each set by itself; the exit code is of the first failure; a dry run changes nothing."""
    files, stopncii = FileServer(), StopNCIIServer()
    files.content = f"{9:032x}\n".encode()
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "a").write_text(f"{1:032x}\n")
    (lists / "b").write_text(f"{2:032x}\n")
    (lists / ".hidden").write_text("no list")
    stopncii.records = [
        {"lastModtimestamp": 11, "signalType": "VideoMD5", "hashValue": f"{3:032x}", "hashStatus": "Active"}
    ]
    text = (
        f'[[source]]\nhash_set = "far"\nkind = "http"\nurl = "{files.base}/list"\n'
        f'[[source]]\nhash_set = "near"\nkind = "file"\npath = "{lists}"\nrole = "known_good"\n'
        f'[[source]]\nhash_set = "adults"\nkind = "stopncii"\nurl = "{stopncii.base}"\nsecret_file = "keys"\n'
    )
    configure(hashward, text)
    (hashward.home / "keys").write_text("one\ntwo\n")
    with files.running(), stopncii.running():
        tried = hashward("hashset", "refresh", "--dry-run", "--json")
        assert [1, 2, 1] == [each["added"] for each in tried.objects]
        assert [] == hashward.json("hashset", "list")
        files.moods = [403]
        done = hashward("hashset", "refresh", "--json")
    assert (5, ["near", "adults"]) == (done.code, [each["hash_set"] for each in done.objects])
    assert "far: the source answered 403" in done.err
    assert {"near": "known_good", "adults": "alert"} == {
        each["name"]: each["role"] for each in hashward.json("hashset", "list")
    }
    (lists / "c").write_text("no list\n")
    assert "list 3 of 3" in hashward("hashset", "refresh", "near").err
    assert 2 == hashward("hashset", "refresh", "nobody").code
    configure(hashward, "")
    assert "No source" in hashward("hashset", "refresh").err


def test_one_site_feeds_another_by_a_signed_bundle(hashward: Hashward, tmp_path: Path) -> None:
    """Published, taken, under one ref on both; a forged one is refused, the old serves, and `status` says so."""
    lists = tmp_path / "list.csv"
    lists.write_text(f"type,value,ref\nmd5,{5:032x},public-1\nmd5,{6:032x},public-2\n")
    publisher = Hashward(tmp_path / "publisher")
    publisher("hashset", "import", "ours", lists)
    bundle = tmp_path / "bundle"
    published = publisher.json("hashset", "publish", "ours", bundle)
    (tmp_path / "root.json").write_bytes((bundle / "metadata" / "1.root.json").read_bytes())
    where = f'path = "{bundle}"\nroot_file = "{tmp_path / "root.json"}"\n'
    configure(hashward, f'[[source]]\nhash_set = "theirs"\nkind = "bundle"\n{where}')
    taken = hashward.json("hashset", "refresh")
    hits = hashward("lookup", "md5", f"{5:032x}", "--json").object["hits"]
    for path in (bundle / "targets").iterdir():
        path.write_bytes(path.read_bytes().replace(b"public-1", b"forged-1"))
    again = publisher("hashset", "publish", "ours", bundle).out
    for path in (bundle / "metadata").glob("*.targets.json"):
        path.write_bytes(path.read_bytes().replace(b'"targets"', b'"forged"'))
    forged = hashward("hashset", "refresh")
    (source,) = hashward.json("status")["sources"]

    assert (1, 2, True) == (published["version"], published["entries"], published["changed"])
    assert (2, [{"hash_set": "theirs", "ref": "public-1", "distance": 0}]) == (taken["added"], hits)
    assert "the same list as before" in again
    assert 5 == forged.code
    assert ("refused", 1) == (source["state"], source["failures"])
    assert 2 == hashward.json("hashset", "show", "theirs")["entries"]
    assert str(tmp_path) not in forged.err
    assert 2 == publisher("hashset", "publish", "ours", publisher.home / "list.csv" / "\x00").code
