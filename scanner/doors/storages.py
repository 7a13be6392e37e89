"""Where a platform says its bytes lie, opened with care: what it says may come from whoever reaches the door.

Rules
- A file must lie below one of the listener's roots, and is opened from the root down without following a link.
- An object comes from the configured endpoint and one of the configured buckets, never from an address that was sent.
"""

from __future__ import annotations

import os
from functools import partial

from scanner.doors.answers import Answer, Undecided, Verdict, undecidable
from scanner.doors.intake import Intake
from scanner.doors.outside import Unanswered, folder_of, let_go
from scanner.doors.rules import DoorRules
from scanner.opening import Opened, RootUnavailable, Unopenable, open_file, open_root
from scanner.types import Reason


def open_below(roots: tuple[bytes, ...], path: bytes) -> Opened | Reason:
    """The regular file at a path that resolves to one below the roots."""
    if not path.startswith(b"/") or b"\x00" in path:
        return Reason.PERMISSION
    folder, name = os.path.split(os.path.normpath(path))
    real = os.path.join(os.path.realpath(folder), name)
    for root in roots:
        if real.startswith(root.rstrip(b"/") + b"/"):
            return _open(root, real[len(root.rstrip(b"/")) + 1 :])
    return Reason.PERMISSION


def _open(root: bytes, key: bytes) -> Opened | Reason:
    opened_root = open_root(root)
    if isinstance(opened_root, RootUnavailable):
        return Reason.IO
    with opened_root:
        opened = open_file(opened_root.fd, key)
    return opened.trouble.reason if isinstance(opened, Unopenable) else opened


async def judge_file(intake: Intake, rules: DoorRules, path: bytes, ref: bytes | None, size: int | None) -> Answer:
    """The answer to a file on a shared disk that is to have that size."""
    try:
        opened = await intake.outside.call(
            partial(open_below, rules.roots, path), rules.deadline_s, _let_go_of, folder_of(rules.roots, path)
        )
    except Unanswered:
        return intake.unjudged(rules, Reason.TIMEOUT)
    if isinstance(opened, Reason):
        return undecidable(opened)
    try:
        answer = await intake.scan_fd(rules, opened.fd, ref)
        short = size is not None and opened.stat.size_bytes < size
    finally:
        let_go(opened.fd)
    return undecidable(Undecided.CUT) if short and answer.verdict is not Verdict.MATCHED else answer


def _let_go_of(opened: Opened | Reason) -> None:
    if isinstance(opened, Opened):
        opened.close()
