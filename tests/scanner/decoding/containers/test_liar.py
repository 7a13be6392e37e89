"""Whatever a worker claims of members concerns the file it was given, and never makes it known good."""

from __future__ import annotations

from pathlib import Path

from hashsets.types import Role
from scanner.isolation.pool import WorkerPool
from scanner.types import Reason
from tests.scanner.decoding.containers.made import picture, zipped
from tests.scanner.fakes import Site, sha256_entry

LIAR = "tests.scanner.decoding.containers.liar:answer"


def test_claims_stay_with_their_file(tmp_path: Path) -> None:
    """A claimed digest adds a match to its own file; the content that really has it is looked at as ever."""
    with Site(tmp_path) as site, WorkerPool(1, answer=LIAR) as pool:
        site.fingerprinter = pool  # type: ignore[assignment]
        site.close()
        site.open()
        listed = sha256_entry(b"listed")
        site.list_entries("bad", listed)
        site.store.create("good", role=Role.KNOWN_GOOD)
        site.list_entries("good", listed, sha256_entry(picture(1)))
        claims = site.upload(b"CLAIM what is not there", b"a").outcome
        honest = site.upload(zipped(picture(1)), b"b").outcome
        true = site.upload(b"listed", b"c")

        assert [listed.key] == [hit.entry_key for hit in claims.matches]
        assert () == honest.matches
        assert true.new
        assert {("active", "bad"), ("held", "bad"), ("active", "good")} == {row[3:0:-2] for row in site.matches()}


def test_no_worker_may_tell_what_its_file_is(tmp_path: Path) -> None:
    """A digest without a member is no record: the worker ends, and the file could not be looked at."""
    with Site(tmp_path) as site, WorkerPool(1, answer=LIAR) as pool:
        site.fingerprinter = pool  # type: ignore[assignment]
        site.close()
        site.open()
        site.list_entries("bad", sha256_entry(b"listed"))
        found = site.upload(b"ITSELF", b"a").outcome

        assert (Reason.CRASH, ()) == (found.looked.reason, found.matches)
