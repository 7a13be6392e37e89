"""What [s3] of the configuration may say together: one endpoint, its buckets, and a queue of events.

Knows no environment. The keys stand in a file, which is read when a client is made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanner.errors import ConfigError
from scanner.loopback import is_private

_MAX_KEY_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class S3Config:
    """Where objects lie. Without `buckets` nothing is fetched."""

    endpoint: str | None = None
    region: str = "us-east-1"
    keys_file: Path | None = None
    buckets: tuple[str, ...] = ()
    path_style: bool = True
    queue_url: str | None = None
    allow_plain_http: bool = False

    @property
    def configured(self) -> bool:
        """Whether there is anything to fetch from."""
        return bool(self.buckets)

    def keys(self) -> tuple[str, str]:
        """The access key's id and its secret: the first two lines of the file. Raises ConfigError."""
        assert self.keys_file is not None
        try:
            with self.keys_file.open("rb") as file:
                lines = file.read(_MAX_KEY_BYTES).decode("ascii").split()
        except (OSError, ValueError) as exc:
            why = os.strerror(exc.errno or 0) if isinstance(exc, OSError) else "it is not ASCII"
            raise ConfigError(f"s3.keys_file cannot be read ({why})") from None
        if len(lines) != 2:
            raise ConfigError("s3.keys_file holds two lines: the access key's id, and its secret")
        return lines[0], lines[1]


def checked_s3(**values: Any) -> S3Config:
    """The store that a table's values say. Raises ConfigError."""
    if values and not values.get("buckets"):
        raise ConfigError("s3.buckets is missing: objects are fetched from those it names, and no other")
    if values and "keys_file" not in values:
        raise ConfigError("s3.keys_file is missing: a file of two lines, the access key's id and its secret")
    made = S3Config(**values)
    for name in ("endpoint", "queue_url"):
        url = getattr(made, name)
        if url is not None and not made.allow_plain_http and not is_private(url):
            raise ConfigError(f"s3.{name} is neither https nor on this host; set allow_plain_http if the way is safe")
    return made
