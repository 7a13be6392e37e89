"""Every setting: its name, what it may be, its default and its meaning.

README's table of the configuration is tested against `SETTINGS`, and `scanner.config` reads by it: one list for both.
Knows neither files nor the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hashsets import hashtypes
from hashsets.limits import is_set_name
from hashsets.types import Role
from scanner.patterns import compile_pattern
from scanner.reports import DEFAULT_SOURCE, is_source
from scanner.serve_config import Access, Address, DoorKind, parse_address
from scanner.types import Verb


class Seal(StrEnum):
    """When reports are sealed by themselves; `manual` leaves it to `hashward reports seal`."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MANUAL = "manual"


class SinkKind(StrEnum):
    """What stands behind a sink."""

    JSONL = "jsonl"
    HTTP = "http"


class SourceKind(StrEnum):
    """What a hash set comes from."""

    FILE = "file"
    HTTP = "http"
    NCMEC = "ncmec"
    STOPNCII = "stopncii"
    THREATEXCHANGE = "threatexchange"
    TCAP = "tcap"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: what it is called in documentation, and how it is read. `read` raises ValueError."""

    text: str
    read: Callable[[Any, Path], Any]


def _whole(low: int, high: int) -> Kind:
    def read(value: Any, _folder: Path) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"whole number, {low} to {high}", read)


def _number(low: float, high: float) -> Kind:
    def read(value: Any, _folder: Path) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError
        return float(value)

    return Kind(f"number, {low:g} to {high:g}", read)


def _choice(values: Sequence[str], made: Callable[[str], Any] = str) -> Kind:
    def read(value: Any, _folder: Path) -> Any:
        if not isinstance(value, str) or value not in values:
            raise ValueError
        return made(value)

    return Kind("one of " + ", ".join(f'"{value}"' for value in values), read)


def _text(what: str, accepts: Callable[[str], object]) -> Kind:
    def read(value: Any, _folder: Path) -> str:
        if not isinstance(value, str) or not accepts(value):
            raise ValueError
        return value

    return Kind(what, read)


def _texts(what: str, accepts: Callable[[str], object], made: Callable[[list[Any]], Any]) -> Kind:
    def read(value: Any, _folder: Path) -> Any:
        if not isinstance(value, list) or not all(isinstance(item, str) and accepts(item) for item in value):
            raise ValueError
        return made(value)

    return Kind(what, read)


def _flag(value: Any, _folder: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\x00" in value:
        raise ValueError
    return folder / value


def _is_pattern(text: str) -> bool:
    compile_pattern(os.fsencode(text))  # raises ValueError
    return True


def _is_word(text: str) -> bool:
    return "\x00" not in text


def _command(words: list[str]) -> tuple[str, ...]:
    if words and not os.path.isabs(words[0]):
        raise ValueError
    return tuple(words)


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.port != 0  # raises ValueError when it is no port
        and parts.username is None
        and parts.password is None
        and not parts.query
        and not parts.fragment
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def _address(value: Any, _folder: Path) -> Address:
    if not isinstance(value, str):
        raise ValueError
    return parse_address(value)


def _mode(value: Any, _folder: Path) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError
    return int(value, 8)


def _lengths(value: Any, _folder: Path) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(item) is int and item > 0 for item in value):
        raise ValueError
    return tuple(value)


def _paths(value: Any, folder: Path) -> tuple[Path, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_path(item, folder) for item in value)


_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_EXTRA_TYPES: Final = tuple(
    name for name in hashtypes.names() if hashtypes.get(name).comparison == "hamming" and name != "pdq"
)
_PLUGIN_TYPES: Final = tuple(hashtypes.PLUGINS.plugins)
_FLAG = Kind("true or false", _flag)
_PATH = Kind("path", _path)
_PATTERNS = _texts("list of patterns", _is_pattern, lambda items: tuple(os.fsencode(item) for item in items))
_TYPES = _texts(
    "list of " + ", ".join(f'"{name}"' for name in _EXTRA_TYPES) + " or of a plug-in's",
    (*_EXTRA_TYPES, *_PLUGIN_TYPES).__contains__,
    lambda items: tuple(items),
)
_VERB = _choice(("restrict", "review", "none"), lambda text: None if text == "none" else Verb(text))
_SETS = _texts("list of names", lambda text: 1 <= len(text) <= 64 and text.isprintable(), frozenset)
_SHORT = _text("text", lambda text: 1 <= len(text) <= 256 and text.isprintable())
_SHORTS = _texts("list of texts", lambda text: 1 <= len(text) <= 256 and text.isprintable(), tuple)
_URL = _text("URL without credentials or query", _is_url)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `table` is "scan", ... or "sink" for the tables of [[sink]]; `default` is written as in TOML."""

    table: str
    key: str
    kind: Kind
    default: str
    meaning: str

    @property
    def name(self) -> str:
        """The setting as messages and documentation call it."""
        return f"{self.table}.{self.key}"


_SECONDS = _number(0.1, 86400)
_LISTENER = "serve.listener"
_MINUTES = _number(0, 7 * 24 * 60)

SETTINGS: Final = (
    Setting("scan", "workers", _whole(0, 1024), "0", "Worker processes that decode; 0 is one for each processor."),
    Setting("scan", "include", _PATTERNS, "[]", "Look only at files that match, or lie below a folder that matches."),
    Setting("scan", "exclude", _PATTERNS, "[]", "Leave out files and folders that match; beats include."),
    Setting("scan", "one_file_system", _FLAG, "false", "Stay on the file system of each root."),
    Setting("limits", "image_seconds", _SECONDS, "10", "Processor time for one image."),
    Setting("limits", "video_seconds", _SECONDS, "60", "Processor time for one video, or a twentieth of its duration."),
    Setting("limits", "memory_mb", _whole(256, 2**20), "1024", "Address space of one worker, in MiB."),
    Setting(
        "fingerprint",
        "orientations",
        _choice(("stored", "exif", "all8")),
        '"exif"',
        "Which turnings are hashed: as stored, also as EXIF says, or all eight.",
    ),
    Setting(
        "fingerprint",
        "hash_types",
        _TYPES,
        "[]",
        "Hash types computed beside md5, sha1, sha256, pdq and those that a set in force lists.",
    ),
    Setting(
        "report",
        "source",
        _text("URI", is_source),
        f'"{DEFAULT_SOURCE}"',
        "The constant that names this service in every report.",
    ),
    Setting("report", "seal", _choice(tuple(Seal), Seal), '"daily"', "When reports are sealed, at a UTC day's end."),
    Setting("watch", "walk_hours", _number(0.01, 8784), "24", "Hours after which `watch` walks a root again."),
    Setting("watch", "metrics_file", _PATH, "none", "Where `watch` keeps its metrics, for Prometheus' node_exporter."),
    Setting("watch", "metrics_port", _whole(0, 65535), "0", "Loopback port on which `watch` offers /metrics; 0: none."),
    Setting(
        "actions",
        "command",
        _texts("list of words, the first an absolute path", _is_word, _command),
        "[]",
        "What is told of each match: a program of yours; JSON on its standard input, exit 0 means taken.",
    ),
    Setting("actions", "socket", _PATH, "none", "Or a Unix socket: a line of JSON there, `ok` back."),
    Setting("actions", "url", _URL, "none", "Or http on a loopback address: a POST, any 2xx means taken."),
    Setting("actions", "token_file", _PATH, "none", "url: the file that holds the bearer token."),
    Setting("actions", "exact", _VERB, '"restrict"', "What an exact match asks for."),
    Setting("actions", "near", _VERB, '"review"', "What a near match asks for."),
    Setting("actions", "hash_sets", _SETS, "[]", "The hash sets that may ask, by name; without any, every alert set."),
    Setting("actions", "timeout_seconds", _SECONDS, "30", "How long the target may take over one action."),
    Setting("s3", "endpoint", _URL, "none", "Where S3 objects are fetched; AWS's own by default."),
    Setting("s3", "region", _SHORT, '"us-east-1"', "The region requests are signed for."),
    Setting("s3", "keys_file", _PATH, "none", "The file of two lines: the access key's id, and its secret; required."),
    Setting("s3", "buckets", _SHORTS, "none", "The buckets objects are fetched from, and no other; required."),
    Setting("s3", "path_style", _FLAG, "true", "Name buckets in the path, not in the host."),
    Setting("s3", "queue_url", _URL, "none", "The SQS queue of the buckets' events, which `serve` then reads."),
    Setting("s3", "allow_plain_http", _FLAG, "false", "Allow an endpoint without TLS on another host than this one."),
    Setting(
        "sink", "name", _text("name of a-z, 0-9, - and _", _NAME.fullmatch), "", "What the sink is called; required."
    ),
    Setting("sink", "kind", _choice(tuple(SinkKind), SinkKind), "", "What takes the reports; required."),
    Setting("sink", "path", _PATH, "reports in the home", "jsonl: the folder that gets a file per batch."),
    Setting("sink", "url", _URL, "", "http: where to post; required."),
    Setting("sink", "token_file", _PATH, "none", "http: the file that holds the bearer token."),
    Setting("sink", "ca_file", _PATH, "public authorities", "http: the authorities that vouch for the receiver, PEM."),
    Setting("sink", "hash_sets", _SETS, "[]", "The hash sets it may hear of, by name; none by default."),
    Setting("sink", "timeout_seconds", _SECONDS, "60", "http: for one whole exchange."),
    Setting("sink", "use_environment_proxies", _FLAG, "false", "http: go through the proxies the environment names."),
    Setting("sink", "allow_plain_http", _FLAG, "false", "http: allow a URL without TLS to another host than this one."),
    Setting("source", "hash_set", _text("name of a hash set", is_set_name), "", "The set it feeds; required."),
    Setting("source", "kind", _choice(tuple(SourceKind), SourceKind), "", "What the set comes from; required."),
    Setting("source", "role", _choice(tuple(Role), Role), '"alert"', "What a match means; of a set this creates."),
    Setting("source", "every_minutes", _MINUTES, "60", "Minutes after which `watch` asks it again; 0: only by hand."),
    Setting(
        "source",
        "stale_days",
        _number(0, 366),
        "7, file: 0",
        "Days without anything new after which it counts as stale; 0: never.",
    ),
    Setting("source", "hold_matches", _whole(0, 10**9), "1000", "A version that brings more new matches is held."),
    Setting("source", "hold_share", _number(0, 1), "0.1", "A version that newly matches more of the contents is held."),
    Setting(
        "source", "hold_growth", _number(0, 10**6), "1", "A version that adds more, as a share of the set, is held."
    ),
    Setting("source", "refuse_shrink", _number(0, 1), "0.2", "A list that withdraws more of the set is refused."),
    Setting("source", "path", _PATH, "", "file: the list, or a folder of lists; required. bundle: its folder."),
    Setting("source", "url", _URL, "the provider's", "http: where the list is, required; others: another server."),
    Setting("source", "environment", _SHORT, "", "ncmec: such as industry-csam or npo-csam; required."),
    Setting(
        "source", "members", _SHORTS, "[]", "ncmec: ids of the members whose entries are taken; every one by default."
    ),
    Setting("source", "root_file", _PATH, "", "bundle: its publisher's root.json, carried here by hand; required."),
    Setting("source", "group", _SHORT, "", "threatexchange: the privacy group's id; required."),
    Setting("source", "hash_type", _SHORT, "none", "file, http: the hash type of a bare list's values."),
    Setting(
        "source", "categories", _SHORTS, "[]", 'file, http: the categories taken of a VICS list, as "1" or "1=A1".'
    ),
    Setting("source", "complete", _FLAG, "true", "file, http: the list is the whole set: what it lacks is withdrawn."),
    Setting("source", "username", _SHORT, "none", "ncmec, tcap, required; http: who asks, with a password."),
    Setting("source", "secret_file", _PATH, "none", "The file that holds the password, token or keys (a line each)."),
    Setting("source", "secret_env", _SHORT, "none", "The environment variable that holds them instead."),
    Setting("source", "secret_credential", _SHORT, "none", "The systemd credential that holds them instead."),
    Setting("source", "ca_file", _PATH, "public authorities", "The authorities that vouch for the server, PEM."),
    Setting("source", "max_mb", _whole(1, 2**20), "4096", "The longest answer taken, in MiB."),
    Setting("source", "allow_plain_http", _FLAG, "false", "Allow a URL without TLS to another host than this one."),
    Setting("serve", "most_in_hand", _whole(1, 100_000), "256", "Uploads on their way to an answer; more are busy."),
    Setting("serve", "spool_mb", _whole(0, 2**30), "10240", "What unfinished films may take in the home's spool."),
    Setting("serve", "stop_seconds", _number(0, 3600), "30", "How long a stop waits for what is in hand."),
    Setting(_LISTENER, "kind", _choice(tuple(DoorKind), DoorKind), "", "What it speaks; required."),
    Setting(
        _LISTENER,
        "address",
        Kind("HOST:PORT, [IPv6]:PORT, absolute path of a Unix socket, or systemd", _address),
        "",
        "Where it listens; systemd: the socket it opened under this listener's name; required.",
    ),
    Setting(_LISTENER, "name", _text("name of a-z, 0-9, - and _", _NAME.fullmatch), "its kind", "In metrics and logs."),
    Setting(
        _LISTENER,
        "on_undecidable",
        _choice(("error", "found", "ok")),
        '"error"',
        "The reply where nothing can be said: an error, as if it matched, or as if it did not.",
    ),
    Setting(
        _LISTENER,
        "on_match",
        _choice(("block", "accept")),
        '"block"',
        "accept: every upload that could be looked at passes at once, and is compared after that.",
    ),
    Setting(
        _LISTENER,
        "deadline_seconds",
        _SECONDS,
        "http 25, clamd 2.5, icap 60",
        "After that the answer is that there is none; keep it under what the caller waits.",
    ),
    Setting(_LISTENER, "max_mb", _whole(1, 2**24), "4096", "The longest upload, in MiB; keep it over the platform's."),
    Setting(
        _LISTENER,
        "cut_lengths",
        Kind("list of whole numbers", _lengths),
        "[26214400, 26198016, 25165824, 104857600, 100000000]",
        "Lengths in bytes at which callers stop sending.",
    ),
    Setting(_LISTENER, "roots", Kind("list of paths", _paths), "[]", "Folders that callers may name files in."),
    Setting(_LISTENER, "uploads_per_second", _number(0.01, 1e6), "no limit", "More are answered busy."),
    Setting(
        _LISTENER,
        "access",
        _choice(tuple(Access), Access),
        "open here, token for other addresses",
        "http: who may ask: anybody who reaches it, whoever has a token, or a certificate of client_ca_file.",
    ),
    Setting(
        _LISTENER,
        "lookups_per_minute",
        _whole(0, 1_000_000),
        "0",
        "http: values a token with the scope lookup may look up; 0: lookups are off.",
    ),
    Setting(_LISTENER, "max_connections", _whole(1, 100_000), "2048", "Connections at a time."),
    Setting(_LISTENER, "certificate_file", _PATH, "none", "http: the certificate for TLS, PEM."),
    Setting(_LISTENER, "key_file", _PATH, "none", "http: its key, PEM."),
    Setting(
        _LISTENER, "client_ca_file", _PATH, "none", "http: who vouches for callers' certificates, PEM; demands one."
    ),
    Setting(_LISTENER, "socket_mode", Kind("octal digits in quotes", _mode), '"660"', "Permissions of a Unix socket."),
    Setting(_LISTENER, "socket_group", _SHORT, "none", "The group of a Unix socket."),
    Setting(_LISTENER, "socket_users", _SHORTS, "everyone it lets in", "Users who may connect to a Unix socket."),
)
