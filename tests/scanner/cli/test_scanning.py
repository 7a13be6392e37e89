"""`scan` and `rescan`: what they print, what they count, and in what they end."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.command import Hashward

CONTRACT = {
    "assets",
    "contents",
    "scanned",
    "skipped",
    "matched",
    "partial",
    "unscannable",
    "opened_files",
    "matches_added",
    "matches_withdrawn",
    "seconds",
}


def test_a_scan_ends_in_1_for_a_match_else_3_for_what_it_could_not_see_else_0(
    hashward: Hashward, folder: Path, listed: Path
) -> None:
    """The exit codes that scripts rely on, in their order."""
    clear = hashward("scan", folder)
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    torn = hashward("scan", folder)
    hashward("hashset", "import", "set", listed)
    matched = hashward("scan", folder)

    assert [0, 3, 1] == [clear.code, torn.code, matched.code]
    assert "could not look 1  (undecodable 1)" in torn.out


def test_the_closing_object_of_scan_and_rescan_has_what_programs_rely_on(
    hashward: Hashward, folder: Path, listed: Path
) -> None:
    """One JSON document with the agreed keys; reasons are counted in objects."""
    scanned = hashward.json("scan", folder)
    hashward("hashset", "import", "set", listed)
    rescanned = hashward.json("rescan")

    assert scanned.keys() >= CONTRACT
    assert rescanned.keys() >= CONTRACT
    assert ({}, {}) == (scanned["partial"], scanned["unscannable"])
    assert (3, 3, 0, 3, 0) == tuple(scanned[k] for k in ("assets", "scanned", "skipped", "opened_files", "matched"))
    assert (1, 0, 1, 1, 0) == tuple(
        rescanned[k] for k in ("assets", "opened_files", "matched", "matches_added", "matches_withdrawn")
    )


def test_nothing_is_walked_or_counted_twice(hashward: Hashward, folder: Path) -> None:
    """A folder named twice, and a file named beside its folder, are one walk and one outcome each."""
    done = hashward.json("scan", folder, folder / "one.ppm", folder, f"{folder}/")

    assert (3, 3) == (done["assets"], done["scanned"] + done["skipped"])


def test_a_folder_above_takes_in_what_was_named_before_it(hashward: Hashward, folder: Path) -> None:
    """The order in which overlapping folders are named does not matter."""
    (folder / "below").mkdir()
    (folder / "below" / "more.txt").write_bytes(b"more")
    done = hashward.json("scan", folder / "below", folder)

    assert 4 == done["assets"]
    assert 1 == len(hashward.json("root", "list"))


def test_the_home_itself_is_left_out(hashward: Hashward, folder: Path) -> None:
    """Our own databases change while they are read; a root that holds the home leaves it out, and says so."""
    home = Hashward(folder / "[home]*")
    first, second = home.json("scan", folder), home("scan", folder)
    own = home("scan", home.home)

    assert (3, {"excluded": 1}) == (first["assets"], first["unlisted_folders"])
    assert 0 == second.code
    assert 2 == own.code


def test_an_empty_path_is_refused(hashward: Hashward) -> None:
    """A variable that was not set does not make us scan the working folder."""
    assert 2 == hashward("scan", "").code
    assert 2 == hashward("root", "add", "name", "").code
    assert 2 == hashward("hash", "").code
    assert [] == hashward.json("root", "list")


def test_a_scan_against_nothing_says_so(hashward: Hashward, folder: Path, listed: Path) -> None:
    """Clear without a hash set means nothing, and a person is told."""
    alone = hashward("scan", folder)
    hashward("hashset", "import", "set", listed)
    hashward("hashset", "disable", "set")
    disabled = hashward("scan", folder)
    hashward("hashset", "enable", "set")
    compared = hashward("scan", folder)

    assert "Compared with nothing" in alone.out
    assert "Compared with nothing" in disabled.out
    assert "Compared with nothing" not in compared.out


def test_known_good_is_visible(hashward: Hashward, folder: Path, tmp_path: Path) -> None:
    """What is near a listed picture but known good is counted, and an exact match that is known good is held."""
    one, darker = (hashward.json("hash", folder / name) for name in ("one.ppm", "darker.ppm"))
    (tmp_path / "near.txt").write_text(f"pdq {one['pdq']['hex']}\n")
    (tmp_path / "good.txt").write_text(f"sha256 {darker['sha256']}\nsha256 {one['sha256']}\n")
    (tmp_path / "exact.txt").write_text(f"sha256 {one['sha256']}\n")
    hashward("hashset", "import", "near", tmp_path / "near.txt")
    hashward("hashset", "import", "good", tmp_path / "good.txt", "--role", "known_good")
    suppressed = hashward.json("scan", folder)
    hashward("hashset", "import", "exact", tmp_path / "exact.txt")
    held = hashward.json("scan", folder)
    told = hashward("scan", folder).out
    status = hashward.json("status")

    assert (0, 2, 0) == tuple(suppressed[k] for k in ("matched", "suppressed", "held"))
    assert (1, 1, 1) == tuple(held[k] for k in ("matched", "suppressed", "held"))
    assert "1 held: known good too, so not reported" in told
    assert "1 near a listed one, but known good" in told
    assert {"held": 1, "known_good": 2, "suppressed": 2} == status["matches"]
    assert 0 == status["reports"]["pending"]


def test_local_paths_are_shown_only_when_asked_and_cannot_drive_a_terminal(
    hashward: Hashward, folder: Path, listed: Path
) -> None:
    """File names are strangers' text: control characters are spelt out, and JSON stays alone on standard output."""
    (folder / "one.ppm").rename(folder / "evil\x1b[2J\n.ppm")
    hashward("hashset", "import", "set", listed)
    silent, shown = hashward("scan", folder), hashward("scan", folder, "--show-paths")
    beside = hashward("scan", folder, "--show-paths", "--json")

    assert "evil" not in silent.out + silent.err
    assert f"{folder}/evil\\x1b[2J\\x0a.ppm" in shown.out.splitlines()
    assert 1 == beside.object["matched"]
    assert "evil\\x1b" in beside.err


def test_two_scans_at_once_share_a_root(hashward: Hashward, folder: Path) -> None:
    """Processes that meet a new folder at the same moment all scan it; none is refused."""
    processes = [hashward.process("scan", "--json", folder) for _ in range(3)]
    ended = [(process.communicate(timeout=100)[1], process.returncode) for process in processes]

    assert [("", 0)] * 3 == ended
    assert 3 == hashward.json("status")["assets"]


def test_a_terminal_gets_a_bar_and_a_pipe_gets_none(hashward: Hashward, folder: Path) -> None:
    """Bars go to standard error while it is a terminal, and leave nothing in a log."""
    ours, theirs = pty.openpty()
    done = subprocess.run(hashward.line("scan", folder), stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.set_blocking(ours, False)
    shown = os.read(ours, 2**20)
    os.close(ours)
    os.close(theirs)
    piped = hashward.real("scan", folder)

    assert 0 == done.returncode
    assert b"files" in shown
    assert b"\x1b" not in done.stdout
    assert "" == piped.err


@pytest.mark.parametrize("suspect", [True, False])
def test_a_root_that_is_not_there_is_suspect(suspect: bool, hashward: Hashward, folder: Path) -> None:
    """A scan of a root that has gone looks at nothing and must not end in 0."""
    hashward("root", "add", "pictures", folder)
    hashward("scan", "pictures")
    if suspect:
        folder.rename(folder.with_name("away"))
    done = hashward("scan", "pictures")

    assert (3 if suspect else 0) == done.code
    assert suspect == ("root pictures is suspect (missing)" in done.out)
