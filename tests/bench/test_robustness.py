"""The robustness bench: edits change what they say, and its figures are those of the pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench import robustness
from bench.edits import EDITS, Edit, as_it_is
from samples.scenes import scene


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.family} {edit.name}")
def test_every_edit_gives_another_file_that_can_be_read(edit: Edit) -> None:
    """In the format it says, and with other pixels unless only the encoding differs."""
    picture = scene(7, (160, 120))
    made = Image.open(io.BytesIO(edit.file(picture)))
    before, after = (np.asarray(one.convert("RGB"), np.int16) for one in (picture, made))

    assert made.format == edit.form
    if edit.change is not as_it_is:
        assert before.shape != after.shape or np.abs(before - after).mean() > 0.2


def test_recall_counts_what_is_found_within_the_radius() -> None:
    """A re-encoded copy is found by all, a mirrored one by those who ask for it alone."""
    chosen = [edit for edit in EDITS if edit.name in ("95", "mirrored")]
    rows = robustness.survivals(iter([scene(3, (320, 240))]), chosen)
    found = {(row.name, row.method): (row.found, row.pictures) for row in rows}

    assert {(1, 1)} == {found["95", method.name] for method in robustness.METHODS}
    assert ((0, 1), (1, 1)) == (found["mirrored", "PDQ"], found["mirrored", "PDQ, all eight turnings"])
    assert "| turn mirrored | 0 % (" in "\n".join(robustness.table(rows))
    assert robustness.chart(rows).count("<rect") == 1 + len(rows)


def test_a_tail_is_extrapolated_as_the_bell_curve_it_is_of() -> None:
    """On a binomial population of known share, far outside what was counted, within an order of magnitude or two."""
    bits = 256
    ways = np.zeros(bits + 1)
    ways[0] = 1.0
    for _ in range(bits):
        ways[1:] = (ways[1:] + ways[:-1]) / 2
        ways[0] /= 2
    true = np.log10(ways[:61].sum())
    counts = np.rint(ways * 4_000_000).astype(np.int64)

    assert abs(robustness.log10_share(counts, 60) - true) < 2
    assert robustness.log10_share(counts, 128) == pytest.approx(np.log10(counts[:129].sum() / counts.sum()))


def test_unrelated_pictures_are_counted_without_themselves() -> None:
    """n pictures make n (n - 1) ordered pairs."""
    lies = {each.method: each for each in robustness.false_matches(12)}

    assert 12 * 11 == lies["PDQ"].pairs
    assert 0 == lies["PDQ"].within
    assert lies["PDQ, all eight turnings"].least_bits <= lies["PDQ"].least_bits
