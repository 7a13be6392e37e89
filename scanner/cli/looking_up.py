"""`lookup`: values against the hash sets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

import click
import numpy as np

from hashsets import hashtypes
from hashsets.errors import ListError
from hashsets.hashtypes import HashType
from hashsets.indexes import Indexes
from hashsets.snapshots import Snapshot, current
from scanner.api import Scanner
from scanner.cli.output import emit_json, json_option, note, number_of
from scanner.errors import UsageError

BLOCK_BYTES = 2**18  # some 4,000 values of 64 digits: enough for the matcher to work in bulk
MAX_LINE_BYTES = 4096  # no value is nearly as long; what is longer is another file


@click.command()
@click.argument("type", metavar="TYPE")
@click.argument("value", nargs=-1, required=True)
@click.option("--radius", type=int, help="Greatest distance in bits; else the type's default. 0 for exact types.")
@json_option
@click.pass_obj
def lookup(scanner: Scanner, type: str, value: tuple[str, ...], radius: int | None, as_json: bool) -> None:  # noqa: A002
    """Look values up in the hash sets.

    TYPE is a hash type; VALUE is hex or base64, or `-` to read one a line from standard input, where `ps` does not show
    them; each is answered as it comes. Exit 1: a hit. 0: none. The sets' own radii and quality floors do not apply,
    nothing is recorded.
    """
    hash_type = hashtypes.get(type)
    if not hash_type.matchable:
        raise UsageError("Values of this type cannot be compared here.")
    radius_bits = _radius(hash_type, radius)
    known = scanner.store.hash_sets()
    indexes = Indexes(scanner.store)
    snapshot = current(scanner.store, indexes=indexes)
    known += scanner.store.hash_sets()  # one may have come or gone meanwhile
    names = {each.uid: each.name for each in known}
    for uid, why in indexes.in_memory.items():
        note(f"hashward: {names[uid]} was read into memory, which takes longer: {why}")
    hits = 0
    for chunk in _chunks(value, hash_type):
        for answer in _answers(snapshot, names, hash_type, radius_bits, chunk):
            hits += bool(answer["hits"])
            emit_json(answer) if as_json else _print(answer)
    if not any(each.in_force and each.entries for each in known):
        note("hashward: No hash set is in force, so nothing can be found: `hashward hashset import NAME FILE`.")
    if hits:
        raise SystemExit(1)


def _radius(hash_type: HashType, said: int | None) -> int:
    if hash_type.comparison == "exact":
        if said:
            raise UsageError("An exact type has no radius but 0.")
        return 0
    radius_bits = hash_type.default_radius_bits if said is None else said
    most = hash_type.bits - 1 if hash_type.comparison == "hamming" else hash_type.most_radius
    if not 0 <= radius_bits <= most:
        raise UsageError(f"A radius for this type is 0 to {most}.")
    return radius_bits


def _chunks(said: Iterable[str], hash_type: HashType) -> Iterator[list[bytes]]:
    """The values, in order; a chunk is what can be answered at once. Raises ListError after what came before it."""
    for word in said:
        if word != "-":
            yield [hashtypes.parse(hash_type.name, word)]
        elif sys.stdin is not None:  # else it was closed before we began
            yield from _read(hash_type)


def _read(hash_type: HashType) -> Iterator[list[bytes]]:
    """Values from standard input, as many at a time as have come: who waits for an answer gets it."""
    number = 0
    for lines in _lines(sys.stdin.fileno()):
        values = []
        for line in lines:
            number += 1
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip()
                if text:
                    values.append(hashtypes.parse(hash_type.name, text))
            except ListError as error:
                yield values
                raise ListError(f"line {number:,}: {error}") from None
        yield values


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    rest = b""
    while block := os.read(descriptor, BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            break
        yield lines
    yield [rest]


def _answers(
    snapshot: Snapshot, names: dict[bytes, str], hash_type: HashType, radius_bits: int, values: list[bytes]
) -> list[dict[str, object]]:
    if not values:
        return []
    rows = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
    found: list[list[dict[str, object]]] = [[] for _ in values]
    for hit in snapshot.near(hash_type.name, rows, radius_bits):
        found[hit.row].append({"hash_set": names[hit.set_uid], "ref": hit.ref, "distance": hit.distance})
    return [{"value": value.hex(), "hits": hits} for value, hits in zip(values, found, strict=True)]


def _print(answer: dict[str, object]) -> None:
    hits = answer["hits"]
    assert isinstance(hits, list)
    click.echo(f"{answer['value']}: {number_of(len(hits), 'hit') if hits else 'no hits'}")
    for hit in hits:
        click.echo(f"  {hit['hash_set']}  ref {hit['ref']}  distance {hit['distance']}")


COMMANDS = (lookup,)
