"""`lookup`: values against the hash sets."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice

import click
import numpy as np

from hashsets import hashtypes
from hashsets.hashtypes import HashType
from hashsets.snapshots import Snapshot, current
from scanner.api import Scanner
from scanner.cli.output import emit_json, json_option
from scanner.errors import UsageError

VALUES_AT_ONCE = 4096  # a batch large enough for the matcher, small enough to answer a slow pipe soon


@click.command()
@click.argument("type", metavar="TYPE")
@click.argument("value", nargs=-1, required=True)
@click.option("--radius", type=int, help="Greatest distance in bits; else the type's default. 0 for exact types.")
@json_option
@click.pass_obj
def lookup(scanner: Scanner, type: str, value: tuple[str, ...], radius: int | None, as_json: bool) -> None:  # noqa: A002
    """Look values up in the hash sets.

    TYPE is a hash type; VALUE is hex or base64, or `-` to read one a line from standard input, where `ps` does not show
    them. Exit 1: a hit. 0: none. The sets' own radii and quality floors do not apply, nothing is recorded.
    """
    hash_type = hashtypes.get(type)
    if not hash_type.matchable:
        raise UsageError("Values of this type cannot be compared here.")
    radius_bits = _radius(hash_type, radius)
    snapshot = current(scanner.store)
    names = {each.uid: each.name for each in scanner.store.hash_sets()}
    hits = 0
    values = _values(value)
    while chunk := list(islice(values, VALUES_AT_ONCE)):
        for answer in _answers(snapshot, names, hash_type, radius_bits, chunk):
            hits += bool(answer["hits"])
            emit_json(answer) if as_json else _print(answer)
    if hits:
        raise SystemExit(1)


def _radius(hash_type: HashType, said: int | None) -> int:
    if hash_type.comparison == "exact":
        if said:
            raise UsageError("An exact type has no radius but 0.")
        return 0
    radius_bits = hash_type.default_radius_bits if said is None else said
    if not 0 <= radius_bits < hash_type.bits:
        raise UsageError(f"A radius for this type is 0 to {hash_type.bits - 1} bits.")
    return radius_bits


def _values(said: Iterable[str]) -> Iterator[str]:
    for value in said:
        if value != "-":
            yield value
            continue
        for line in sys.stdin:
            if line.strip():
                yield line.strip()


def _answers(
    snapshot: Snapshot, names: dict[bytes, str], hash_type: HashType, radius_bits: int, texts: list[str]
) -> list[dict[str, object]]:
    values = [hashtypes.parse(hash_type.name, text) for text in texts]
    rows = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
    found: list[list[dict[str, object]]] = [[] for _ in values]
    for hit in snapshot.near(hash_type.name, rows, radius_bits):
        found[hit.row].append({"hash_set": names[hit.set_uid], "ref": hit.ref, "distance": hit.distance})
    return [{"value": value.hex(), "hits": hits} for value, hits in zip(values, found, strict=True)]


def _print(answer: dict[str, object]) -> None:
    hits = answer["hits"]
    assert isinstance(hits, list)
    click.echo(f"{answer['value']}: {len(hits) or 'no'} hit{'' if len(hits) == 1 else 's'}")
    for hit in hits:
        click.echo(f"  {hit['hash_set']}  ref {hit['ref']}  distance {hit['distance']}")


COMMANDS = (lookup,)
