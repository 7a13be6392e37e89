"""What a setting may be: each kind of value with what documentation calls it and how it is read.

Knows no setting, file or environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hashsets import hashtypes
from scanner.patterns import compile_pattern
from scanner.serve_config import Address, parse_address
from scanner.types import Verb


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: what it is called in documentation, and how it is read. `read` raises ValueError."""

    text: str
    read: Callable[[Any, Path], Any]


def whole(low: int, high: int) -> Kind:
    """A whole number within bounds."""

    def read(value: Any, _folder: Path) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"whole number, {low} to {high}", read)


def number(low: float, high: float) -> Kind:
    """A number within bounds, whole or not."""

    def read(value: Any, _folder: Path) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError
        return float(value)

    return Kind(f"number, {low:g} to {high:g}", read)


def choice(values: Sequence[str], made: Callable[[str], Any] = str) -> Kind:
    """One of some words, made into what stands for it."""

    def read(value: Any, _folder: Path) -> Any:
        if not isinstance(value, str) or value not in values:
            raise ValueError
        return made(value)

    return Kind("one of " + ", ".join(f'"{value}"' for value in values), read)


def text_of(what: str, accepts: Callable[[str], object]) -> Kind:
    """A text that is accepted."""

    def read(value: Any, _folder: Path) -> str:
        if not isinstance(value, str) or not accepts(value):
            raise ValueError
        return value

    return Kind(what, read)


def texts_of(what: str, accepts: Callable[[str], object], made: Callable[[list[Any]], Any]) -> Kind:
    """A list of texts, each accepted, made into one value."""

    def read(value: Any, _folder: Path) -> Any:
        if not isinstance(value, list) or not all(isinstance(item, str) and accepts(item) for item in value):
            raise ValueError
        return made(value)

    return Kind(what, read)


def _flag(value: Any, _folder: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise ValueError
    return folder / value


def _is_pattern(text: str) -> bool:
    compile_pattern(os.fsencode(text))  # raises ValueError
    return True


def is_word(text: str) -> bool:
    """Whether a text can be a word of a command line."""
    return "\x00" not in text


def command(words: list[str]) -> tuple[str, ...]:
    """A command line whose program is named by its whole path. Raises ValueError."""
    if words and not os.path.isabs(words[0]):
        raise ValueError
    return tuple(words)


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.port != 0  # raises ValueError when it is no port
        and parts.username is None
        and parts.password is None
        and not parts.query
        and not parts.fragment
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def address(value: Any, _folder: Path) -> Address:
    """Where a listener listens. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError
    return parse_address(value)


def mode(value: Any, _folder: Path) -> int:
    """Permissions, written as octal digits. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError
    return int(value, 8)


def lengths(value: Any, _folder: Path) -> tuple[int, ...]:
    """Lengths in bytes. Raises ValueError."""
    if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
        raise ValueError
    return tuple(value)


def paths(value: Any, folder: Path) -> tuple[Path, ...]:
    """Paths, each relative to the folder of the configuration. Raises ValueError."""
    if not isinstance(value, list):
        raise ValueError
    return tuple(_path(item, folder) for item in value)


_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_EXTRA_TYPES: Final = tuple(
    name for name in hashtypes.names() if hashtypes.get(name).comparison == "hamming" and name != "pdq"
)
_PLUGIN_TYPES: Final = tuple(hashtypes.PLUGINS.plugins)
NAME = text_of("name of a-z, 0-9, - and _", _NAME.fullmatch)
FLAG = Kind("true or false", _flag)
PATH = Kind("path", _path)
PATTERNS = texts_of("list of patterns", _is_pattern, lambda items: tuple(os.fsencode(item) for item in items))
TYPES = texts_of(
    "list of " + ", ".join(f'"{name}"' for name in _EXTRA_TYPES) + " or of a plug-in's",
    (*_EXTRA_TYPES, *_PLUGIN_TYPES).__contains__,
    lambda items: tuple(items),
)
VERB = choice(("restrict", "review", "none"), lambda text: None if text == "none" else Verb(text))
SETS = texts_of("list of names", lambda text: 1 <= len(text) <= 64 and text.isprintable(), frozenset)
SHORT = text_of("text", lambda text: 1 <= len(text) <= 256 and text.isprintable())
SHORTS = texts_of("list of texts", lambda text: 1 <= len(text) <= 256 and text.isprintable(), tuple)
URL = text_of("URL without credentials or query", _is_url)
