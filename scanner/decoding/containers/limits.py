"""What a container may cost. None of these reads as clear: what lies beyond them ends in a reason.

Figures are for the sizes people store: archives of a hundred thousand files, films of some gigabytes, scanned books.
"""

from __future__ import annotations

from typing import NamedTuple

MIB = 1024 * 1024


class ContainerLimits(NamedTuple):
    """Bounds of one container; depth is always one.

    `members`: how many are listed. `member_bytes` and `total_bytes`: unpacked. `ratio`: unpacked over packed bytes of
    one member, beyond the first `free_bytes`; deflate cannot exceed 1032 to one, bombs of other methods do by far.
    """

    members: int = 200_000
    member_bytes: int = 32 * 1024 * MIB
    total_bytes: int = 64 * 1024 * MIB
    ratio: int = 1100
    free_bytes: int = 16 * MIB


DEFAULT = ContainerLimits()

# What stays in memory of one packed member: all of it up to here, else the part read last.
KEPT_BYTES = 24 * MIB
# Room to grow before the oldest part is let go, so that it is moved seldom.
SLACK_BYTES = 8 * MIB
# Unpacked bytes between two places from which unpacking can be taken up again, and the most such places (50 kB each).
PLACE_BYTES = 8 * MIB
MOST_PLACES = 256
# The largest dictionary or window a decompressor may ask for (xz -9 has 64 MiB; zstd --long=27 has 128).
WINDOW_BYTES = 128 * MIB

# CPU time for a container beyond that of a video: 50 ms a megabyte, by telling it as this many milliseconds of film.
MS_PER_BYTE = 1e-3
