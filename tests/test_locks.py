"""The locks give every supported Python the decoders that were tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).parent.parent / ".locks"
DECODERS = ("av", "opencv-python-headless", "pillow", "pillow-heif", "simplejpeg")


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_decoder_is_locked_to_one_version_for_every_python(lock: str, decoder: str) -> None:
    """A newer Python gets no other decoder: one that changed its ways would make every video undecodable there."""
    found = re.findall(rf"^{decoder}==(\S+)( ;.*)? \\$", (LOCKS / lock).read_text(), re.MULTILINE)

    assert [marker for _, marker in found] == [""]
