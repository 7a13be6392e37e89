"""What a list gives an entry that may leave in a report: its public ref, and its classifications.

A ref or code is written by whoever made the list, and lists are made by tools too: what stands there may be a file's
path, a person's name or address, or a hash of the very thing. Reports are promised to say nothing of that kind. So both
are held to a closed alphabet in which no path, file name, domain, IP or mail address can be written, and a ref that
repeats one of the entry's own values is none either.

An entry loses nothing by it: it is matched all the same, under a ref drawn at random as entries without one are. How
many did is counted, and said at the import.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace

from hashsets.limits import is_classification, is_ref
from hashsets.types import Classification, Entry, Signal

# Public ids as NCMEC, TCAP, ThreatExchange and VICS give them, UUIDs and URNs. No dot, slash or at-sign.
_REF = re.compile(r"[0-9A-Za-z][0-9A-Za-z_:-]{0,127}")
_IPV6_OR_MAC = re.compile(r"[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}")
# Codes are words of a scale: A1, far-right, Category 2.
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z _+-]{0,63}")


def speakable(entry: Entry) -> Entry:
    """The entry with nothing but what may leave; itself where that is all. Others refuse what is malformed."""
    ref, marks = entry.ref, entry.classifications
    if ref is not None and is_ref(ref) and (not _is_id(ref) or _tells_a_value(ref, entry.signals)):
        ref = None
    if marks and not all(map(_may_leave, marks)):
        marks = tuple(mark for mark in marks if _may_leave(mark) or not is_classification(mark))
    return (
        entry if ref is entry.ref and marks is entry.classifications else replace(entry, ref=ref, classifications=marks)
    )


def _is_id(ref: str) -> bool:
    return _REF.fullmatch(ref) is not None and not _IPV6_OR_MAC.fullmatch(ref)


def _may_leave(mark: Classification) -> bool:
    return bool(_WORD.fullmatch(mark.scheme) and _WORD.fullmatch(mark.code))


def _tells_a_value(ref: str, signals: tuple[Signal, ...]) -> bool:
    """Whether a ref repeats one of the entry's values: a report must not say a hash of what it is about."""
    folded = ref.lower()
    return any(
        (2 * len(signal.value) <= len(folded) and signal.value.hex() in folded)
        or base64.b64encode(signal.value).decode("ascii").rstrip("=") in ref
        for signal in signals
    )
