"""`status` and `selftest`: how everything stands, in one look."""

from __future__ import annotations

import socket
import zipfile
from pathlib import Path

import imagehash
import pytest
from click.testing import CliRunner
from PIL import Image

from scanner.cli import main
from tests.command import Hashward


def test_status_counts_every_file_once_with_its_reason(hashward: Hashward, folder: Path, listed: Path) -> None:
    """The outcomes add up to the files, and people and programs are told the same."""
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    hashward("hashset", "import", "set", listed)
    hashward("scan", folder)
    standing, told = hashward.json("status"), hashward("status").out
    outcomes = standing["outcomes"]
    single = ("matched", "clear", "not_media")

    assert {"undecodable": 1} == outcomes["unscannable"]
    assert 4 == standing["assets"] == sum(outcomes[k] for k in single) + sum(outcomes["unscannable"].values())
    assert "could not look: undecodable 1" in told
    assert "matched 1" in told
    for name in ("kernel", "fingerprint_kernel", "digests", "jpeg_decoder", "sandbox"):
        assert standing[name] in told


def test_status_tells_what_a_rescan_would_do(hashward: Hashward, folder: Path, listed: Path) -> None:
    """Contents behind a set are counted and the next step is named; afterwards neither."""
    hashward("scan", folder)
    hashward("hashset", "import", "set", listed)
    before = hashward("status").out
    (standing,) = hashward.json("status")["hash_sets"]
    hashward("rescan")

    assert (0, 3) == (standing["contents_current"], standing["contents_behind"])
    assert "Next: `hashward rescan`" in before
    assert "Next" not in hashward("status").out
    assert 3 == hashward.json("status")["hash_sets"][0]["contents_current"]


def test_a_hash_type_listed_later_is_owed_until_it_is_paid(hashward: Hashward, folder: Path, tmp_path: Path) -> None:
    """No configuration is needed to find what a list holds, and what was looked at before is not called compared."""
    value = imagehash.phash(Image.open(folder / "one.ppm"))
    (tmp_path / "list").write_text(f"phash {value}\n")
    hashward("scan", folder)
    hashward("hashset", "import", "set", tmp_path / "list")
    owed, told = hashward.json("status"), hashward("status").out
    paid = hashward.json("scan", "--owed", folder)

    assert {"image/phash/1": 2, "image/phash/exif/1": 2} == owed["owed_recipes"]
    assert "`hashward scan --owed` does" in told
    assert (0, 2) == (owed["outcomes"]["matched"], paid["matched"])
    assert {} == hashward.json("status")["owed_recipes"]


def test_a_picture_in_an_archive_owes_a_hash_type_listed_later(
    hashward: Hashward, folder: Path, tmp_path: Path
) -> None:
    """As the picture itself would; a text that is no archive owes nothing."""
    value = imagehash.phash(Image.open(folder / "one.ppm"))
    (tmp_path / "list").write_text(f"phash {value}\n")
    with zipfile.ZipFile(folder / "archive", "w") as archive:
        archive.write(folder / "one.ppm", "one.ppm")
    for name in ("one.ppm", "darker.ppm"):
        (folder / name).unlink()
    hashward("scan", folder)
    hashward("hashset", "import", "set", tmp_path / "list")
    owed = hashward.json("status")["owed_recipes"]
    paid = hashward.json("scan", "--owed", folder)

    assert {1} == set(owed.values())
    assert "image/phash/1" in owed
    assert 1 == paid["matched"]
    assert {} == hashward.json("status")["owed_recipes"]


def test_an_empty_home_says_what_to_do_first(hashward: Hashward) -> None:
    """A newcomer's first look ends in a next step."""
    assert "No hash sets: `hashward hashset import NAME FILE`." in hashward("status").out
    assert 2 == hashward("scan").code
    assert "`hashward root add`" in hashward("scan").err


def test_the_environment_says_where_home_and_configuration_are(
    hashward: Hashward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HASHWARD_HOME and HASHWARD_CONFIG count where no option does."""
    (tmp_path / "else.toml").write_text("[scan]\nworkers = -1\n")
    monkeypatch.setenv("HASHWARD_HOME", str(tmp_path / "by environment"))
    assert 0 == CliRunner().invoke(main, ["status"]).exit_code
    assert (tmp_path / "by environment" / "ledger.db").exists()
    assert 0o700 == (tmp_path / "by environment").stat().st_mode & 0o777
    assert not hashward.home.exists()

    monkeypatch.setenv("HASHWARD_CONFIG", str(tmp_path / "else.toml"))
    assert 2 == CliRunner().invoke(main, ["status"]).exit_code


def test_the_self_test_tells_each_step(hashward: Hashward) -> None:
    """People read the steps, programs get them in one document, and exit 0 says that all held."""
    told, counted = hashward("selftest"), hashward.json("selftest")

    assert 0 == told.code
    assert counted["passed"]
    assert [f"ok    {step['story']}" for step in counted["steps"]] == told.out.splitlines()


def test_a_self_test_that_fails_ends_in_1(hashward: Hashward) -> None:
    """With a configuration that overlooks the planted files, nothing is proved."""
    hashward.home.mkdir()
    (hashward.home / "config.toml").write_text('[scan]\nexclude = ["*.ppm"]\n')
    done = hashward("selftest")

    assert 1 == done.code
    assert "FAIL" in done.out


def test_a_sink_that_takes_nothing_is_told_with_the_reason(hashward: Hashward, folder: Path, listed: Path) -> None:
    """In one word of a closed list, without its address; once it takes again nothing is said."""
    hashward("hashset", "import", "a", listed, "--approve")
    text = '[[sink]]\nname = "far"\nkind = "http"\nurl = "http://127.0.0.1:{port}/x"\nhash_sets = ["a"]\n'
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (hashward.home / "config.toml").write_text(text.format(port=closed.getsockname()[1]))
        hashward("scan", folder)
        hashward("reports", "seal")
        untried = hashward.json("status")["sinks"][0]
        hashward("reports", "deliver")
    (sink,), said = hashward.json("status")["sinks"], hashward("status").out
    (hashward.home / "config.toml").write_text('[[sink]]\nname = "far"\nkind = "jsonl"\nhash_sets = ["a"]\n')
    hashward("reports", "deliver", "--now")
    (mended,) = hashward.json("status")["sinks"]

    assert (1, None) == (untried["owed"], untried["trouble"])
    assert (1, "unreachable") == (sink["owed"], sink["trouble"])
    assert "does not take 1 batch: unreachable" in said
    assert "127.0.0.1" not in said
    assert (0, None) == (mended["owed"], mended["trouble"])
