"""How long the names a list gives may be: what is listed must also fit a match report.

A report carries ref and classifications verbatim and its schema bounds them, so a longer one is refused at the door.
"""

from __future__ import annotations

from hashsets.types import Classification

MAX_SET_NAME_LETTERS = 64
MAX_REF_LETTERS = 256
MAX_SCHEME_LETTERS = 64
MAX_CODE_LETTERS = 128
MAX_CLASSIFICATIONS = 64


def is_ref(text: str) -> bool:
    """Whether a report can carry this ref."""
    return _is_name(text, MAX_REF_LETTERS)


def is_classification(mark: Classification) -> bool:
    """Whether a report can carry this classification."""
    return _is_name(mark.scheme, MAX_SCHEME_LETTERS) and _is_name(mark.code, MAX_CODE_LETTERS)


def is_code(text: str) -> bool:
    """Whether a rule can name classifications so: a code, or a scheme, a colon and a code."""
    return _is_name(text, MAX_SCHEME_LETTERS + 1 + MAX_CODE_LETTERS)


def is_set_name(text: str) -> bool:
    """Whether a hash set may be called that: it is typed, printed on one line and told apart by eye."""
    return _is_name(text, MAX_SET_NAME_LETTERS) and text == text.strip()


def _is_name(text: str, most: int) -> bool:
    return 1 <= len(text) <= most and text.isprintable()
