"""JSON Lines on this machine: one file per batch in a folder, there whole or not at all.

Why a file per batch and not one that grows: a file named after the batch makes a repeated delivery a no-op without
reading what was delivered before, a rename makes it whole or absent after any crash, and no lock is held. All reports
are `cat FOLDER/*.jsonl`; whoever moves files away may see one again after a crash, and drops it by event id, as with
every sink.

Rules
- Folders 0700 when made here, files 0600, never overwritten.
- Nothing of a file tells a time finer than the day: its times are set to the day's start.
- Leftovers of interrupted deliveries start with a dot and are removed by the next delivery of the same batch.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from scanner.errors import DeliveryError, Trouble
from scanner.reports import Batch, encode_jsonl
from scanner.sinks.checks import refuse_foreign

_DAY_NS: Final = 86_400 * 10**9


class JsonLinesSink:
    """Writes each batch to `folder`/<batch id>.jsonl, one CloudEvents event a line."""

    def __init__(self, name: str, hash_sets: frozenset[str], folder: Path) -> None:
        self.name = name
        self.hash_sets = hash_sets
        self._folder = folder

    def deliver(self, batch: Batch) -> None:
        """Write the batch unless it is there already. Raises DeliveryError."""
        refuse_foreign(batch, self.hash_sets)
        try:
            _make_folder(self._folder)
            folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _write_once(folder_fd, batch)
            finally:
                os.close(folder_fd)
        except OSError as exc:
            raise DeliveryError(
                f"the folder of a jsonl sink could not be written ({os.strerror(exc.errno or 0)}); "
                "check that it exists, is writable and has room",
                why=Trouble.DISK,
            ) from exc


def _make_folder(folder: Path) -> None:
    """Make the folder and what is missing above it, each on disk in its parent before the next."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    parent_fd = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent_fd)
    finally:
        os.close(parent_fd)


def _write_once(folder_fd: int, batch: Batch) -> None:
    final, passing = f"{batch.batch_id}.jsonl", f".{batch.batch_id}.{secrets.token_hex(8)}"
    if _exists(final, folder_fd):
        os.fsync(folder_fd)  # the delivery that wrote it may have died before its rename was on disk
        return
    _remove_leftovers(folder_fd, batch.batch_id)
    try:
        _write_file(folder_fd, passing, batch)
        os.rename(passing, final, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(passing, dir_fd=folder_fd)
        raise
    os.fsync(folder_fd)


def _write_file(folder_fd: int, name: str, batch: Batch) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder_fd), "wb") as file:
        for line in encode_jsonl(batch):
            file.write(line)
        file.flush()
        day_ns = time.time_ns() // _DAY_NS * _DAY_NS
        os.utime(file.fileno(), ns=(day_ns, day_ns))
        os.fsync(file.fileno())


def _exists(name: str, folder_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove_leftovers(folder_fd: int, batch_id: str) -> None:
    with os.scandir(folder_fd) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(f".{batch_id}.")]
    for name in names:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder_fd)
