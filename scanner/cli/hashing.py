"""`hash`: the signals of files. Touches no database."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

import click

from hashsets.types import Shape, Signal
from scanner.api import Scanner
from scanner.cli.groups import allow_unsandboxed
from scanner.cli.output import counts, emit_json, json_option, note, printable
from scanner.cli.progress import bars
from scanner.errors import UsageError
from scanner.looking import limits_of, options_of
from scanner.reports import system_random
from scanner.signals import FileSignals, signals_of
from scanner.types import Extent, MediaKind
from scanner.walking import WalkRules

DENSE_S = 6 * 3600.0  # CPU time for every frame of one video: some forty hours of 1080p

_STATUS = {Extent.WHOLE: "ok", Extent.PARTIAL: "partial", Extent.DIGESTS_ONLY: "unscannable"}


@click.command(name="hash")
@click.argument("path", nargs=-1, required=True)
@click.option("--exact", is_flag=True, help="Use the full-resolution reference rule: 0 bits from it.")
@click.option("--dense", is_flag=True, help="Take every frame of a video.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["vpdq", "csv", "json"]),
    help="Print a list that `hashset import` reads, every frame of videos in it: vpdq (one video), csv or json.",
)
@click.option(
    "--shape",
    type=click.Choice([each.value for each in Shape]),
    default=Shape.ITEM.value,
    show_default=True,
    help="In a list: whether any frame of a video is a match (item), or it takes the set's share of them (frames).",
)
@click.option(
    "--apart",
    type=click.IntRange(0, 30),
    metavar="BITS",
    help="In a list: leave out a frame within BITS of the one before; else 8, and none of a vpdq list.",
)
@allow_unsandboxed
@json_option
@click.pass_obj
def hash_(
    scanner: Scanner,
    path: tuple[str, ...],
    exact: bool,
    dense: bool,
    form: str | None,
    shape: str,
    apart: int | None,
    as_json: bool,
) -> None:
    """Print the signals of files; touches no database.

    PATH is a file or a folder, which is walked. With --json one object a line. What a file cannot show is said in its
    own line (`status`, `reason`), and a folder that cannot be entered gets one too; the exit code stays 0.

    With --format a list instead, without paths: one entry a file, under a random ref.
    """
    if form is not None and as_json:
        raise UsageError("--format json prints a list, --json what programs read: one of them.")
    with closing(_found(scanner, path, exact=exact, dense=dense or form is not None)) as files:
        if form is not None:
            _print_list(files, form, Shape(shape), apart)
            return
        for found in files:
            if as_json:
                emit_json(_object(found))
            else:
                _print(found)


def _print_list(files: Iterator[FileSignals], form: str, shape: Shape, apart: int | None) -> None:
    """Print a list; then say on standard error what is not in it, or not whole."""
    from scanner.lists import WRITERS, ListOptions

    kind, rng = WRITERS[form], system_random()
    apart_bits = kind.apart_bits if apart is None else apart
    writer = kind(ListOptions(lambda: rng.randbytes(16).hex(), shape, apart_bits))
    short: Counter[str] = Counter()
    for found in files:
        for line in writer.lines(found):
            click.echo(line)
        looked = None if found.fingerprint is None else found.fingerprint.looked
        reason = found.trouble if looked is None else looked.reason
        if reason is not None:
            short[reason.value] += 1
    if not writer.entries:
        note("Nothing is listed: no frame or picture of these files can stand in such a list.")
    if short:
        note(f"Not listed, or not whole: {counts(short)}.")


def _found(scanner: Scanner, path: tuple[str, ...], *, exact: bool, dense: bool) -> Generator[FileSignals]:
    """The signals of every file, with a progress bar. To be closed: the worker processes end with it."""
    from scanner.isolation.pool import WorkerPool  # brings the decoders, which most commands never need

    config = scanner.config
    lanes = config.scan.worker_count()
    options = options_of(config.fingerprint, exact=exact, dense=dense)
    rules = WalkRules(config.scan.include, config.scan.exclude, config.scan.one_file_system)
    limits, allowed = limits_of(config.limits), scanner.allow_unsandboxed
    if dense:  # a list that ends where a scan's budget does would be none
        limits = replace(limits, video_s=DENSE_S, video_most_s=DENSE_S)
    with (
        WorkerPool(lanes, limits, options, allow_unsandboxed=allowed) as pool,
        bars(beside_output=True) as display,
    ):
        advance = display.add("files")
        for found in signals_of([os.fsencode(each) for each in path], pool, lanes=lanes, rules=rules):
            yield found
            advance(1)


def _object(found: FileSignals) -> dict[str, object]:
    digests, fingerprint = found.digests, found.fingerprint
    signals = () if fingerprint is None else fingerprint.signals
    reason = found.trouble if fingerprint is None else fingerprint.looked.reason
    return {
        "path": os.fsdecode(found.path),
        "media": None if fingerprint is None else fingerprint.media.value,
        "status": "unscannable" if fingerprint is None else _STATUS[fingerprint.looked.extent],
        "reason": None if reason is None else reason.value,
        "md5": None if digests is None else digests.md5.hex(),
        "sha1": None if digests is None else digests.sha1.hex(),
        "sha256": None if digests is None else digests.sha256.hex(),
        "pdq": _pdq(found),
        "frames": [
            {"frame": s.frame, "ms": s.frame_ms, "pdq": s.value.hex(), "quality": s.quality}
            for s in signals
            if s.frame is not None and _is_plain_pdq(s)
        ],
        "signals": [
            {
                "type": s.hash_type,
                "value": s.value.hex(),
                "quality": s.quality,
                "orientation": s.orientation,
                "part": s.part,
                "frame": s.frame,
                "ms": s.frame_ms,
            }
            for s in signals
        ],
    }


def _is_plain_pdq(signal: Signal) -> bool:
    return signal.hash_type == "pdq" and signal.orientation == "stored" and signal.part is None


def _pdq(found: FileSignals) -> dict[str, object] | None:
    """The PDQ of a still's stored pixels, or of an animation's first frame; a video has no single one."""
    if found.fingerprint is None or found.fingerprint.media is MediaKind.VIDEO:
        return None
    first = next((s for s in found.fingerprint.signals if _is_plain_pdq(s)), None)
    return None if first is None else {"hex": first.value.hex(), "quality": first.quality}


def _print(found: FileSignals) -> None:
    shown = _object(found)
    reason = f" ({shown['reason']})" if shown["reason"] else ""
    click.echo(f"{printable(found.path)}: {shown['media'] or 'unread'}, {shown['status']}{reason}")
    for name in ("md5", "sha1", "sha256"):
        if shown[name]:
            click.echo(f"  {name:<7}{shown[name]}")
    signals = () if found.fingerprint is None else found.fingerprint.signals
    for signal in signals[:8]:
        place = "" if signal.part is None else f"  part {signal.part}"
        place += "" if signal.frame is None else f"  frame {signal.frame}"
        turned = "" if signal.orientation == "stored" else f"  orientation {signal.orientation}"
        quality = "" if signal.quality is None else f"  quality {signal.quality}"
        click.echo(f"  {signal.hash_type:<7}{signal.value.hex()}{quality}{turned}{place}")
    if len(signals) > 8:
        click.echo(f"  and {len(signals) - 8:,} more: --json shows all")


COMMANDS = (hash_,)
