"""The benchmark of imports: both list all, and the full count keeps its bounds."""

from __future__ import annotations

import pytest

from bench import imports
from tests import proofs

MOST_MEGABYTES = 1000


def test_the_small_form_lists_all_of_it() -> None:
    """A difference raises; the figure names its goal. Speed is asked of the full count alone."""
    figure = imports.run(rows=3_000, rounds=1)

    assert (imports.GOAL, 3_000) == (figure.goal, figure.more["rows"])
    assert figure.ratio > 0


@pytest.mark.prove
def test_ten_million_are_imported_at_three_times_the_rate_in_a_gigabyte() -> None:
    """md5, sha1 and PDQ mixed, indexed to match with, against plain inserts."""
    figure = imports.run(rows=10_000_000, rounds=1)
    proofs.record("imports", "ten million", ratio=round(figure.ratio, 2), **figure.more)

    assert figure.ratio >= imports.GOAL
    assert figure.more["ours_megabytes"] <= MOST_MEGABYTES
