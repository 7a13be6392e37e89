"""Include and exclude patterns on keys: glob patterns in bytes, matched without exponential backtracking.

How a pattern is read
- Patterns match keys: bytes relative to the root, joined by "/", never the root's own path.
- `*` stands for any bytes but "/", `?` for one byte but "/", `[a-z]` and `[!a-z]` for one byte of a class.
- `**` alone between slashes stands for any number of folders, none included. Inside a name it means `*`.
- A trailing "/" matches folders only.
- A pattern with no "/" but a trailing one matches a name at any depth (`*.tmp`, `.git/`); any other is anchored at the
  root (`cache/*.jpg`, `/top.jpg`).
- A pattern that matches a folder speaks for everything below it.
- Case matters. There is no escape but a class: `[*]`.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_Name = Callable[[bytes], object]

MAX_PATTERN_BYTES = 4096  # PATH_MAX: a longer pattern could only match what no program can name


@dataclass(frozen=True, slots=True)
class Pattern:
    """One compiled pattern. `names` holds a matcher per component, None for `**`."""

    names: tuple[_Name | None, ...]
    folders_only: bool
    any_depth: bool

    def matches(self, components: Sequence[bytes], *, is_folder: bool) -> bool:
        """Whether the key of these components, a folder's or not, is meant by the pattern itself."""
        if self.folders_only and not is_folder:
            return False
        return _matches(self.names, components[-1:] if self.any_depth else components)


def compile_pattern(pattern: bytes) -> Pattern:
    """Read one pattern. Raises ValueError with what is wrong with it, without repeating it."""
    if not pattern.strip(b"/") or b"\x00" in pattern or len(pattern) > MAX_PATTERN_BYTES:
        raise ValueError("a pattern is empty, too long or holds a NUL byte")
    folders_only = pattern.endswith(b"/")
    body = pattern.rstrip(b"/")
    any_depth = b"/" not in body
    components = body.lstrip(b"/").split(b"/")
    if any(component in (b"", b".", b"..") for component in components):
        raise ValueError("a pattern has an empty, '.' or '..' part: write it relative to the root")
    return Pattern(tuple(_compile_name(component) for component in components), folders_only, any_depth)


def literal(path: bytes) -> bytes:
    """The pattern that matches this very path and no other: what means something in a pattern becomes a class."""
    return re.sub(rb"[*?\[]", rb"[\g<0>]", path)


def compile_patterns(patterns: Iterable[bytes]) -> tuple[Pattern, ...]:
    """Read several patterns, in order."""
    return tuple(compile_pattern(pattern) for pattern in patterns)


def _compile_name(component: bytes) -> _Name | None:
    if component == b"**":
        return None
    # fnmatch makes each star an atomic group since 3.9, so that a hostile name costs no backtracking.
    regex = fnmatch.translate(component.decode("latin-1")).encode("latin-1")
    return re.compile(regex).match


def _matches(names: Sequence[_Name | None], components: Sequence[bytes]) -> bool:
    """Component by component; after a mismatch the last `**` takes one folder more (greedy, never exponential)."""
    at = position = 0
    retry_at, retry_position = -1, 0
    while position < len(components):
        name = names[at] if at < len(names) else _matches_nothing
        if name is None:
            retry_at, retry_position = at, position
            at += 1
        elif name(components[position]):
            at += 1
            position += 1
        elif retry_at >= 0:
            retry_position += 1
            at, position = retry_at + 1, retry_position
        else:
            return False
    return all(name is None for name in names[at:])


def _matches_nothing(_name: bytes) -> bool:
    return False
