"""`forget`: what the platform no longer holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NoReturn

import click

from scanner.api import MAX_REF_BYTES, Scanner
from scanner.cli.output import emit_json, json_option, number_of
from scanner.errors import UsageError

_BATCH = 500  # a transaction of some 10 ms


@click.command()
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.option("--null", "-z", is_flag=True, help="With `-`: refs end in a NUL byte, not in a newline.")
@json_option
@click.pass_obj
def forget(scanner: Scanner, refs: tuple[str, ...], null: bool, as_json: bool) -> None:
    """Forget uploads that the platform no longer holds, by its own refs; `-` reads them from standard input.

    Their matches close and nothing is sent. A ref that is not known is no error. Refs are never printed.
    """
    if "-" in refs and len(refs) > 1:
        raise UsageError("Name refs, or `-` for standard input, not both.")
    forgotten = unknown = 0
    for batch in _batches(_read(b"\0" if null else b"\n") if refs == ("-",) else map(os.fsencode, refs)):
        known = scanner.ledger.places.forget_uploads(batch)
        forgotten, unknown = forgotten + known, unknown + len(batch) - known
    if as_json:
        emit_json({"forgotten": forgotten, "unknown": unknown})
    else:
        click.echo(f"{number_of(forgotten, 'upload')} forgotten, {unknown:,} not known.")


def _read(end: bytes) -> Iterator[bytes]:
    """Refs from standard input, each without its end; no more than a ref too long is kept in memory."""
    rest = b""
    while piece := os.read(sys.stdin.fileno(), 65_536):
        *whole, rest = (rest + piece).split(end)
        yield from (ref for ref in whole if ref)
        if len(rest) > MAX_REF_BYTES:
            _refuse()
    if rest:
        yield rest


def _batches(refs: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for ref in refs:
        if not 0 < len(ref) <= MAX_REF_BYTES:
            _refuse()
        batch.append(ref)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _refuse() -> NoReturn:
    raise UsageError(f"A ref has 1 to {MAX_REF_BYTES} bytes. What came before it is forgotten.")


COMMANDS = (forget,)
