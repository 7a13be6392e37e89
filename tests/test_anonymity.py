"""What leaves this machine cannot tell what was scanned, where, by whom or in which order.

First the boundary alone: bodies, sealing and the modules through which they pass.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hashsets.limits import is_classification, is_ref, is_set_name
from hashsets.types import Classification, EntryHit
from scanner import reports
from scanner.errors import ReportError
from scanner.reports import (
    Cause,
    Report,
    ReportBody,
    anonymise,
    anonymise_withdrawal,
    canonical_json,
    encode_cloudevents_batch,
    encode_event,
    report_schema,
    seal,
)
from scanner.types import MediaKind, Trigger
from tests.proofs import record

PROJECT = Path(__file__).resolve().parents[1]
CANARY = "canary-7f3a"
REPORT_ID = "01234567-89ab-4def-8123-456789abcdef"

# DESIGN, "What a report may say". A change here is a change of what the world hears: it needs that page and a reason.
MAY_SAY = {
    "kind",
    "withdraws",
    "cause",
    "hash_set",
    "listed_version",
    "ref",
    "classifications",
    "hash_type",
    "proximity",
    "media",
    "trigger",
    "day",
}


def listed(**changes: Any) -> EntryHit:
    hit = EntryHit(
        owner=1,
        set_uid=b"u" * 16,
        entry_key=b"k",
        ref="public-ref",
        classifications=(Classification("scheme", "code"),),
        first_version=1,
        hash_type="pdq",
        distance=7,
        exact_types=frozenset(),
    )
    return dataclasses.replace(hit, **changes)


def said(hit: EntryHit) -> ReportBody:
    return anonymise(hit, hash_set="set", media=MediaKind.IMAGE, trigger=Trigger.SCAN, day="2025-01-31")


# -- a closed list ---------------------------------------------------------------


def closed_list_faults(boundary: Any) -> list[str]:
    """What a module in the place of `scanner.reports` may say beyond the closed list, or lacks of it."""
    schema = report_schema()
    body = boundary.anonymise(listed(), hash_set="set", media=MediaKind.IMAGE, trigger=Trigger.SCAN, day="2025-01-31")
    event = json.loads(boundary.encode_event(boundary.Report(REPORT_ID, body)))
    envelope = {"specversion", "id", "source", "type", "datacontenttype", "dataschema", "data"}
    heard = {
        "body": ({field.name for field in dataclasses.fields(boundary.ReportBody)}, MAY_SAY),
        "json": (set(json.loads(boundary.canonical_json(body))), MAY_SAY),
        "event": (set(event), envelope),
        "data": (set(event["data"]), MAY_SAY),
        "schema of data": (set(schema["$defs"]["body"]["properties"]), MAY_SAY),
        "required data": (set(schema["$defs"]["body"]["required"]), MAY_SAY),
        "schema": (set(schema["properties"]), envelope),
        "required": (set(schema["required"]), envelope),
    }
    faults = [where for where, (found, may) in heard.items() if found != may]
    return faults + [f"against the schema: {each.validator}" for each in VALIDATOR.iter_errors(event)]


VALIDATOR = jsonschema.Draft202012Validator(report_schema(), format_checker=jsonschema.FormatChecker())


def test_a_report_may_say_what_the_design_lists_and_nothing_else() -> None:
    """Body, its JSON and the shipped schema hold exactly the closed list; an event adds only its envelope."""
    assert [] == closed_list_faults(reports)


# What the design forbids by name, and what somebody might think of.
FORBIDDEN = (
    "path", "name", "file_name", "owner", "uploader", "account", "tenant", "ip", "size", "width", "height", "duration",
    "exif", "time", "minute", "host", "process", "sha256", "pdq", "distance", "quality", "frame", "seq", "order",
    "asset", "root", "url", "error", "thumbnail",
)  # fmt: skip
BODY_FIELD, BODY_KEY = "    day: str\n", '        "day": body.day,\n'


def mutated(source: str, field: str, how: str) -> str:
    """The boundary's source with a field more: in the body, in its JSON, or in both."""
    if how != "json":
        assert source.count(BODY_FIELD) == 1
        source = source.replace(BODY_FIELD, f'{BODY_FIELD}    {field}: str = "{CANARY}"\n')
    if how != "body":
        assert source.count(BODY_KEY) == 1
        said = f"body.{field}" if how == "both" else f'"{CANARY}"'
        source = source.replace(BODY_KEY, f'{BODY_KEY}        "{field}": {said},\n')
    return source


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Makes a module of a source that stands in the boundary's place."""

    def loaded(source: str) -> ModuleType:
        made = ModuleType("scanner.mutated_reports")
        monkeypatch.setitem(sys.modules, made.__name__, made)
        exec(compile(source, "mutated", "exec"), made.__dict__)
        return made

    return loaded


@pytest.mark.parametrize("how", ["body", "json", "both"])
def test_each_forbidden_field_added_to_a_report_is_seen(how: str, load: Callable[[str], ModuleType]) -> None:
    """The check above fails for every one of them, wherever it is added; and not for the source as it is."""
    source = (PROJECT / "scanner" / "reports.py").read_text(encoding="utf-8")
    seen = {field: closed_list_faults(load(mutated(source, field, how))) for field in FORBIDDEN}

    assert [] == [field for field, faults in seen.items() if not faults]
    assert how == "body" or all(any("schema" in fault for fault in faults) for faults in seen.values())
    assert [] == closed_list_faults(load(source))


@pytest.mark.prove
def test_the_tests_fail_on_a_copy_that_says_more(tmp_path: Path) -> None:
    """Each forbidden field in a copy of the whole program: the tests of anonymity and of the schema end in failures."""
    copy = tmp_path / "project"
    rubbish = shutil.ignore_patterns("__pycache__", "*.pyc", "runs")
    for part in ("scanner", "hashsets", "tests", "samples", "bench"):
        shutil.copytree(PROJECT / part, copy / part, ignore=rubbish)
    shutil.copy(PROJECT / "pyproject.toml", copy)
    reports_file = copy / "scanner" / "reports.py"
    source = reports_file.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/test_anonymity.py"]
    command += ["tests/scanner/test_reports.py", "-k", "not prove and not forbidden"]

    def ends(text: str) -> int:
        reports_file.write_text(text, encoding="utf-8")
        return subprocess.run(command, cwd=copy, capture_output=True, timeout=600).returncode

    untouched = ends(source)
    passed = [field for field in FORBIDDEN if ends(mutated(source, field, "both")) != 1]
    record("anonymity", "forbidden fields", fields=len(FORBIDDEN), unseen=len(passed))

    assert 0 == untouched
    assert [] == passed


@pytest.mark.parametrize(
    "forbidden",
    [
        "path",
        "name",
        "owner",
        "uploader",
        "ip",
        "size",
        "width",
        "duration",
        "exif",
        "time",
        "host",
        "sha256",
        "distance",
    ],
)
def test_a_field_added_to_the_body_reaches_nobody_by_itself(forbidden: str) -> None:
    """Even a body that carries more says the same: JSON is written field by field."""
    larger = dataclasses.make_dataclass("Larger", [(forbidden, str, CANARY)], bases=(ReportBody,), frozen=True)
    body = said(listed())
    made = larger(**{field.name: getattr(body, field.name) for field in dataclasses.fields(ReportBody)})

    assert CANARY == getattr(made, forbidden)
    assert canonical_json(body) == canonical_json(made)
    assert encode_event(Report(REPORT_ID, body)) == encode_event(Report(REPORT_ID, made))


# -- nothing local passes ---------------------------------------------------------------


def test_what_only_we_know_of_a_match_shows_in_no_report() -> None:
    """Canaries in every local field of a hit: none is in the body, its repr, its JSON or the batch."""
    hit = listed(
        owner=987_654_321_012,
        set_uid=CANARY.encode(),
        entry_key=CANARY.encode(),
        exact_types=frozenset({CANARY}),
        distance=23,
    )
    batch = seal([said(hit)], random.Random(1)).batch()
    text = repr(said(hit)) + repr(batch) + encode_cloudevents_batch(batch).decode()

    for secret in (CANARY, CANARY.encode().hex(), "987654321012", "distance", "23,"):
        assert secret not in text


@pytest.mark.parametrize("field", ["ref", "hash_type", "day", "hash_set", "code", "scheme"])
def test_a_refused_report_says_which_field_and_not_what_stood_there(field: str) -> None:
    """Errors reach logs: they name fields only."""
    bad = CANARY + "\n" + "x" * 300
    changes: dict[str, Any] = {field: bad} if field in ("ref", "hash_type") else {}
    if field in ("code", "scheme"):
        changes = {"classifications": (dataclasses.replace(Classification("s", "c"), **{field: bad}),)}
    with pytest.raises(ReportError) as caught:
        anonymise(
            listed(**changes),
            hash_set=bad if field == "hash_set" else "set",
            media=MediaKind.IMAGE,
            trigger=Trigger.SCAN,
            day=bad if field == "day" else "2025-01-31",
        )

    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


_HITS = st.builds(
    listed,
    ref=st.sampled_from(["a", "b"]),
    hash_type=st.sampled_from(["pdq", "sha256"]),
    first_version=st.integers(1, 2),
).map(lambda hit: dataclasses.replace(hit, distance=0) if hit.hash_type == "sha256" else hit)
_LOCAL = st.fixed_dictionaries(
    {
        "owner": st.integers(0, 2**62),
        "set_uid": st.binary(min_size=16, max_size=16),
        "entry_key": st.binary(max_size=40),
        "exact_types": st.frozensets(st.sampled_from(["md5", "sha1", "sha256"])),
    }
)


@settings(max_examples=200)
@given(hits=st.lists(_HITS, max_size=6), data=st.data(), seed=st.integers())
def test_batches_do_not_depend_on_anything_local(hits: list[EntryHit], data: st.DataObject, seed: int) -> None:
    """Other owners, list positions, keys, distances and order, the same matches: byte-identical batches."""
    elsewhere = []
    for hit in hits:
        local = data.draw(_LOCAL)
        distance = hit.distance if hit.hash_type == "sha256" else data.draw(st.integers(0, 31))
        elsewhere.append(dataclasses.replace(hit, distance=distance, **local))
    elsewhere = data.draw(st.permutations(elsewhere))

    here, there = ([said(hit) for hit in some] for some in (hits, elsewhere))

    assert encode_cloudevents_batch(seal(here, random.Random(seed)).batch()) == encode_cloudevents_batch(
        seal(there, random.Random(seed)).batch()
    )


@given(order=st.permutations(list(Cause)), seed=st.integers())
def test_batches_of_withdrawals_do_not_depend_on_their_order(order: list[Cause], seed: int) -> None:
    """The same holds for what is taken back."""
    report = Report(REPORT_ID, said(listed()))

    def batch(causes: list[Cause]) -> bytes:
        bodies = [anonymise_withdrawal(report, cause=c, trigger=Trigger.RESCAN, day="2025-02-01") for c in causes]
        return encode_cloudevents_batch(seal(bodies, random.Random(seed)).batch())

    assert batch(list(Cause)) == batch(order)


def test_every_match_of_an_entry_reads_alike_but_for_its_id() -> None:
    """Two places of one content, or two contents: reports that differ in the id only, so they cannot be linked."""
    first, second = (encode_event(sealed.report) for sealed in seal([said(listed())] * 2, random.Random(3)).reports)
    one, two = json.loads(first), json.loads(second)

    assert one.pop("id") != two.pop("id")
    assert one == two
    assert len(first) == len(second)


# -- whatever is listed can be reported ---------------------------------------------------------------

_ANY_TEXT = st.text(max_size=40) | st.integers(60, 260).map("x".__mul__)


@example(ref="x" * 256, scheme="x" * 64, code="x" * 128, name="x" * 64)
@example(ref="x" * 257, scheme="x" * 65, code="x", name="x" * 65)
@example(ref="two\nlines", scheme="x", code="x" * 129, name="tab\t")
@given(ref=_ANY_TEXT, scheme=_ANY_TEXT, code=_ANY_TEXT, name=_ANY_TEXT)
def test_what_a_list_may_hold_a_report_can_say(ref: str, scheme: str, code: str, name: str) -> None:
    """The bounds at import and at the boundary are the same, so that no match is ever stuck between them."""
    mark = Classification(scheme, code)

    def passes(hit: EntryHit, hash_set: str = "set") -> bool:
        try:
            anonymise(hit, hash_set=hash_set, media=MediaKind.IMAGE, trigger=Trigger.SCAN, day="2025-01-31")
        except ReportError:
            return False
        return True

    assert is_ref(ref) == passes(listed(ref=ref))
    assert is_classification(mark) == passes(listed(classifications=(mark,)))
    assert passes(listed(), name) or not is_set_name(name)


# -- one boundary in the code ---------------------------------------------------------------


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Each module of the scanner with its source, parsed."""
    paths = sorted((PROJECT / "scanner").rglob("*.py"))
    return tuple((str(path.relative_to(PROJECT)), ast.parse(path.read_bytes())) for path in paths)


def names_called(tree: ast.Module) -> set[str]:
    """The last name of everything the module calls."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        func.id if isinstance(func, ast.Name) else func.attr
        for func in calls
        if hasattr(func, "id") or hasattr(func, "attr")
    }


def imported(tree: ast.Module) -> set[str]:
    """Every module imported, and every name taken from one, dotted."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def names_of_random(tree: ast.Module) -> set[str]:
    """What the module uses of the standard library's `random`."""
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    used = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "random"}
    return used | {name.removeprefix("random.") for name in imported(tree) if name.startswith("random.")}


def test_bodies_are_made_in_one_module() -> None:
    """Nobody but the boundary calls ReportBody, and nobody but that of counts CountBody."""
    makers = {name: names_called(tree) & {"ReportBody", "CountBody"} for name, tree in modules()}

    assert {"scanner/reports.py": {"ReportBody"}, "scanner/counts.py": {"CountBody"}} == {
        name: made for name, made in makers.items() if made
    }


def test_no_module_can_draw_predictable_ids() -> None:
    """The seedable generator is for tests: the package knows only the operating system's randomness."""
    assert [] == [name for name, tree in modules() if names_of_random(tree) - {"SystemRandom"}]
    assert {"Random", "shuffle"} == names_of_random(
        ast.parse("import random\nrandom.Random(1)\nfrom random import shuffle")
    )


def test_what_reports_pass_through_keeps_no_log() -> None:
    """The boundary, the sinks and the walk neither print nor log: what they know reaches no file by the way."""
    rooms = (
        "scanner/reports",
        "scanner/report_fields",
        "scanner/counts",
        "scanner/events",
        "scanner/sinks",
        "scanner/walking",
        "scanner/opening",
    )
    found = [
        name
        for name, tree in modules()
        if name.startswith(rooms)
        and ({"logging", "warnings", "traceback"} & imported(tree) or "print" in names_called(tree))
    ]

    assert [] == found
