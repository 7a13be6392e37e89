"""`hash`: the signals of files. Touches no database."""

from __future__ import annotations

import os

import click

from hashsets.types import Signal
from scanner.api import Scanner, limits_of, options_of
from scanner.cli.groups import allow_unsandboxed
from scanner.cli.output import emit_json, json_option, printable
from scanner.cli.progress import bars
from scanner.signals import FileSignals, signals_of
from scanner.types import Extent, MediaKind
from scanner.walking import WalkRules

_STATUS = {Extent.WHOLE: "ok", Extent.PARTIAL: "partial", Extent.DIGESTS_ONLY: "unscannable"}


@click.command(name="hash")
@click.argument("path", nargs=-1, required=True)
@click.option("--exact", is_flag=True, help="Use the full-resolution reference rule: 0 bits from it.")
@click.option("--dense", is_flag=True, help="Take every frame of a video.")
@allow_unsandboxed
@json_option
@click.pass_obj
def hash_(scanner: Scanner, path: tuple[str, ...], exact: bool, dense: bool, as_json: bool) -> None:
    """Print the signals of files; touches no database.

    PATH is a file or a folder, which is walked. With --json one object a line. What a file cannot show is said in its
    own line (`status`, `reason`), and a folder that cannot be entered gets one too; the exit code stays 0.
    """
    from scanner.isolation import WorkerPool  # brings the decoders, which most commands never need

    config = scanner.config
    lanes = config.scan.worker_count()
    options = options_of(config.fingerprint, exact=exact, dense=dense)
    rules = WalkRules(config.scan.include, config.scan.exclude, config.scan.one_file_system)
    limits, allowed = limits_of(config.limits), scanner.allow_unsandboxed
    with (
        WorkerPool(lanes, limits, options, allow_unsandboxed=allowed) as pool,
        bars(beside_output=True) as display,
    ):
        advance = display.add("files")
        for found in signals_of([os.fsencode(each) for each in path], pool, lanes=lanes, rules=rules):
            if as_json:
                emit_json(_object(found))
            else:
                _print(found)
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
        place = "" if signal.frame is None else f"  frame {signal.frame}"
        turned = "" if signal.orientation == "stored" else f"  orientation {signal.orientation}"
        quality = "" if signal.quality is None else f"  quality {signal.quality}"
        click.echo(f"  {signal.hash_type:<7}{signal.value.hex()}{quality}{turned}{place}")
    if len(signals) > 8:
        click.echo(f"  and {len(signals) - 8:,} more: --json shows all")


COMMANDS = (hash_,)
