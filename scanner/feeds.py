"""Sources as the configuration names them: made, with their credentials, when they are to be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from hashsets.formats import Options
from hashsets.limits import MAX_CODE_LETTERS
from hashsets.sources import Source
from hashsets.sources.file import FileSource
from hashsets.sources.folder import FolderSource
from hashsets.sources.http_file import HttpFile
from hashsets.sources.ncmec import ENVIRONMENTS, NCMEC
from hashsets.sources.ncmec_xml import Selection
from hashsets.sources.stopncii import BASE as STOPNCII_BASE
from hashsets.sources.stopncii import StopNCII
from hashsets.sources.tcap import BASE as TCAP_BASE
from hashsets.sources.tcap import TCAP
from hashsets.sources.threat_updates import BASE as THREATEXCHANGE_BASE
from hashsets.sources.threat_updates import ThreatUpdates
from hashsets.sources.watched import WatchedFile
from hashsets.sources.web import Limits, Patience, Web
from scanner.clock import Clock
from scanner.config import secret_of
from scanner.errors import ConfigError, UsageError
from scanner.isolation.databases import read_database
from scanner.settings import SourceKind
from scanner.source_config import SourceConfig

_PAGE_MB = 64  # of an interface: its pages hold a thousand entries


@dataclass(frozen=True, slots=True)
class _Means:
    """What a source is made with: its secret, the time, and how to wait."""

    secret: Callable[[], str]
    clock: Clock
    patience: Patience


def make_source(
    config: SourceConfig,
    secret: Callable[[], str],
    clock: Clock,
    *,
    scheduled: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Source:
    """The source that is configured. `secret` is read now. Raises ConfigError.

    With `scheduled` a local list is read only when it has changed; `sleep` waits between attempts.
    """
    if config.kind is not SourceKind.FILE:
        return _MAKERS[config.kind](config, _Means(secret, clock, Patience(sleep)))
    assert config.path is not None
    made = FolderSource if config.path.is_dir() else FileSource
    source: Source = made(config.path, complete=config.complete, options=list_options(config))
    if not scheduled:
        return source
    asked = repr((config.hash_type, config.categories, config.complete))
    return WatchedFile(source, config.path, asked, complete=config.complete, now_ns=clock.now_ns)


def list_options(config: SourceConfig) -> Options:
    """What is said about the lists of a source."""
    return Options(config.hash_type, chosen_categories(config.categories), read_database)


def chosen_categories(written: tuple[str, ...]) -> Mapping[str, str] | None:
    """The categories a list is asked for, each with the code it gets; None where none was said. Raises UsageError."""
    pairs = [(code.strip(), (new or code).strip()) for code, _, new in (text.partition("=") for text in written)]
    if any(not (0 < len(text) <= MAX_CODE_LETTERS and text.isprintable()) for pair in pairs for text in pair):
        raise UsageError("A category is a code of the list, and perhaps '=' and the code to keep in its place.")
    return dict(pairs) if pairs else None


def _web(
    config: SourceConfig,
    means: _Means,
    base: str,
    *,
    headers: Mapping[str, str] | None = None,
    basic: tuple[str, str] | None = None,
) -> Web:
    whole = config.kind in (SourceKind.HTTP, SourceKind.BUNDLE)  # a list in one answer
    megabytes = config.max_mb if whole else min(_PAGE_MB, config.max_mb)
    limits = Limits(max_bytes=megabytes * 2**20, total_s=6 * 3600.0 if whole else 600.0)
    return Web(base, headers=headers, basic=basic, limits=limits, patience=means.patience, ca_file=config.ca_file)


def _http(config: SourceConfig, means: _Means) -> Source:
    parts = urlsplit(config.url or "")
    web = _own_server(config, means, f"{parts.scheme}://{parts.netloc}")
    return HttpFile(web, parts.path or "/", options=list_options(config), complete=config.complete)


def _own_server(config: SourceConfig, means: _Means, base: str) -> Web:
    """A server of whoever: with a password where there is a user's name, else perhaps with a token."""
    headers = basic = None
    if config.username is not None:
        basic = (config.username, means.secret())
    elif config.secret_file or config.secret_env or config.secret_credential:
        headers = {"Authorization": f"Bearer {means.secret()}"}
    return _web(config, means, base, headers=headers, basic=basic)


def _bundle(config: SourceConfig, means: _Means) -> Source:
    # With them comes the library that verifies, which other commands never need.
    from hashsets.bundles.verifying import MOST_METADATA_BYTES
    from hashsets.sources.bundle import BundleSource, in_folder, over_web

    assert config.root_file is not None
    try:
        with config.root_file.open("rb") as file:
            root = file.read(MOST_METADATA_BYTES)
    except OSError:
        raise ConfigError("source.root_file cannot be read: check that it is there, and its mode") from None
    if config.path is not None:
        fetch = in_folder(config.path)
    else:
        fetch = over_web(_own_server(config, means, config.url or ""))
    return BundleSource(fetch, root, options=list_options(config), most_bytes=config.max_mb * 2**20)


def _ncmec(config: SourceConfig, means: _Means) -> Source:
    selection = Selection(config.environment or "", frozenset(config.members))
    return NCMEC(_ncmec_web(config, means), selection, now=lambda: _now(means.clock))


def _ncmec_web(config: SourceConfig, means: _Means) -> Web:
    base = config.url or ENVIRONMENTS[config.environment or ""]
    return _web(config, means, base, basic=(config.username or "", means.secret()))


def vote_client(config: SourceConfig, clock: Clock) -> Web:
    """The server that takes votes on what a source of kind ncmec lists. Raises ConfigError."""
    return _ncmec_web(config, _Means(lambda: secret_of(config), clock, Patience()))


def _stopncii(config: SourceConfig, means: _Means) -> Source:
    keys = means.secret().split()
    if len(keys) != 2:
        raise ConfigError("the secret of a source of kind stopncii is two lines: functions key, then subscription key")
    headers = {"x-functions-key": keys[0], "Ocp-Apim-Subscription-Key": keys[1]}
    return StopNCII(_web(config, means, config.url or STOPNCII_BASE, headers=headers), now=lambda: _now(means.clock))


def _threatexchange(config: SourceConfig, means: _Means) -> Source:
    base = config.url or THREATEXCHANGE_BASE
    return ThreatUpdates(
        _web(config, means, base), config.group or "", means.secret(), now=lambda: _now(means.clock), host=base
    )


def _tcap(config: SourceConfig, means: _Means) -> Source:
    return TCAP(_web(config, means, config.url or TCAP_BASE), config.username or "", means.secret())


_MAKERS: Mapping[SourceKind, Callable[[SourceConfig, _Means], Source]] = {
    SourceKind.HTTP: _http,
    SourceKind.BUNDLE: _bundle,
    SourceKind.NCMEC: _ncmec,
    SourceKind.STOPNCII: _stopncii,
    SourceKind.THREATEXCHANGE: _threatexchange,
    SourceKind.TCAP: _tcap,
}


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.now_ns() // 10**9, UTC)
