"""The measurement of databases under a key, in small: the same answers, and every figure there."""

from __future__ import annotations

import pytest

from bench import encryption

pytest.importorskip("sqlcipher3", reason="sqlcipher3, which opens encrypted databases, is not installed here")


def test_every_work_is_measured_both_ways() -> None:
    """Each figure compares the same work with and without a key."""
    figures = encryption.run(contents=200, rounds=1)

    works = ["encryption record", "encryption walk", "encryption import", "sealed record", "sealed walk"]
    assert works == [each.name for each in figures]
    assert all(each.ratio > 0 and each.more["megabytes"] > 0 for each in figures)
