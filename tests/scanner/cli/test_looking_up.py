"""`lookup`: values in, hits out, for people and for programs that hold the pipe open."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.command import Hashward

PDQ = "f439d924da56a1d4c63973a56acfc926cd53d9341b18367d318666cf9b142649"
OTHER = "0" * 32 + "f" * 32


@pytest.fixture
def full(hashward: Hashward, tmp_path: Path) -> Hashward:
    """A home that lists one PDQ value."""
    (tmp_path / "list").write_text(f"type,value,ref\npdq,{PDQ},ref-1\n")
    hashward("hashset", "import", "set", tmp_path / "list")
    return hashward


def test_a_hit_ends_in_1_and_none_in_0(full: Hashward) -> None:
    """As grep does it, the other way round: 1 is what scripts must stop at, as after a scan."""
    hit, none = full("lookup", "pdq", PDQ.upper()), full("lookup", "pdq", OTHER)

    assert (1, f"{PDQ}: 1 hit\n  set  ref ref-1  distance 0\n") == (hit.code, hit.out)
    assert (0, f"{OTHER}: no hits\n") == (none.code, none.out)


def test_programs_get_one_object_a_value(full: Hashward) -> None:
    """`value` and `hits`, in the order asked, blank lines and byte order mark passed over."""
    done = full.real("lookup", "pdq", "--json", "--radius", "31", "-", stdin=f"\ufeff{PDQ}\r\n\r\n{OTHER}")

    assert 1 == done.code
    assert [
        {"value": PDQ, "hits": [{"hash_set": "set", "ref": "ref-1", "distance": 0}]},
        {"value": OTHER, "hits": []},
    ] == done.objects


def test_a_value_is_answered_before_the_next_is_asked(full: Hashward) -> None:
    """A program that writes one value and waits for its answer gets it."""
    with full.process("lookup", "pdq", "--json", "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for value in (PDQ, OTHER):
            process.stdin.write(f"{value}\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline())["value"])
        process.stdin.close()

        assert [PDQ, OTHER] == answers
        assert 1 == process.wait(60)


def test_a_bad_line_is_named_by_its_number_after_what_came_before(full: Hashward) -> None:
    """What was right is answered; what is wrong is found by whoever has the file, and not repeated."""
    done = full.real("lookup", "pdq", "--json", "-", stdin=f"{PDQ}\n{OTHER}\nno-value\n{PDQ}\n")

    assert (4, 2) == (done.code, len(done.objects))
    assert "Line 3: " in done.err
    assert "no-value" not in done.err


@pytest.mark.parametrize("stdin", [b"\xff\xfe\x00\n", b"x" * 1_000_000])
def test_what_is_no_text_is_refused(stdin: bytes, full: Hashward) -> None:
    """Bytes that are no list of values end in one sentence."""
    done = full.real("lookup", "pdq", "-", stdin=stdin)

    assert (4, "") == (done.code, done.out)


def test_a_closed_standard_input_is_an_empty_one(full: Hashward) -> None:
    """A service manager may start us without one."""
    with full.process("lookup", "pdq", "-", stdin=None, preexec_fn=lambda: os.close(0)) as process:
        _, err = process.communicate(timeout=100)

    assert (0, "") == (process.returncode, err)


def test_looking_in_nothing_is_told(hashward: Hashward, full: Hashward) -> None:
    """No hit means nothing where no set is in force."""
    compared = full("lookup", "pdq", OTHER)
    full("hashset", "disable", "set")
    nothing = full("lookup", "pdq", OTHER)

    assert "" == compared.err
    assert "No hash set is in force" in nothing.err


def test_a_large_list_is_mapped_and_read_into_memory_where_it_cannot_be(hashward: Hashward, tmp_path: Path) -> None:
    """Its index is made by the import, checked by `verify`, made again by whoever needs it; else that is said."""
    (tmp_path / "list").write_text("".join(f"{number + 1:032x}\n" for number in range(4_100)))
    hashward("hashset", "import", "big", tmp_path / "list", "--type", "md5")
    listed = hashward.home / "listed"
    value = f"{77:032x}"

    assert "current" == hashward.json("status")["hash_sets"][0]["index"]
    assert 0 == hashward("hashset", "verify", "big").code
    segment = max(listed.glob("*/*.segment"), key=lambda path: path.stat().st_size)
    whole = segment.read_bytes()
    segment.unlink()
    segment.write_bytes(whole[:9000] + b"damaged" + whole[9007:])
    damaged = hashward("hashset", "verify", "big")
    assert (6, True) == (damaged.code, "index:" in damaged.out)
    assert "to be made" in hashward("status").out
    assert (1, "") == (hashward("lookup", "md5", value).code, hashward("lookup", "md5", value).err)
    assert "current" == hashward.json("status")["hash_sets"][0]["index"]
    shutil.rmtree(listed)
    listed.write_bytes(b"")
    said = hashward("lookup", "md5", value)
    assert (1, True) == (said.code, "big was read into memory" in said.err)
    listed.unlink()
    hashward("lookup", "md5", value)
    hashward("hashset", "remove", "big")
    assert [] == list(listed.iterdir())
