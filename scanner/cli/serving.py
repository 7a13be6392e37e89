"""`serve`, the upload doors as one process; `blocked`, what stands behind a name people were shown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from hashsets.errors import StoreError
from hashsets.locking import be_present, is_present
from scanner.accountability.opening import told
from scanner.accountability.review import Reviews
from scanner.api import Scanner
from scanner.cli.groups import allow_unsandboxed
from scanner.cli.output import emit_json, json_option, note, place_text
from scanner.config import Home, inherited_sockets, notify_address
from scanner.errors import UsageError
from scanner.serve_config import (
    USUAL_HTTP,
    DoorKind,
    ListenerConfig,
    ServeConfig,
    checked_listener,
    checked_listeners,
    parse_address,
)

if TYPE_CHECKING:
    from scanner.doors.serving import Serving

LOCK_NAME = "serve-lock"
_CODE = re.compile(r"(?:Policy\.Blocked\.)?([2-9B-Z]{8})", re.IGNORECASE)
_CODELESS = {
    "Policy.Undecidable": "it could not be looked at whole; metrics count why",
    "Policy.TooLarge": "it is longer than max_mb of the listener",
    "Policy.Refused": "its id was refused before; what was said then has the name",
}


@click.command()
@click.option("--http", metavar="HOST:PORT", help="Speak HTTP there.")
@click.option("--clamd", metavar="HOST:PORT|PATH", help="Speak the protocol of clamd there.")
@click.option("--icap", metavar="HOST:PORT", help="Speak ICAP there.")
@allow_unsandboxed
@json_option
@click.pass_obj
def serve(scanner: Scanner, http: str | None, clamd: str | None, icap: str | None, as_json: bool) -> None:
    """Judge uploads as they come in, by what platforms already speak: the upload doors.

    Listens as configured by [[serve.listener]], or where the options say; without either, HTTP on loopback port 8417.
    SIGTERM or Ctrl-C ends it, once what is in hand is answered.
    """
    from scanner.doors.serving import check_access, widen

    named = {DoorKind.HTTP: http, DoorKind.CLAMD: clamd, DoorKind.ICAP: icap}
    config = _with_named(scanner.config.serve, {kind: at for kind, at in named.items() if at is not None})
    for listener in config.listeners:
        check_access(listener, scanner.ledger.tokens, scanner.clock)
    scanner.ledger.locations.ready()
    most_files = widen()
    scanner.pipeline  # noqa: B018 - opened before a thread is: worker processes are exec'd
    asyncio.run(_serve(scanner, config, as_json, most_files))
    sys.stdout.flush()


async def _serve(scanner: Scanner, config: ServeConfig, as_json: bool, most_files: int) -> None:
    from scanner.watch import notify

    manager = notify_address()
    say = _say(scanner, as_json)
    serving = _serving(scanner, config, say, lambda state: notify(manager, state))
    with _noted(scanner.home), _duties(scanner, say):
        await serving.run(lambda: _announce(scanner, config, serving, say, as_json, most_files))
    say("stopped")


@contextlib.contextmanager
def _noted(home: Home) -> Iterator[None]:
    """Who asks the home meanwhile is told that somebody serves; several may."""
    lock = None
    with contextlib.suppress(StoreError):  # the disk knows no locks
        lock = be_present(home.folder / LOCK_NAME)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def is_served(home: Home) -> bool:
    """Whether upload doors of this home are open just now."""
    return is_present(home.folder / LOCK_NAME)


@contextlib.contextmanager
def _duties(scanner: Scanner, say: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile the audit log gets what it is owed, and the operator's own system, where there is one, is told."""
    from scanner.duties import accounts, acts
    from scanner.watch import Watch

    acting = [acts(scanner)] if scanner.config.actions.configured else []
    loop = Watch([accounts(scanner), *acting], scanner.clock, say=say)
    thread = threading.Thread(target=loop.run, name="duties", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        thread.join(scanner.config.actions.timeout_seconds)


def _serving(
    scanner: Scanner, config: ServeConfig, say: Callable[[str], None], manager: Callable[[str], None]
) -> Serving:
    """The doors of a home, bound to their addresses. Raises UsageError."""
    from scanner.doors.intake import Intake
    from scanner.doors.listeners import House
    from scanner.doors.rules import DoorRules
    from scanner.doors.s3_events import QueueListener, S3Events
    from scanner.doors.s3_objects import Objects
    from scanner.doors.serving import Serving, bounds_of
    from scanner.gauges import Gauges
    from scanner.metrics import Metrics

    names = [one.name for one in config.listeners]
    metrics = Metrics([*names, *(["s3"] if scanner.config.s3.queue_url else [])], Gauges(scanner))
    bounds = bounds_of(config, scanner.config.scan.worker_count())
    spool = scanner.home.spool
    intake = Intake(scanner.sets, scanner.ledger, scanner.pipeline, scanner.clock, spool, metrics, bounds)
    objects = Objects(scanner.config.s3, intake) if scanner.config.s3.configured else None
    refusals = scanner.ledger.refusals
    reviews = Reviews.of(scanner)
    house = House(intake, scanner.ledger.tokens, scanner.clock, metrics, spool, say, refusals, objects, reviews)
    queue = None
    if objects is not None and scanner.config.s3.queue_url is not None:
        queue = QueueListener(scanner.config.s3, S3Events(objects, intake, DoorRules("s3")), say)
    return Serving(config, house, inherited_sockets(), manager, queue, scanner.pool.tidy)


def _with_named(config: ServeConfig, named: dict[DoorKind, str]) -> ServeConfig:
    """The configuration with the listeners of the command line in place of those it has, if there are any."""
    made: tuple[ListenerConfig, ...] = config.listeners
    if named or not made:
        at = named or {DoorKind.HTTP: USUAL_HTTP}
        made = tuple(_listener(kind, text) for kind, text in at.items())
    return ServeConfig(config.most_in_hand, config.spool_mb, config.stop_seconds, checked_listeners(made))


def _listener(kind: DoorKind, text: str) -> ListenerConfig:
    try:
        address = parse_address(os.path.abspath(text) if "/" in text else text)
    except ValueError:
        raise UsageError(f"--{kind.value} takes HOST:PORT, a path with a slash in it, or systemd.") from None
    return checked_listener({"kind": kind, "address": address})


def _say(scanner: Scanner, as_json: bool) -> Callable[[str], None]:
    if as_json:
        return lambda text: emit_json({"event": "log", "message": text})
    from scanner.watch import say_on_stderr

    return say_on_stderr(scanner.clock)


def _announce(
    scanner: Scanner,
    config: ServeConfig,
    serving: Serving,
    say: Callable[[str], None],
    as_json: bool,
    most_files: int,
) -> None:
    from scanner.doors.serving import check_exposure, check_files, check_roots

    sandbox = "complete" if scanner.pool.sandbox.complete else "incomplete"
    limits = {
        "workers": scanner.config.scan.worker_count(),
        "most_in_hand": config.most_in_hand,
        "sandbox": sandbox,
    }
    listeners: list[dict[str, object]] = [
        {
            "name": bound.config.name,
            "kind": bound.config.kind.value,
            "address": bound.address,
            "deadline_seconds": bound.config.deadline_s,
            "max_mb": bound.config.max_mb,
            "on_undecidable": bound.config.on_undecidable,
            "on_match": bound.config.on_match,
        }
        for bound in serving.bound
    ]
    if as_json:
        emit_json({"event": "serving", "listeners": listeners, **limits})
    else:
        for one in listeners:
            say(_sentence(one))
        say(f"{limits['workers']} workers, sandbox {sandbox}, at most {config.most_in_hand} uploads in hand")
    configs = [bound.config for bound in serving.bound]
    for sentence in [*check_exposure(configs), *check_roots(configs), *check_files(configs, most_files)]:
        say(f"warning: {sentence}")
    if scanner.config.serve.listeners and config.listeners != scanner.config.serve.listeners:
        say("warning: the call says where to listen, so the listeners of the configuration are left out")
    command = scanner.config.actions.command
    if command and not os.access(command[0], os.X_OK):
        say("warning: the command of [actions] cannot be run; actions stay owed until it can")


def _sentence(one: Mapping[str, object]) -> str:
    return (
        f"{one['name']}: {one['kind']} on {one['address']}, answers within {one['deadline_seconds']} s, takes up to"
        f" {one['max_mb']} MiB; on_match {one['on_match']}, on_undecidable {one['on_undecidable']}"
    )


@click.command()
@click.argument("name")
@click.option("--show-refs", is_flag=True, help="Print the refs of the uploads and the paths. They are for you alone.")
@json_option
@click.pass_obj
def blocked(scanner: Scanner, name: str, show_refs: bool, as_json: bool) -> None:
    """Say what stands behind a name like Policy.Blocked.7F3K2QXZ that somebody was shown.

    It is the code of a matched content; nobody else can tell anything from it.
    """
    if name in _CODELESS:
        raise UsageError(f"{name} is no match, and the same for every upload: {_CODELESS[name]}.")
    found = _CODE.fullmatch(name)
    shown = None if found is None else scanner.ledger.uploads.shown(found[1].upper())
    if shown is None:
        raise UsageError("Nothing was shown under that name.")
    sha256, ids = shown
    places = told(scanner.audit, scanner.ledger, "blocked --show-refs", ids if show_refs else ())
    if as_json:
        document: dict[str, object] = {"sha256": sha256.hex(), "assets": len(ids)}
        if show_refs:
            document["places"] = [place and place.decode("utf-8", "surrogateescape") for place in places]
        emit_json(document)
        return
    click.echo(f"sha256 {sha256.hex()}")
    for place in places:
        click.echo(place_text(place) or "(came without a ref)")
    if not show_refs:
        note(f"{len(ids):,} assets; --show-refs prints where.")


COMMANDS = (serve, blocked)
