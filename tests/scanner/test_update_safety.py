"""A bad update, whoever it came from: refused or held, the old version serves, nothing leaves, and `status` says so.

Signed bundles have their attacks in tests/hashsets/sources/test_bundle.py; these are of lists that nobody signed.
"""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import Hashward
from tests.scanner.fakes import Site, fake_media

CONTENTS = [fake_media(comment=str(number)) for number in range(30)]
DIGESTS = [hashlib.sha256(content).hexdigest() for content in CONTENTS]
OTHERS = [hashlib.sha256(b"other %d" % number).hexdigest() for number in range(400)]


class Mirror:
    """A list at an address; `endless` never stops sending."""

    def __init__(self) -> None:
        self.body = lines([DIGESTS[0], *OTHERS])
        self.endless = False
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                if not mirror.endless:
                    self.send_header("Content-Length", str(len(mirror.body)))
                self.end_headers()
                self.wfile.write(mirror.body)
                while mirror.endless:
                    try:
                        self.wfile.write(lines(OTHERS))
                    except OSError:
                        return

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True


def lines(digests: list[str]) -> bytes:
    """A typed list."""
    return "".join(f"sha256 {digest}\n" for digest in digests).encode()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """A mirror of a partner's list."""
    made = Mirror()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.endless = False
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def hashward(tmp_path: Path, mirror: Mirror) -> Hashward:
    """A home with thirty contents and an approved set that follows the mirror; one report was sealed."""
    made = Hashward(tmp_path / "home")
    with Site(made.home) as site:
        for number, content in enumerate(CONTENTS):
            site.upload(content, b"ref %d" % number)
    url = f"http://127.0.0.1:{mirror.server.server_port}/list"
    (made.home / "config.toml").write_text(f'[[source]]\nhash_set = "set"\nkind = "http"\nurl = "{url}"\nmax_mb = 1\n')
    assert 0 == made("hashset", "refresh", "set").code
    assert 0 == made("hashset", "approve", "set").code
    assert 1 == made.json("reports", "seal")["sealed"]
    return made


def garbage(mirror: Mirror) -> None:
    """Another file than a list."""
    mirror.body = b"\x00\x01 no list " * 100


def wrong_type(mirror: Mirror) -> None:
    """Values that are of no type."""
    mirror.body = lines([digest[:-3] for digest in OTHERS])


def nothing(mirror: Mirror) -> None:
    """A list without an entry."""
    mirror.body = b""


def mass_removal(mirror: Mirror) -> None:
    """Half of the list is gone, as with a much older copy of it."""
    mirror.body = lines(OTHERS[:200])


def endless(mirror: Mirror) -> None:
    """It never ends."""
    mirror.endless = True


@pytest.mark.parametrize(
    "attack", [garbage, wrong_type, nothing, mass_removal, endless], ids=lambda each: each.__name__
)
def test_a_bad_update_is_refused_and_the_old_version_serves(attack: Any, hashward: Hashward, mirror: Mirror) -> None:
    """With an exit code, a word in `status`, and no report; a good update after it is taken."""
    attack(mirror)
    refreshed = hashward("hashset", "refresh", "set")
    rescanned = hashward("rescan").code
    (source,) = hashward.json("status")["sources"]
    (standing,) = hashward.json("status")["hash_sets"]
    sealed = hashward.json("reports", "seal")["sealed"]
    mirror.endless, mirror.body = False, lines([DIGESTS[0], *OTHERS, hashlib.sha256(b"one more").hexdigest()])
    mended = hashward("hashset", "refresh", "set").code

    assert refreshed.code in (4, 5)
    assert not [digest for digest in (*DIGESTS, *OTHERS) if digest in refreshed.err]
    assert (0, 0) == (rescanned, sealed)
    assert source["state"] not in ("ok", "waiting")
    assert (1, 401, None) == tuple(standing[key] for key in ("version", "entries", "held"))
    assert 0 == mended
    assert 402 == hashward.json("hashset", "show", "set")["entries"]


def test_a_poisoned_list_that_is_well_formed_is_held(hashward: Hashward, mirror: Mirror) -> None:
    """It matches a third of the contents: nothing of it leaves, and the source's next good list ends the hold."""
    mirror.body = lines([*DIGESTS[:11], *OTHERS])
    refreshed = hashward("hashset", "refresh", "set").code
    rescanned = hashward("rescan").code
    sealed = hashward.json("reports", "seal")["sealed"]
    (held,) = hashward.json("status")["hash_sets"]
    mirror.body = lines([*DIGESTS[:2], *OTHERS])
    hashward("hashset", "refresh", "set")

    assert (0, 11, 0) == (refreshed, rescanned, sealed)
    assert (2, ["share"], 10) == (held["version"], held["held"]["reasons"], held["held"]["matches"])
    assert 0 == hashward("rescan").code
    assert 1 == hashward.json("reports", "seal")["sealed"]


def test_an_older_list_within_bounds_is_a_withdrawal_and_can_be_taken_back(hashward: Hashward, mirror: Mirror) -> None:
    """Nothing in an unsigned list tells an old copy from a withdrawal: it is told as one, and a rollback undoes it."""
    mirror.body = lines(OTHERS)
    hashward("hashset", "refresh", "set")
    hashward("rescan")
    withdrawn = hashward.json("reports", "seal")["sealed"]
    gone = hashward.json("hashset", "diff", "set", "--from", "1")["withdrawn"]
    hashward("hashset", "rollback", "set", "--to", "1")

    assert (1, 1) == (withdrawn, gone)
    assert 1 == hashward.json("reports", "seal")["sealed"]
    assert 401 == hashward.json("hashset", "show", "set")["entries"]
