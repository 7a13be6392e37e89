"""Configuration: one list of settings, read strictly, with errors that repeat nothing."""

from __future__ import annotations

import dataclasses
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashsets import hashtypes
from scanner.config import SETTINGS, Config, Home, Seal, SinkConfig, SinkKind, SourceConfig, load, parse
from scanner.counts import CountRule, Period
from scanner.errors import ConfigError
from scanner.serve_config import Access, ListenerConfig

HOME = Home(Path("/srv/hashward"))
FOLDER = Path("/etc/hashward")


def read(text: str) -> Config:
    return parse(text.encode(), FOLDER, HOME)


def refusal(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), FOLDER, HOME)
    return str(caught.value)


SINK = '[[sink]]\nname = "out"\nkind = "http"\nurl = "https://reports.example/in"\n'

FULL = """
[scan]
workers = 3
include = ["*.jpg", "caf\\u00e9/"]
exclude = ["cache/**"]
one_file_system = true
[limits]
image_seconds = 2.5
video_seconds = 120
memory_mb = 512
[fingerprint]
orientations = "all8"
hash_types = ["phash"]
[report]
source = "urn:example:trust"
seal = "manual"
[[sink]]
name = "local"
kind = "jsonl"
path = "out"
hash_sets = ["ncmec", "Partner List"]
[[sink]]
name = "remote"
kind = "http"
url = "https://reports.example:8443/in"
token_file = "/run/credentials/token"
ca_file = "ca.pem"
hash_sets = ["ncmec"]
timeout_seconds = 10
use_environment_proxies = true
"""


def test_nothing_configured_means_the_defaults_and_no_sink() -> None:
    """An empty file is the defaults, and by default nothing leaves."""
    assert Config.defaults() == read("")
    assert () == Config.defaults().sinks


def test_every_setting_can_be_set() -> None:
    """A file with everything in it reads into checked values; relative paths start at the file's folder."""
    config = read(FULL)

    assert 3 == config.scan.worker_count()
    assert (b"*.jpg", b"caf\xc3\xa9/") == config.scan.include
    assert (b"cache/**",) == config.scan.exclude
    assert config.scan.one_file_system
    assert (2.5, 120.0, 512) == dataclasses.astuple(config.limits)
    assert ("all8", ("phash",)) == dataclasses.astuple(config.fingerprint)
    assert ("urn:example:trust", Seal.MANUAL) == dataclasses.astuple(config.report)
    assert (
        SinkConfig("local", SinkKind.JSONL, path=FOLDER / "out", hash_sets=frozenset({"ncmec", "Partner List"})),
        SinkConfig(
            "remote",
            SinkKind.HTTP,
            url="https://reports.example:8443/in",
            token_file=Path("/run/credentials/token"),
            ca_file=FOLDER / "ca.pem",
            hash_sets=frozenset({"ncmec"}),
            timeout_seconds=10.0,
            use_environment_proxies=True,
        ),
    ) == config.sinks


def test_a_sink_hears_of_nothing_unless_sets_are_named() -> None:
    """No hash set is implied."""
    assert frozenset() == read(SINK).sinks[0].hash_sets


def test_a_jsonl_sink_without_a_path_writes_into_the_home() -> None:
    """The folder `reports` of the home is the default."""
    assert HOME.reports == read('[[sink]]\nname = "a"\nkind = "jsonl"\n').sinks[0].path


def test_no_workers_configured_means_one_for_each_processor() -> None:
    """Zero asks the system."""
    assert len(os.sched_getaffinity(0)) == Config.defaults().scan.worker_count()


# -- the table of settings --------------------------------------------------------------------------------------------


def test_the_table_names_each_field_of_the_configuration_and_no_other() -> None:
    """What README documents is what can be set."""
    config = Config(sinks=(SinkConfig("n", SinkKind.JSONL),))
    fields = {
        f"{table.name}.{field.name}"
        for table in dataclasses.fields(config)
        if table.name not in ("sinks", "sources")
        for field in dataclasses.fields(getattr(config, table.name))
    } - {"serve.listeners"}
    fields |= {f"serve.listener.{field.name}" for field in dataclasses.fields(ListenerConfig)}
    fields |= {f"sink.{field.name}" for field in dataclasses.fields(SinkConfig)}
    fields |= {f"source.{field.name}" for field in dataclasses.fields(SourceConfig)}

    assert fields == {setting.name for setting in SETTINGS}
    assert len(fields) == len(SETTINGS)


LISTENER = '[[serve.listener]]\nkind = "http"\naddress = "127.0.0.1:8417"\n'
TABLES_WITH_DEMANDS = ("sink", "source", "serve.listener", "s3")
DEFAULTS = [s for s in SETTINGS if s.table not in TABLES_WITH_DEMANDS and s.default != "none"]


@pytest.mark.parametrize("setting", DEFAULTS, ids=lambda s: s.name)
def test_each_documented_default_is_the_default(setting: Any) -> None:
    """Writing the default changes nothing."""
    written = read(f"[{setting.table}]\n{setting.key} = {setting.default}\n")

    assert Config.defaults() == written
    assert setting.meaning.endswith(".")
    assert setting.kind.text


@pytest.mark.parametrize("key", ["hash_sets", "timeout_seconds", "use_environment_proxies", "allow_plain_http", "form"])
def test_each_documented_default_of_a_sink_is_the_default(key: str) -> None:
    """The same for sinks."""
    [setting] = [s for s in SETTINGS if s.name == f"sink.{key}"]

    assert read(SINK) == read(f"{SINK}{key} = {setting.default}\n")


COUNTED = 'form = "counts"\nhash_sets = ["a"]\n'
TWO_RULES = COUNTED + SINK.replace("out", "other") + COUNTED + "k = 5\n"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("k = 5\n", "sink.k means something only for a sink of form counts"),
        ('period = "day"\n', "sink.period means something only"),
        (TWO_RULES, "different k or period"),
    ],
    ids=["k of reports", "period of reports", "two rules for one set"],
)
def test_what_a_sink_of_counts_cannot_be_is_said(more: str, says: str) -> None:
    """What two sinks are told of one set cannot be subtracted, and k means nothing where reports are told."""
    assert says in refusal(SINK + more)


def test_a_sink_of_counts_has_one_rule() -> None:
    """Ten, and whatever period is expected to hold as many, unless something else is said."""
    said, unsaid = (read(f'{SINK}form = "counts"\n{more}').sinks[0].counts for more in ('k = 3\nperiod = "week"\n', ""))

    assert (CountRule(3, Period.WEEK), CountRule(10, None)) == (said, unsaid)
    assert read(f'{SINK}form = "counts"\n') == read(f'{SINK}form = "counts"\nk = 10\nperiod = "auto"\n')
    assert read(SINK).sinks[0].counts is None


@pytest.mark.parametrize(
    "key", ["on_undecidable", "on_match", "max_mb", "roots", "lookups_per_minute", "max_connections"]
)
def test_each_documented_default_of_a_listener_is_the_default(key: str) -> None:
    """The same for listeners."""
    [setting] = [s for s in SETTINGS if s.name == f"serve.listener.{key}"]

    assert read(LISTENER) == read(f"{LISTENER}{key} = {setting.default}\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('address = "127.0.0.1"', "serve.listener.address must be"),
        ('address = "127.0.0.1:70000"', "serve.listener.address must be"),
        ('address = "relative/path"', "serve.listener.address must be"),
        ('address = "127.0.0.1:1"\nroots = ["x"]\naccess = "open"', "access means nothing"),
        ('address = "0.0.0.0:1"\nroots = ["x"]', "roots are for listeners on this machine"),
        ('address = "127.0.0.1:1"\nsocket_mode = "660"', "socket_mode means something for a Unix socket alone"),
        ('address = "127.0.0.1:1"\n[[serve.listener]]\nkind = "clamd"\naddress = "127.0.0.1:2"', "one name"),
        (
            'address = "127.0.0.1:1"\n[[serve.listener]]\nkind = "http"\naddress = "127.0.0.1:1"',
            "two listeners have one address",
        ),
    ],
)
def test_what_a_listener_cannot_be_is_said(line: str, says: str) -> None:
    """An address nobody can listen on, a setting of another kind of door, two of one name."""
    with pytest.raises(ConfigError, match=says):
        read(f'[[serve.listener]]\nkind = "clamd"\n{line}\n')


def test_who_may_ask_follows_from_where_it_listens() -> None:
    """On this machine anybody; from elsewhere whoever has a token."""
    local, remote = (
        read(f'[[serve.listener]]\nkind = "http"\naddress = "{at}"\n').serve.listeners[0]
        for at in ("[::1]:1", "0.0.0.0:1")
    )

    assert (Access.OPEN, Access.TOKEN) == (local.who, remote.who)


def test_the_choices_are_those_of_the_rooms_they_configure() -> None:
    """Orientations, hash types and limits mean what fingerprinting makes of them."""
    fingerprint = pytest.importorskip("scanner.fingerprint")
    by_name = {setting.name: setting for setting in SETTINGS}
    defaults = Config.defaults()

    for orientation in fingerprint.Orientations:
        assert f'"{orientation.value}"' in by_name["fingerprint.orientations"].kind.text
    assert fingerprint.Options().orientations == defaults.fingerprint.orientations
    assert fingerprint.Options(hash_types=("phash", "dhash", "ahash", "whash"))
    assert fingerprint.Limits().image_s == defaults.limits.image_seconds
    assert fingerprint.Limits().video_s == defaults.limits.video_seconds
    assert fingerprint.Limits().memory_bytes == defaults.limits.memory_mb * 2**20
    extra = [name for name in hashtypes.names() if hashtypes.get(name).comparison == "hamming" and name != "pdq"]
    assert tuple(extra) == read(f"[fingerprint]\nhash_types = {extra}\n".replace("'", '"')).fingerprint.hash_types


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named", "nearest"),
    [
        ("[scan]\nworker = 3\n", "scan.worker ", "scan.workers"),
        ("[scan]\nonefilesystem = true\n", "scan.onefilesystem", "scan.one_file_system"),
        ("[limit]\n", "limit ", "limits"),
        ("[sinks]\n", "sinks ", "sink"),
        (SINK + 'token = "canary"\n', "sink.token ", "sink.token_file"),
        (SINK + "timeout = 3\n", "sink.timeout ", "sink.timeout_seconds"),
        ("[report]\n[report.seal]\n", "report.seal", "daily"),
        ("workers = 3\n", "workers ", ""),
        ('[scan]\n"canary canary" = 1\n', "a key", "scan."),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_that_exists(text: str, named: str, nearest: str) -> None:
    """A typing mistake is never ignored, and its value never repeated."""
    message = refusal(text)

    assert named in message
    assert nearest in message
    assert "canary" not in message


WRONG = [
    ("scan.workers", ["-1", "1.5", '"canary"', "true", "100000", "[1]"]),
    ("scan.include", ['"*.jpg"', "[1]", '[""]', '["/"]', '["../canary"]', '["a\\u0000b"]']),
    ("scan.one_file_system", ["1", '"canary"']),
    ("limits.image_seconds", ["0", "-1", "nan", "inf", '"canary"', "true"]),
    ("limits.memory_mb", ["1", "512.0"]),
    ("fingerprint.orientations", ['"canary"', "1", '["exif"]']),
    ("fingerprint.hash_types", ['["canary"]', '["sha256"]', '["pdq"]', '"phash"']),
    ("report.source", ['""', '"two words"', '"can\\nary"', "1"]),
    ("report.seal", ['"hourly"', "1"]),
    ("sink.name", ['""', '"Canary"', '"a/b"', '"-x"', "1"]),
    ("sink.kind", ['"canary"', "1"]),
    ("sink.form", ['"canary"', "1"]),
    ("sink.k", ["1", "0", "2.5", '"canary"']),
    ("sink.period", ['"canary"', '"hour"', "7"]),
    ("sink.hash_sets", ['"canary"', "[1]", '[""]', '["can\\nary"]']),
    ("sink.timeout_seconds", ["0", '"canary"']),
    ("sink.token_file", ['""', '"can\\u0000ary"', "1"]),
    (
        "sink.url",
        [
            '"ftp://canary/"',
            '"canary"',
            '"https://"',
            '"https://user:canary@host/"',
            '"https://user@host/"',
            '"https://host/?token=canary"',
            '"https://host/#canary"',
            '"https://host:99999/"',
            '"https://host:canary/"',
            '"https://host/can ary"',
            '"https://h\\u00f6st/"',
            '"https://[canary/"',
        ],
    ),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG for value in values])
def test_a_wrong_value_is_refused_by_the_settings_name_only(name: str, value: str) -> None:
    """The message says which setting and what it may be, and never what was written."""
    table, key = name.split(".")
    if table == "sink":
        lines = [line for line in SINK.splitlines() if not line.startswith(key + " ")]
        text = "\n".join([*lines, f"{key} = {value}"]) + "\n"
    else:
        text = f"[{table}]\n{key} = {value}\n"
    tomllib.loads(text)

    message = refusal(text)

    assert f"{name} must be: " in message
    assert "anary" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[sink]]\nkind = "http"\n', "sink.name is missing"),
        ('[[sink]]\nname = "a"\n', "sink.kind is missing"),
        ('[[sink]]\nname = "a"\nkind = "http"\n', "sink.url is missing"),
        (SINK + 'path = "x"\n', "sink.path means nothing"),
        ('[[sink]]\nname = "a"\nkind = "jsonl"\nurl = "https://x/"\n', "sink.url means nothing"),
        (SINK + SINK, "two sinks have one name"),
        ('[sink]\nname = "a"\n', "[[sink]]"),
        ("sink = 3\n", "[[sink]]"),
        ("sink = [3]\n", "sink must be a table"),
        ("scan = 3\n", "scan must be a table"),
        (SINK.replace("https", "http"), "neither https nor on this host"),
    ],
)
def test_what_makes_no_sense_together_is_refused(text: str, says: str) -> None:
    """Missing, foreign and doubled settings are named."""
    assert says in refusal(text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/", "http://[::1]:80/", "https://host/"])
def test_plain_http_is_for_this_host(url: str) -> None:
    """Reports and tokens travel unencrypted only where nobody can read along, or where someone took it on himself."""
    assert url == read(SINK.replace("https://reports.example/in", url)).sinks[0].url
    assert read(SINK.replace("https", "http") + "allow_plain_http = true\n").sinks[0].allow_plain_http


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"[scan]\nworkers = canary\n", "line 2, column 11"),
        (b"[scan", "end of document"),
        (b'canary = "secret\n', "line 1"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x = " + b"[" * 50_000, ""),
        (b"#" * (2**20 + 1), "over 1 MiB"),
    ],
)
def test_what_is_no_toml_is_refused_by_its_place(text: bytes, place: str) -> None:
    """The place is told, the text is not."""
    message = refusal(text)

    assert place in message
    assert "canary" not in message
    assert "secret" not in message


@given(
    st.text(max_size=60) | st.from_regex(r"(\[(scan|sink|x)\]\n)?[a-z_]{1,9} = (\d|\"x\"|\[\]|true)", fullmatch=True)
)
def test_any_text_is_a_configuration_or_a_clear_refusal(text: str) -> None:
    """No input ends in another error than ours."""
    try:
        config = parse(text.encode("utf-8", "surrogatepass"), FOLDER, HOME)
    except ConfigError:
        return
    assert isinstance(config, Config)


# -- files and the environment ----------------------------------------------------------------------------------------


def test_the_home_is_the_named_one_then_the_environments_then_the_platforms(tmp_path: Path) -> None:
    """The order in which a home is chosen."""
    environ = {"HASHWARD_HOME": str(tmp_path / "env")}

    assert tmp_path / "said" == Home.locate(tmp_path / "said", environ).folder
    assert tmp_path / "env" == Home.locate(None, environ).folder
    assert "hashward" == Home.locate(None, {}).folder.name
    assert Home.locate("relative", {}).folder.is_absolute()


def test_an_impossible_home_is_a_configuration_error(tmp_path: Path) -> None:
    """No traceback for an empty path, a NUL, or a file in the way; and no path in the message."""
    (tmp_path / "canary").touch()

    for named in ("", "nul\x00"):
        with pytest.raises(ConfigError):
            Home.locate(named, {})
    with pytest.raises(ConfigError) as caught:
        Home.locate(tmp_path / "canary", {}).create()
    assert "canary" not in str(caught.value)


def test_a_home_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """Every folder is 0700, also one that was there with wider permissions; making it twice is harmless."""
    home = Home(tmp_path / "deep" / "home")
    home.folder.mkdir(parents=True)
    home.folder.chmod(0o755)

    home.create()
    home.create()

    assert {0o700} == {stat.S_IMODE(path.stat().st_mode) for path in (home.folder, home.segments, home.spool)}
    assert home.folder == home.hashsets_db.parent == home.ledger_db.parent == home.config_file.parent


def test_the_file_is_the_named_one_then_the_environments_then_the_homes(tmp_path: Path) -> None:
    """The order in which a configuration is chosen; without any, the defaults."""
    home = Home(tmp_path)
    assert Config.defaults() == load(home, environ={})
    for workers, name in enumerate(("config.toml", "env.toml", "said.toml"), start=1):
        (tmp_path / name).write_text(f"[scan]\nworkers = {workers}\n")
    environ = {"HASHWARD_CONFIG": str(tmp_path / "env.toml")}

    assert 1 == load(home, environ={}).scan.workers
    assert 2 == load(home, environ=environ).scan.workers
    assert 3 == load(home, tmp_path / "said.toml", environ).scan.workers


def test_a_named_file_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    """A file that was asked for and is absent, a folder or impossible is an error that names no path."""
    for named in (tmp_path / "canary.toml", tmp_path, "nul\x00canary"):
        with pytest.raises(ConfigError) as caught:
            load(Home(tmp_path), named, {})
        assert "canary" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)


def test_relative_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    """Not at the working directory of whoever runs the command."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "c.toml").write_text('[[sink]]\nname = "a"\nkind = "jsonl"\npath = "out"\n')

    assert tmp_path / "conf" / "out" == load(Home(tmp_path), tmp_path / "conf" / "c.toml", {}).sinks[0].path


# -- sources ----------------------------------------------------------------------------------------------------------

SOURCE = '[[source]]\nhash_set = "a"\nkind = "http"\nurl = "https://lists.example/a"\n'


@pytest.mark.parametrize("key", ["role", "members", "categories", "complete", "max_mb", "allow_plain_http"])
def test_each_documented_default_of_a_source_is_the_default(key: str) -> None:
    """Writing the default changes nothing."""
    [setting] = [s for s in SETTINGS if s.name == f"source.{key}"]
    kind = SOURCE if key != "members" else SOURCE.replace("http", "ncmec", 1)
    text = kind + 'environment = "npo-csam"\nusername = "u"\nsecret_env = "E"\n' if key == "members" else kind

    assert read(text) == read(f"{text}{key} = {setting.default}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[source]]\nkind = "http"\n', "source.hash_set is missing"),
        ('[[source]]\nhash_set = "a"\n', "source.kind is missing"),
        ('[[source]]\nhash_set = "a"\nkind = "file"\n', "source.path is missing"),
        ('[[source]]\nhash_set = "a"\nkind = "canary"\n', "source.kind must be"),
        (SOURCE + 'environment = "npo-csam"\n', "source.environment means nothing"),
        (SOURCE + 'username = "u"\n', "needs one of source.secret_"),
        (SOURCE + 'secret_env = "A"\nsecret_file = "b"\n', "needs one of source.secret_"),
        (SOURCE + SOURCE, "two sources feed one hash set"),
        (SOURCE.replace("https", "http"), "source.url is neither https"),
        ('[[source]]\nhash_set = "a"\nkind = "stopncii"\n', "needs one of source.secret_"),
        (
            '[[source]]\nhash_set = "a"\nkind = "ncmec"\nusername = "u"\nsecret_env = "A"\nenvironment = "canary"\n',
            "source.environment must be one of industry-csam",
        ),
        ('[source]\nhash_set = "a"\n', "[[source]]"),
        ("source = [3]\n", "source must be a table"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(text: str, says: str) -> None:
    """By the names of its settings, never by what is written there."""
    assert says in refusal(text)


# -- actions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/act", "http://127.8.8.8:9000/act", "http://[::1]:9000/", "http://localhost:9000/act"],
)
def test_actions_may_go_to_this_host(url: str) -> None:
    """By a loopback address, or by the one name that stands for it."""
    assert url == read(f'[actions]\nurl = "{url}"\n').actions.url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('url = "http://192.0.2.1/act"', "loopback"),
        ('url = "https://127.0.0.1/act"', "loopback"),
        ('url = "http://localhost.example/act"', "loopback"),
        ('url = "http://0.0.0.0/act"', "loopback"),
        ('url = "http://127.1/act"', "loopback"),
        ('url = "http://[::ffff:192.0.2.1]/act"', "loopback"),
        ('command = ["act"]', "absolute path"),
        ('command = ["/act"]\nsocket = "s"', "two targets"),
        ('socket = "s"\nurl = "http://127.0.0.1/"', "two targets"),
        ('socket = "s"\ntoken_file = "t"', "without actions.url"),
        ('exact = "release"', "actions.exact must be"),
    ],
)
def test_actions_that_could_leave_the_host_or_mean_nothing_are_refused(text: str, says: str) -> None:
    """What is told holds refs and digests: it goes to one target, here."""
    with pytest.raises(ConfigError, match=says):
        read(f"[actions]\n{text}\n")


# -- s3 ---------------------------------------------------------------------------------------------------------------

S3 = '[s3]\nbuckets = ["up"]\nkeys_file = "keys"\n'


@pytest.mark.parametrize("key", ["region", "path_style", "allow_plain_http"])
def test_each_documented_default_of_s3_is_the_default(key: str) -> None:
    """Writing the default changes nothing."""
    [setting] = [s for s in SETTINGS if s.name == f"s3.{key}"]

    assert read(S3) == read(f"{S3}{key} = {setting.default}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[s3]\nkeys_file = "k"\n', "s3.buckets is missing"),
        ('[s3]\nbuckets = ["up"]\n', "s3.keys_file is missing"),
        (S3 + 'endpoint = "http://192.0.2.1:9000"\n', "s3.endpoint is neither https"),
        (S3 + 'queue_url = "http://example.org/1/q"\n', "s3.queue_url is neither https"),
    ],
)
def test_a_store_that_makes_no_sense_is_refused(text: str, says: str) -> None:
    """Nothing is fetched from anywhere by accident."""
    with pytest.raises(ConfigError, match=says):
        read(text)
