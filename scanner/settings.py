"""Every setting: its name, what it may be, its default and its meaning.

README's table of the configuration is tested against `SETTINGS`, and `scanner.config` reads by it: one list for both.
Knows neither files nor the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hashsets.limits import is_set_name
from hashsets.types import Role
from scanner.counts import Period
from scanner.reports import DEFAULT_SOURCE, is_source
from scanner.retain_config import RULES, days_of
from scanner.serve_config import Access, DoorKind
from scanner.setting_kinds import (
    FLAG,
    NAME,
    PATH,
    PATTERNS,
    SETS,
    SHORT,
    SHORTS,
    TYPES,
    URL,
    VERB,
    Kind,
    address,
    choice,
    command,
    is_word,
    lengths,
    mode,
    number,
    paths,
    text_of,
    texts_of,
    whole,
)
from scanner.transparency_config import Every, is_region


class Seal(StrEnum):
    """When reports are sealed by themselves; `manual` leaves it to `hashward reports seal`."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MANUAL = "manual"


class SinkKind(StrEnum):
    """What stands behind a sink."""

    JSONL = "jsonl"
    HTTP = "http"


class SinkForm(StrEnum):
    """What a sink is told: each report, or how many there were."""

    REPORTS = "reports"
    COUNTS = "counts"


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


_COUNTRIES = texts_of(
    "list of countries' two letters", lambda text: len(text) == 2 and text.isascii() and text.isupper(), tuple
)
_SECONDS = number(0.1, 86400)
_LISTENER = "serve.listener"
_MINUTES = number(0, 7 * 24 * 60)

_KEPT = Kind('"forever" or a whole number of days', lambda value, _folder: days_of(value, none=False))
_KEPT_OR_NONE = Kind('"forever", "none" or a whole number of days', lambda value, _folder: days_of(value))

SETTINGS: Final = (
    Setting("scan", "workers", whole(0, 1024), "0", "Worker processes that decode; 0 is one for each processor."),
    Setting("scan", "include", PATTERNS, "[]", "Look only at files that match, or lie below a folder that matches."),
    Setting("scan", "exclude", PATTERNS, "[]", "Leave out files and folders that match; beats include."),
    Setting("scan", "one_file_system", FLAG, "false", "Stay on the file system of each root."),
    Setting("limits", "image_seconds", _SECONDS, "10", "Processor time for one image."),
    Setting("limits", "video_seconds", _SECONDS, "60", "Processor time for one video, or a twentieth of its duration."),
    Setting("limits", "memory_mb", whole(256, 2**20), "1024", "Address space of one worker, in MiB."),
    Setting(
        "fingerprint",
        "orientations",
        choice(("stored", "exif", "all8")),
        '"exif"',
        "Which turnings are hashed: as stored, also as EXIF says, or all eight.",
    ),
    Setting(
        "fingerprint",
        "hash_types",
        TYPES,
        "[]",
        "Hash types computed beside md5, sha1, sha256, pdq and those that a set in force lists.",
    ),
    Setting(
        "report",
        "source",
        text_of("URI", is_source),
        f'"{DEFAULT_SOURCE}"',
        "The constant that names this service in every report.",
    ),
    Setting("report", "seal", choice(tuple(Seal), Seal), '"daily"', "When reports are sealed, at a UTC day's end."),
    Setting(
        "storage",
        "key_file",
        PATH,
        "none",
        "What encrypts both databases: 64 hex digits; not in the home.",
    ),
    Setting("storage", "key_credential", SHORT, "none", "The systemd credential that holds that key instead."),
    Setting("watch", "walk_hours", number(0.01, 8784), "24", "Hours after which `watch` walks a root again."),
    Setting("watch", "metrics_file", PATH, "none", "Where `watch` keeps its metrics, for Prometheus' node_exporter."),
    Setting("watch", "metrics_port", whole(0, 65535), "0", "Loopback port on which `watch` offers /metrics; 0: none."),
    Setting(
        "retain",
        "unmatched",
        _KEPT_OR_NONE,
        '"forever"',
        "How long contents that match nothing are kept; a list that comes later is compared with those that are.",
    ),
    Setting("retain", "matched", _KEPT, '"forever"', "How long contents that match are kept, from identification."),
    Setting("retain", "gone", _KEPT, '"forever"', "How long paths and refs that hold nothing any more are kept."),
    Setting("retain", "reports", _KEPT, '"forever"', "How long reports are kept of which nothing stands any more."),
    Setting("retain", "cases", _KEPT, '"forever"', "How long names and links of decided cases and of holds are kept."),
    Setting("retain", "requests", _KEPT, '"forever"', "How long decided requests of authorities keep particulars."),
    Setting(
        "retain",
        "rules",
        texts_of('list of "eu" and "us"', RULES.__contains__, frozenset),
        "[]",
        "The rules that apply to you: what the policy and holds have against them is named.",
    ),
    Setting("retain", "hour", whole(0, 23), "3", "The hour of the day (UTC) from which on `watch` erases, once a day."),
    Setting(
        "cases",
        "known_good",
        text_of("name of a hash set", is_set_name),
        "none",
        "The local known-good set that near matches join which people found to be none.",
    ),
    Setting("broker", "socket", PATH, "none", "The socket of `hashward broker`, which then keeps the audit log."),
    Setting(
        "actions",
        "command",
        texts_of("list of words, the first an absolute path", is_word, command),
        "[]",
        "What is told of each match: a program of yours; JSON on its standard input, exit 0 means taken.",
    ),
    Setting("actions", "socket", PATH, "none", "Or a Unix socket: a line of JSON there, `ok` back."),
    Setting("actions", "url", URL, "none", "Or http on a loopback address: a POST, any 2xx means taken."),
    Setting("actions", "token_file", PATH, "none", "url: the file that holds the bearer token."),
    Setting("actions", "exact", VERB, '"restrict"', "What an exact match asks for."),
    Setting("actions", "near", VERB, '"review"', "What a near match asks for."),
    Setting("actions", "hash_sets", SETS, "[]", "The hash sets that may ask, by name; without any, every alert set."),
    Setting("actions", "timeout_seconds", _SECONDS, "30", "How long the target may take over one action."),
    Setting("s3", "endpoint", URL, "none", "Where S3 objects are fetched; AWS's own by default."),
    Setting("s3", "region", SHORT, '"us-east-1"', "The region requests are signed for."),
    Setting("s3", "keys_file", PATH, "none", "The file of two lines: the access key's id, and its secret; required."),
    Setting("s3", "buckets", SHORTS, "none", "The buckets objects are fetched from, and no other; required."),
    Setting("s3", "path_style", FLAG, "true", "Name buckets in the path, not in the host."),
    Setting("s3", "queue_url", URL, "none", "The SQS queue of the buckets' events, which `serve` then reads."),
    Setting("s3", "allow_plain_http", FLAG, "false", "Allow an endpoint without TLS on another host than this one."),
    Setting("sink", "name", NAME, "", "What the sink is called; required."),
    Setting("sink", "kind", choice(tuple(SinkKind), SinkKind), "", "What takes the reports; required."),
    Setting("sink", "path", PATH, "reports in the home", "jsonl: the folder that gets a file per batch."),
    Setting("sink", "url", URL, "", "http: where to post; required."),
    Setting("sink", "token_file", PATH, "none", "http: the file that holds the bearer token."),
    Setting("sink", "ca_file", PATH, "public authorities", "http: the authorities that vouch for the receiver, PEM."),
    Setting("sink", "hash_sets", SETS, "[]", "The hash sets it may hear of, by name; none by default."),
    Setting(
        "sink",
        "form",
        choice(tuple(SinkForm), SinkForm),
        '"reports"',
        "counts: how many, not which.",
    ),
    Setting("sink", "k", whole(2, 10**6), "10", "counts: what comes to less than this is not said."),
    Setting(
        "sink",
        "period",
        choice(("auto", "day", "week", "month"), lambda text: None if text == "auto" else Period(text)),
        '"auto"',
        "counts: what is counted together; auto is the shortest that is expected to hold k.",
    ),
    Setting("sink", "timeout_seconds", _SECONDS, "60", "http: for one whole exchange."),
    Setting("sink", "use_environment_proxies", FLAG, "false", "http: go through the proxies the environment names."),
    Setting("sink", "allow_plain_http", FLAG, "false", "http: allow a URL without TLS to another host than this one."),
    Setting("source", "hash_set", text_of("name of a hash set", is_set_name), "", "The set it feeds; required."),
    Setting("source", "kind", choice(tuple(SourceKind), SourceKind), "", "What the set comes from; required."),
    Setting("source", "role", choice(tuple(Role), Role), '"alert"', "What a match means; of a set this creates."),
    Setting("source", "every_minutes", _MINUTES, "60", "Minutes after which `watch` asks it again; 0: only by hand."),
    Setting(
        "source",
        "stale_days",
        number(0, 366),
        "7, file: 0",
        "Days without anything new after which it counts as stale; 0: never.",
    ),
    Setting("source", "hold_matches", whole(0, 10**9), "1000", "A version that brings more new matches is held."),
    Setting("source", "hold_share", number(0, 1), "0.1", "A version that newly matches more of the contents is held."),
    Setting(
        "source", "hold_growth", number(0, 10**6), "1", "A version that adds more, as a share of the set, is held."
    ),
    Setting("source", "refuse_shrink", number(0, 1), "0.2", "A list that withdraws more of the set is refused."),
    Setting("source", "path", PATH, "", "file: the list, or a folder of lists; required. bundle: its folder."),
    Setting("source", "url", URL, "the provider's", "http: where the list is, required; others: another server."),
    Setting("source", "environment", SHORT, "", "ncmec: such as industry-csam or npo-csam; required."),
    Setting(
        "source", "members", SHORTS, "[]", "ncmec: ids of the members whose entries are taken; every one by default."
    ),
    Setting("source", "root_file", PATH, "", "bundle: its publisher's root.json, carried here by hand; required."),
    Setting("source", "group", SHORT, "", "threatexchange: the privacy group's id; required."),
    Setting("source", "hash_type", SHORT, "none", "file, http: the hash type of a bare list's values."),
    Setting("source", "categories", SHORTS, "[]", 'file, http: the categories taken of a VICS list, as "1" or "1=A1".'),
    Setting("source", "complete", FLAG, "true", "file, http: the list is the whole set: what it lacks is withdrawn."),
    Setting("source", "username", SHORT, "none", "ncmec, tcap, required; http: who asks, with a password."),
    Setting("source", "secret_file", PATH, "none", "The file that holds the password, token or keys (a line each)."),
    Setting("source", "secret_env", SHORT, "none", "The environment variable that holds them instead."),
    Setting("source", "secret_credential", SHORT, "none", "The systemd credential that holds them instead."),
    Setting("source", "ca_file", PATH, "public authorities", "The authorities that vouch for the server, PEM."),
    Setting("source", "max_mb", whole(1, 2**20), "4096", "The longest answer taken, in MiB."),
    Setting("source", "allow_plain_http", FLAG, "false", "Allow a URL without TLS to another host than this one."),
    Setting("requests", "home", _COUNTRIES, "[]", "Countries whose process binds you directly, as ISO 3166-1 codes."),
    Setting("requests", "bilateral", _COUNTRIES, "[]", "Countries whose orders may come directly (CLOUD Act)."),
    Setting("requests", "civil", FLAG, "false", "Answer in civil matters too."),
    Setting("requests", "notice_days", whole(0, 366), "31", "Days after a disclosure by which the user is told."),
    Setting("transparency", "every", choice(tuple(Every), Every), '"quarter"', "The period of a transparency report."),
    Setting("transparency", "skip_empty", FLAG, "false", "Make no report of a period in which there was nothing."),
    Setting(
        "transparency", "suppress_below", whole(1, 1000), "10", "Counts from 1 up to below this are withheld; 1: none."
    ),
    Setting("transparency", "operator", SHORT, "none", "Who publishes the report."),
    Setting("transparency", "services", SHORTS, "[]", "The services that are scanned."),
    Setting("transparency", "ground", SHORT, "none", "The ground under Regulation (EU) 2016/679 relied on."),
    Setting("transparency", "transfers", SHORT, "none", "The ground of transfers outside the Union."),
    Setting("transparency", "organisations", SHORTS, "[]", "Organisations that data were shared with."),
    Setting("transparency", "purposes", SHORTS, "[]", 'What a list is for, each as "name of the set=purpose".'),
    Setting("transparency", "safeguards", SHORTS, "[]", "Safeguards of yours beside those of hashward."),
    Setting("transparency", "contact", SHORT, "none", "Where a reader may ask."),
    Setting("serve", "most_in_hand", whole(1, 100_000), "256", "Uploads on their way to an answer; more are busy."),
    Setting("serve", "spool_mb", whole(0, 2**30), "10240", "What unfinished films may take in the home's spool."),
    Setting("serve", "stop_seconds", number(0, 3600), "30", "How long a stop waits for what is in hand."),
    Setting(_LISTENER, "kind", choice(tuple(DoorKind), DoorKind), "", "What it speaks; required."),
    Setting(
        _LISTENER,
        "address",
        Kind("HOST:PORT, [IPv6]:PORT, absolute path of a Unix socket, or systemd", address),
        "",
        "Where it listens; systemd: the socket it opened under this listener's name; required.",
    ),
    Setting(_LISTENER, "name", NAME, "its kind", "In metrics and logs."),
    Setting(
        _LISTENER,
        "on_undecidable",
        choice(("error", "found", "ok")),
        '"error"',
        "The reply where nothing can be said: an error, as if it matched, or as if it did not.",
    ),
    Setting(
        _LISTENER,
        "on_match",
        choice(("block", "accept")),
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
    Setting(_LISTENER, "max_mb", whole(1, 2**24), "4096", "The longest upload, in MiB; keep it over the platform's."),
    Setting(
        _LISTENER,
        "cut_lengths",
        Kind("list of whole numbers", lengths),
        "[26214400, 26198016, 25165824, 104857600, 100000000]",
        "Lengths in bytes at which callers stop sending.",
    ),
    Setting(
        _LISTENER,
        "whole_files",
        FLAG,
        "false",
        "Callers send no file in pieces: what is large and begins with nothing known is no piece, but no media.",
    ),
    Setting(_LISTENER, "roots", Kind("list of paths", paths), "[]", "Folders that callers may name files in."),
    Setting(_LISTENER, "receive_seconds", number(1, 86400), "3600", "An upload that still comes after that is cut."),
    Setting(
        _LISTENER,
        "region",
        text_of("label of letters, digits, blanks, - and _", is_region),
        "none",
        "What its uploads count under in transparency reports, such as EU.",
    ),
    Setting(_LISTENER, "uploads_per_second", number(0.01, 1e6), "no limit", "More are answered busy."),
    Setting(
        _LISTENER,
        "access",
        choice(tuple(Access), Access),
        "open here, token for other addresses",
        "http: who may ask: anybody who reaches it, whoever has a token, or a certificate of client_ca_file.",
    ),
    Setting(
        _LISTENER,
        "lookups_per_minute",
        whole(0, 1_000_000),
        "0",
        "http: values a token with the scope lookup may look up; 0: lookups are off.",
    ),
    Setting(_LISTENER, "max_connections", whole(1, 100_000), "2048", "Connections at a time."),
    Setting(_LISTENER, "certificate_file", PATH, "none", "http: the certificate for TLS, PEM."),
    Setting(_LISTENER, "key_file", PATH, "none", "http: its key, PEM."),
    Setting(
        _LISTENER, "client_ca_file", PATH, "none", "http: who vouches for callers' certificates, PEM; demands one."
    ),
    Setting(_LISTENER, "socket_mode", Kind("octal digits in quotes", mode), '"660"', "Permissions of a Unix socket."),
    Setting(_LISTENER, "socket_group", SHORT, "none", "The group of a Unix socket."),
    Setting(_LISTENER, "socket_users", SHORTS, "everyone it lets in", "Users who may connect to a Unix socket."),
)
