"""Configuration: the only reader of TOML and of the environment.

Owns where everything lies (`Home`) and the strict reading of config.toml by the list in `scanner.settings`.

Rules
- An unknown key, a wrong type or an impossible value is a ConfigError that names the setting and what it may be, never
  the value: a misplaced secret is not repeated.
- Secrets are never settings: they stand in files that settings name.
- Relative paths in the file are relative to the file's folder.
- The environment says HASHWARD_HOME and HASHWARD_CONFIG, and what a source's secret_env or secret_credential names.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import platformdirs

from hashsets.ciphers import Key
from scanner.action_config import ActionsConfig, checked_actions
from scanner.errors import ConfigError
from scanner.loopback import is_private
from scanner.reports import DEFAULT_SOURCE
from scanner.retain_config import CasesConfig, RetainConfig
from scanner.s3_config import S3Config, checked_s3
from scanner.serve_config import ServeConfig, checked_listener, checked_listeners
from scanner.settings import SETTINGS, Seal, Setting, SinkKind
from scanner.sink_config import SinkConfig, checked_sink, checked_sinks
from scanner.source_config import SourceConfig, checked_source, refuse_look_ups
from scanner.storage_config import StorageConfig, read_key
from scanner.transparency_config import RequestsConfig, TransparencyConfig, checked_transparency

__all__ = [
    "SETTINGS",
    "ActionsConfig",
    "BrokerConfig",
    "CasesConfig",
    "Config",
    "FingerprintConfig",
    "Home",
    "LimitsConfig",
    "ReportConfig",
    "RetainConfig",
    "ScanConfig",
    "Seal",
    "Setting",
    "SinkConfig",
    "SinkKind",
    "SourceConfig",
    "StorageConfig",
    "WatchConfig",
    "key_of",
    "load",
    "parse",
    "secret_of",
]

MAX_SECRET_LETTERS: Final = 10_000
MAX_FILE_BYTES: Final = 2**20  # a thousand times any real configuration; what is longer is another file


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds everything hashward keeps."""

    folder: Path

    @classmethod
    def locate(cls, named: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Home:
        """The home that was named, else HASHWARD_HOME, else the platform's state directory."""
        said = str(named) if named is not None else environ.get("HASHWARD_HOME", "")
        if "\x00" in said or (named is not None and not said):
            raise ConfigError("the home folder's path is empty or holds a NUL byte")
        if said:
            return cls(Path(os.path.abspath(said)))
        return cls(platformdirs.user_state_path("hashward"))

    @property
    def hashsets_db(self) -> Path:
        """What is listed."""
        return self.folder / "hashsets.db"

    @property
    def ledger_db(self) -> Path:
        """What we hold and said."""
        return self.folder / "ledger.db"

    @property
    def config_file(self) -> Path:
        """The configuration, when no other is named."""
        return self.folder / "config.toml"

    @property
    def segments(self) -> Path:
        """Memory-mapped indexes, rebuildable."""
        return self.folder / "segments"

    @property
    def spool(self) -> Path:
        """Uploads that are not settled yet."""
        return self.folder / "spool"

    @property
    def reports(self) -> Path:
        """Where a jsonl sink without a path writes."""
        return self.folder / "reports"

    def create(self) -> None:
        """Make the home and its folders, open to their owner only. Raises ConfigError."""
        for folder in (self.folder, self.segments, self.spool):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder.stat().st_mode & 0o077:
                    folder.chmod(0o700)
            except OSError as exc:
                raise ConfigError(_unusable(exc)) from None  # the cause holds the path


def notify_address(environ: Mapping[str, str] = os.environ) -> str:
    """Where a service manager asked to be told how we stand (sd_notify(3)); empty: nowhere."""
    return environ.get("NOTIFY_SOCKET", "")


def inherited_sockets(environ: Mapping[str, str] = os.environ) -> dict[str, int]:
    """The listening sockets a service manager handed over, by the names it gave them (sd_listen_fds(3))."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    return {(names[at] if at < len(names) else str(at)): 3 + at for at in range(int(count))}


@dataclass(frozen=True, slots=True)
class ScanConfig:
    """How roots are walked."""

    workers: int = 0
    include: tuple[bytes, ...] = ()
    exclude: tuple[bytes, ...] = ()
    one_file_system: bool = False

    def worker_count(self) -> int:
        """Worker processes to start: as configured, or one for each processor this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What one content may cost."""

    image_seconds: float = 10.0
    video_seconds: float = 60.0
    memory_mb: int = 1024


@dataclass(frozen=True, slots=True)
class FingerprintConfig:
    """What is computed of a content."""

    orientations: str = "exif"
    hash_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """How reports leave."""

    source: str = DEFAULT_SOURCE
    seal: Seal = Seal.DAILY


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """The daemon's schedules."""

    walk_hours: float = 24.0
    metrics_file: Path | None = None
    metrics_port: int = 0


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Who keeps the audit log: a broker under another user, at a Unix socket; without one this home."""

    socket: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked."""

    scan: ScanConfig = field(default_factory=ScanConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    fingerprint: FingerprintConfig = field(default_factory=FingerprintConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    actions: ActionsConfig = field(default_factory=ActionsConfig)
    s3: S3Config = field(default_factory=S3Config)
    requests: RequestsConfig = field(default_factory=RequestsConfig)
    transparency: TransparencyConfig = field(default_factory=TransparencyConfig)
    retain: RetainConfig = field(default_factory=RetainConfig)
    cases: CasesConfig = field(default_factory=CasesConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    sinks: tuple[SinkConfig, ...] = ()
    sources: tuple[SourceConfig, ...] = ()

    @classmethod
    def defaults(cls) -> Config:
        """What holds when nothing is configured: no sink, so nothing leaves."""
        return cls()


_TABLES: Final[Mapping[str, Callable[..., Any]]] = {
    "scan": ScanConfig,
    "limits": LimitsConfig,
    "fingerprint": FingerprintConfig,
    "report": ReportConfig,
    "watch": WatchConfig,
    "broker": BrokerConfig,
    "actions": checked_actions,
    "s3": checked_s3,
    "retain": RetainConfig,
    "cases": CasesConfig,
    "requests": RequestsConfig,
    "transparency": checked_transparency,
    "storage": StorageConfig,
}


# -- reading -----------------------------------------------------------------------------------------------------------


def load(home: Home, path: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the named file, else HASHWARD_CONFIG, else the home's config.toml, else nothing: the defaults.

    Raises ConfigError; a file that was named must be there, the home's may be absent.
    """
    named = str(path) if path is not None else environ.get("HASHWARD_CONFIG", "")
    file = Path(os.path.abspath(named)) if named else home.config_file
    try:
        content = _read(file)
    except FileNotFoundError:
        if named:
            raise ConfigError("there is no configuration file where one was named") from None
        return Config.defaults()
    except (OSError, ValueError) as exc:
        if not named and not home.folder.is_dir():
            raise ConfigError(_unusable(exc)) from None
        raise ConfigError(
            "the configuration file cannot be read; check that it is a file and its permissions"
        ) from None
    return parse(content, file.parent, home)


def _read(file: Path) -> bytes:
    """The file, up to one byte too many. A FIFO would make us wait for ever, so only regular files are read."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError
        return stream.read(MAX_FILE_BYTES + 1)


def _unusable(cause: Exception) -> str:
    why = f" ({os.strerror(cause.errno)})" if isinstance(cause, OSError) and cause.errno else ""
    return f"the home folder cannot be used{why}; name another with --home"


def parse(content: bytes, folder: Path, home: Home) -> Config:
    """Read a configuration whose relative paths are relative to `folder`. Raises ConfigError."""
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError("the configuration file is over 1 MiB: that is another file")
    document = _document(content)
    _refuse_unknown("", document, (*_TABLES, "serve", "sink", "source"))
    values = {table: made(**_table(table, document.get(table, {}), folder)) for table, made in _TABLES.items()}
    sources = _sources(document.get("source", []), folder)
    serve, sinks = _serve(document.get("serve", {}), folder), _sinks(document.get("sink", []), folder, home)
    return Config(**values, serve=serve, sinks=sinks, sources=sources)


def _document(content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError("the configuration file is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        # tomllib's own message can repeat what is written there.
        place = re.search(r"at line \d+, column \d+|at end of document", str(exc))
        raise ConfigError(f"the configuration file is not TOML{', ' + place[0] if place else ''}") from None


def _table(table: str, found: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ConfigError(f"{table} must be a table")
    settings = {setting.key: setting for setting in SETTINGS if setting.table == table}
    _refuse_unknown(table, found, tuple(settings))
    return {key: _value(settings[key], value, folder) for key, value in found.items()}


def _value(setting: Setting, value: Any, folder: Path) -> Any:
    try:
        return setting.kind.read(value, folder)
    except ValueError:
        raise ConfigError(f"{setting.name} must be: {setting.kind.text}") from None


def _refuse_unknown(table: str, found: Mapping[str, object], allowed: Sequence[str]) -> None:
    prefix = f"{table}." if table else ""
    for key in found:
        if key not in allowed:
            near = difflib.get_close_matches(key[:100], allowed, n=1, cutoff=0.0)
            shown = f"{prefix}{key}" if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", key) else "a key"
            raise ConfigError(f"{shown} is no setting; the nearest is {prefix}{near[0] if near else allowed[0]}")


def _serve(found: Any, folder: Path) -> ServeConfig:
    if not isinstance(found, dict):
        raise ConfigError("serve must be a table")
    listeners = found.get("listener", [])
    if not isinstance(listeners, list):
        raise ConfigError("serve.listener must be written as [[serve.listener]], one table for each")
    made = tuple(checked_listener(_table("serve.listener", table, folder)) for table in listeners)
    own = {key: value for key, value in found.items() if key != "listener"}
    return ServeConfig(**_table("serve", own, folder), listeners=checked_listeners(made))


def _sinks(found: Any, folder: Path, home: Home) -> tuple[SinkConfig, ...]:
    if not isinstance(found, list):
        raise ConfigError("sink must be written as [[sink]], one table for each")
    return checked_sinks([checked_sink(_table("sink", table, folder), home.reports) for table in found])


def _sources(found: Any, folder: Path) -> tuple[SourceConfig, ...]:
    if not isinstance(found, list):
        raise ConfigError("source must be written as [[source]], one table for each")
    refuse_look_ups(found)
    sources = tuple(checked_source(_table("source", table, folder)) for table in found)
    if len({source.hash_set for source in sources}) < len(sources):
        raise ConfigError("two sources feed one hash set")
    for source in sources:
        if source.url is not None and not source.allow_plain_http and not is_private(source.url):
            raise ConfigError(
                "source.url is neither https nor on this host; set allow_plain_http if the way there is safe"
            )
    return sources


def key_of(storage: StorageConfig, home: Home, environ: Mapping[str, str] = os.environ) -> Key | None:
    """The key of both databases; None where none is configured. Raises ConfigError."""
    return read_key(storage, home.folder, _read, lambda name: _credential(name, environ))


def _credential(name: str, environ: Mapping[str, str]) -> bytes:
    """What systemd hands over under a name. Raises ConfigError, OSError, ValueError."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder or "/" in name or name.startswith("."):
        raise ConfigError(
            "systemd gives this process no credential of that name (LoadCredential=); by hand, name a file instead"
        )
    return _read(Path(folder) / name)


def secret_of(source: SourceConfig, environ: Mapping[str, str] = os.environ) -> str:
    """The password, token or keys of a source, without white space at its ends. Raises ConfigError."""
    try:
        if source.secret_env is not None:
            content = environ.get(source.secret_env, "").encode()
        elif source.secret_file is not None:
            content = _read(source.secret_file)
        else:
            content = _credential(source.secret_credential or "", environ)
        text = content.decode("ascii").strip()
    except (OSError, ValueError):
        raise ConfigError(
            "the secret of a source cannot be read; check that it is there, ASCII, and its mode"
        ) from None
    if not text or len(text) > MAX_SECRET_LETTERS:
        raise ConfigError("the secret of a source is empty, or too long to be one")
    return text
