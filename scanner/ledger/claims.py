"""What members of containers met, as what their contents met.

A member asks under an owner of its own, so that the frames of one film in an archive are counted apart from those of
another. Its digests come from a worker, who may be in the hands of the file's maker: they are claims.

Rules
- The owner of a member is its content's number with the member's above it; of a content's own signals the number alone.
- A member vouches for nothing: what it meets in a known-good set is no hit. Whatever a worker claims so only ever adds
  matches to the file it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hashsets import hashtypes
from hashsets.types import EntryHit, HashSet, Role

# Content numbers stay below 2^43 for any ledger; members are numbered up to 2^20 - 1, as isolation.records has it.
MEMBER_SHIFT = 43
MOST_MEMBERS = 2**20 - 1
CONTENT_MASK = (1 << MEMBER_SHIFT) - 1


def of_contents(hits: Sequence[EntryHit], hash_sets: Mapping[bytes, HashSet]) -> list[EntryHit]:
    """One hit a (content, set, entry): the best evidence of the content and its members, by content, set and entry."""
    if all(hit.owner <= CONTENT_MASK for hit in hits):
        return list(hits)
    best: dict[tuple[int, bytes, bytes], EntryHit] = {}
    for hit in hits:
        if hit.owner > CONTENT_MASK:
            if hash_sets[hit.set_uid].role is Role.KNOWN_GOOD:
                continue
            hit = replace(hit, owner=hit.owner & CONTENT_MASK)
        key = (hit.owner, hit.set_uid, hit.entry_key)
        known = best.get(key)
        best[key] = hit if known is None else _better(known, hit)
    return [best[key] for key in sorted(best)]


def _better(one: EntryHit, other: EntryHit) -> EntryHit:
    """The closer of two hits of one entry, with the exact types of both."""
    nearer = min(one, other, key=lambda hit: (hit.distance, hashtypes.rank(hit.hash_type)))
    return replace(nearer, exact_types=one.exact_types | other.exact_types)
