"""`hashset import` over the command: categories, databases, packed lists."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path

import pytest

from scanner.isolation.confinement import available
from tests.command import Hashward

DIGESTS = [f"{number:032x}" for number in range(1, 7)]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Where the list is."""
    return tmp_path / "list"


def test_categories_are_chosen_by_name(hashward: Hashward, listed: Path) -> None:
    """A list that has them is refused with what it holds; chosen ones are kept under their code, the others counted."""
    records = [{"MD5": digest, "Category": number % 3} for number, digest in enumerate(DIGESTS)]
    listed.write_text(json.dumps({"value": records}))
    unsaid = hashward("hashset", "import", "vic", listed)
    done = hashward.json("hashset", "import", "vic", listed, "--category", "1=A1", "--category", "2")

    assert (4, True) == (unsaid.code, "0 (2), 1 (2), 2 (2)" in unsaid.err)
    assert (4, {"0": 2}) == (done["entries"], done["filtered"])
    assert 2 == hashward("hashset", "import", "vic", listed, "--complete", "--category", "=x").code
    assert "1 (" not in hashward("hashset", "import", "vic", listed, "--complete", "--category", "all").err


@pytest.mark.skipif(not available().complete, reason="needs a kernel with Landlock and seccomp")
def test_a_database_and_a_packed_list_are_imported(hashward: Hashward, listed: Path) -> None:
    """Recognised by content; the database is read in the sandbox."""
    connection = sqlite3.connect(listed)
    connection.execute("CREATE TABLE FILE (sha256, sha1, md5)")
    connection.executemany("INSERT INTO FILE (md5) VALUES (?)", [(digest,) for digest in DIGESTS])
    connection.commit()
    connection.close()
    assert 6 == hashward.json("hashset", "import", "nsrl", listed, "--role", "known_good")["added"]
    listed.write_bytes(gzip.compress("\n".join(DIGESTS[:5]).encode()))

    assert 1 == hashward.json("hashset", "import", "nsrl", listed, "--complete")["withdrawn"]
