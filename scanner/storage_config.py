"""What [storage] of the configuration says: the key under which both databases are kept, and where it may lie.

Reads no file and no environment by itself: `scanner.config` hands it what does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hashsets.ciphers import Key
from hashsets.errors import UsageError
from scanner.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Where the key of both databases is kept: in a file, or as a systemd credential. Without either there is none."""

    key_file: Path | None = None
    key_credential: str | None = None


def read_key(
    storage: StorageConfig, home: Path, read: Callable[[Path], bytes], credential: Callable[[str], bytes]
) -> Key | None:
    """The key, or None where none is configured. Raises ConfigError, which repeats nothing of key or path."""
    if storage.key_file is None and storage.key_credential is None:
        return None
    if storage.key_file is not None and storage.key_credential is not None:
        raise ConfigError("storage.key_file and storage.key_credential are two places for one key: leave one out")
    try:
        if storage.key_file is None:
            content = credential(storage.key_credential or "")
        else:
            _refuse_open_door(storage.key_file, home)
            content = read(storage.key_file)
        return Key.read(content.decode("ascii").strip())
    except (OSError, ValueError):
        raise ConfigError("the key of the databases cannot be read; check that it is there, and its owner") from None
    except UsageError as error:
        raise ConfigError(str(error)) from None


def _refuse_open_door(key_file: Path, home: Path) -> None:
    """A key that whoever takes the home takes too, or that others can read, locks nothing."""
    if key_file.resolve().is_relative_to(home.resolve()):
        raise ConfigError("storage.key_file lies in the home: a key beside what it locks locks nothing")
    if key_file.stat().st_mode & 0o077:
        raise ConfigError("storage.key_file is open to others than its owner: chmod 600")
