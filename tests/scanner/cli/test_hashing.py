"""`hash`: the signals of files, one line each, and no line missing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.command import Hashward

KEYS = {"path", "media", "status", "reason", "md5", "sha1", "sha256", "pdq", "frames", "signals"}
SIGNAL_KEYS = {"type", "value", "quality", "orientation", "part", "frame", "ms"}


def test_programs_get_one_object_a_file(hashward: Hashward, folder: Path) -> None:
    """The agreed keys, for pictures and for what is no media."""
    lines = {Path(each["path"]).name: each for each in hashward("hash", "--json", folder).objects}

    assert {"one.ppm", "darker.ppm", "note.txt"} == lines.keys()
    assert all(each.keys() == KEYS for each in lines.values())
    assert ("image", "ok", None) == tuple(lines["one.ppm"][key] for key in ("media", "status", "reason"))
    assert hashlib.sha256(b"no picture").hexdigest() == lines["note.txt"]["sha256"]
    assert ("other", None, []) == tuple(lines["note.txt"][key] for key in ("media", "pdq", "signals"))
    assert SIGNAL_KEYS == lines["one.ppm"]["signals"][0].keys()
    assert lines["one.ppm"]["pdq"]["hex"] == lines["one.ppm"]["signals"][0]["value"]
    assert 100 == lines["one.ppm"]["pdq"]["quality"]


def test_people_get_a_paragraph_a_file(hashward: Hashward, folder: Path) -> None:
    """Path, what it is, and each value with its name."""
    out = hashward("hash", folder / "one.ppm").out

    assert out.startswith(f"{folder}/one.ppm: image, ok\n  md5    ")
    assert "quality 100" in out


def test_it_makes_no_home(hashward: Hashward, folder: Path) -> None:
    """Neither database is needed, so neither is made."""
    assert 0 == hashward("hash", folder).code
    assert not hashward.home.exists()


def test_a_link_that_is_named_is_followed(hashward: Hashward, folder: Path) -> None:
    """Whoever names a link means what it leads to; links met on the way are not followed."""
    link = folder / "link"
    link.symlink_to("one.ppm")
    named = hashward("hash", "--json", link).objects
    walked = hashward("hash", "--json", folder).objects

    assert [(os.fspath(link), "ok")] == [(each["path"], each["status"]) for each in named]
    assert 3 == len(walked)


def test_a_damaged_file_says_what_it_lacks(hashward: Hashward, folder: Path) -> None:
    """Its digests are there, the reason too, and the exit code stays 0."""
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    done = hashward("hash", "--json", folder / "torn.jpg")

    assert 0 == done.code
    assert ("unscannable", "undecodable") == (done.object["status"], done.object["reason"])
    assert 64 == len(done.object["sha256"])
