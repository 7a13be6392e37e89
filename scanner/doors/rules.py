"""How one listener judges and how much it takes: the part of a [[serve.listener]] that every door has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from scanner.ledger.assets import NAMELESS

OnUndecidable = Literal["error", "found", "ok"]
OnMatch = Literal["block", "accept"]

# Lengths at which clients stop sending and then print OK: Nextcloud's 25 MiB with chunk headers, without, and with
# pieces of 8 KiB and 1 MiB; Debian's and clamdscan's StreamMaxLength; OpenCloud's 100MB (facts: upload doors, 2).
CUT_LENGTHS: Final = frozenset({26_214_400, 26_198_016, 25_165_824, 104_857_600, 100_000_000})
MAX_BYTES: Final = 4 * 2**30
MAX_REF_BYTES: Final = 512
# 4 GiB in an hour are 10 Mbit/s, a slow line's; who sends at the least rate would be at it for weeks.
RECEIVE_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class DoorRules:
    """What holds for every upload that comes in by one listener.

    `on_undecidable` says which of its three replies the protocol gives where nothing can be said, `on_match` whether
    the uploader waits for the comparison. `roots` are the folders that paths may lie in, resolved. `rate_per_s` bounds
    the uploads begun in a second. A body that still comes after `receive_s` is cut, and one of `cut_lengths` bytes is
    taken for cut. `whole_files`: nobody sends a file in pieces, so a large upload that begins with nothing known is
    none. `region` is the label under which uploads are counted.
    """

    name: str
    on_undecidable: OnUndecidable = "error"
    on_match: OnMatch = "block"
    deadline_s: float = 25.0
    max_bytes: int = MAX_BYTES
    receive_s: float = RECEIVE_S
    roots: tuple[bytes, ...] = ()
    rate_per_s: float | None = None
    cut_lengths: frozenset[int] = CUT_LENGTHS
    whole_files: bool = False
    region: str = ""


def checked_ref(ref: bytes | None) -> bytes | None:
    """A ref by which an upload may be found; one that begins as the ledger's own keys do is none."""
    assert ref is None or 0 < len(ref) <= MAX_REF_BYTES
    return None if ref is None or ref.startswith(NAMELESS) else ref
