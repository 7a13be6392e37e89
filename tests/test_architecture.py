"""The walls between the rooms: who may import whom, and who may do what, as one table read from the source.

Each rule has a planted violation below it in `PLANTED`: a rule that cannot fail is no rule.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
OURS = ("hashsets", "scanner", "bench", "samples", "tests")
CHECKED = ("hashsets", "scanner")

# A module (or a package: everything below it) may import only these of ours.
ONLY: dict[str, tuple[str, ...]] = {
    "hashsets.types": (),
    "hashsets.errors": (),
    "hashsets.plugins": (),
    "hashsets.hashtypes": ("hashsets.types", "hashsets.errors", "hashsets.plugins"),
    "hashsets.matching": ("hashsets.matching", "hashsets.types", "hashsets.hashtypes", "hashsets.errors"),
    "scanner.types": ("hashsets.types",),
    "scanner.errors": (),
    "scanner.sinks": ("scanner.sinks", "scanner.reports", "scanner.errors"),
}

# A module or package never imports these of ours.
NEVER: dict[str, tuple[str, ...]] = {
    "hashsets": ("scanner", "bench", "samples", "tests"),
    "hashsets.formats": ("hashsets.store",),
    "hashsets.sources": ("hashsets.store",),
    "scanner": ("bench", "samples", "tests"),
    "scanner.decoding": ("scanner.hashing", "scanner.ledger", "hashsets.store"),
    "scanner.accountability": ("scanner.decoding", "scanner.hashing", "scanner.isolation", "hashsets.matching"),
    "scanner.hashing": ("scanner.decoding", "scanner.ledger", "hashsets.store"),
    # They come as arguments, so that a test can hand in others.
    "scanner.pipeline": ("scanner.isolation", "scanner.decoding", "hashsets.sqlite"),
}

# Ours that only these import.
ONLY_IMPORTED_BY: dict[str, tuple[str, ...]] = {
    "scanner.worker": ("scanner.cli", "scanner.api", "scanner.summaries"),
    "scanner.duties": ("scanner.cli",),
    "scanner.doors": ("scanner.cli", "scanner.api", "scanner.doors"),
    "scanner.cli": ("scanner.cli", "scanner.__main__"),
    "scanner.accountability": (
        "scanner.cli",
        "scanner.api",
        "scanner.duties",
        "scanner.doors",
        "scanner.accountability",
    ),
}

# Libraries that only these import. An empty tuple: nobody.
LIBRARIES: dict[str, tuple[str, ...]] = {
    # Two drivers on one file drop each other's locks: one module chooses.
    "sqlite3": ("hashsets.sqlite",),
    "pysqlite3": ("hashsets.sqlite",),
    "sqlcipher3": ("hashsets.ciphers",),
    "apsw": ("hashsets.foreign",),  # in a process of its own, that has no database of ours open
    "sqlite_utils": ("hashsets.sqlite", "hashsets.sessions", "hashsets.store", "hashsets.migrations", "scanner.ledger"),
    # What parses a stranger's bytes stands in one room, behind one budget. Warming encodes pictures of its own for it.
    "PIL": ("scanner.decoding", "scanner.hashing.phash", "scanner.isolation.warming"),
    "cv2": ("scanner.decoding",),
    "av": ("scanner.decoding", "scanner.isolation.warming"),
    "pillow_heif": ("scanner.decoding",),
    "simplejpeg": ("scanner.decoding",),
    "imagecodecs": ("scanner.decoding",),
    "imagehash": ("scanner.hashing.phash",),
    "scipy": ("scanner.accountability.suppression",),
    "tomllib": ("scanner.config",),
    "platformdirs": ("scanner.config",),
    "click": ("scanner.cli",),
    "rich": ("scanner.cli",),
    "httpx": ("hashsets.sources", "scanner.sinks"),
    "botocore": ("scanner.doors.s3_objects", "scanner.doors.s3_events"),
    "prometheus_client": ("scanner.metrics",),
    "tuf": ("hashsets.bundles",),
    "securesystemslib": ("hashsets.bundles",),
    "cryptography": ("hashsets.bundles", "scanner.accountability.signing", "scanner.location_keys"),
    # These execute what they read. `multiprocessing` unpickles what its children say.
    "pickle": (),
    "marshal": (),
    "shelve": (),
    "dill": (),
    "multiprocessing": (),
}

# Beyond the standard library, the matching core may use numpy and nothing else.
MATCHING_LIBRARIES = ("numpy",)

# Isolation builds the worker's clean one. OpenCV takes its pixel limit and its silence from nowhere else.
READS_ENVIRONMENT = ("scanner.config", "scanner.isolation", "scanner.decoding.second_opinions")
SPEAKS_SQL = (
    "hashsets.sqlite",
    "hashsets.sessions",
    "hashsets.ciphers",
    "hashsets.foreign",
    "hashsets.store",
    "hashsets.migrations",
    "scanner.ledger",
    "scanner.accountability",
)
SQL = re.compile(
    r"^\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|(CREATE|DROP|ALTER)\s+"
    r"(UNIQUE\s+|TEMP\s+)?(TABLE|INDEX|VIEW|TRIGGER)\s|PRAGMA\s|BEGIN(\s+IMMEDIATE)?\s*;?$|WITH\s+\w+.*\sAS\s*\()",
    re.DOTALL,
)

# Borders where foreign exceptions become ours, and outermost worker loops: module and function, each with its reason.
CATCHES_EVERYTHING: dict[str, str] = {
    "scanner.decoding.attempts:_attempt": "the border of decoding: decoders raise anything at all for bad content",
    "scanner.cli.border:error_border": "the outermost border: a traceback could show a path or a value",
    "hashsets.plugins:installed": "the border to others' code: its import may raise anything",
    "scanner.watch:_once": "the daemon's outermost loop: one duty's fault must not end the others",
    "scanner.watch:_due_in_s": "the same, for the question when",
    "scanner.metrics:collect": "metrics must be told of what cannot be read, and never end what they are about",
    "scanner.doors.outside:_run": "a thread's whole work: what it raised is raised where it was asked for",
    "scanner.decoding.stills:_orientation": "metadata a stranger wrote: unreadable means not turned",
}

NAMES_THAT_SAY_NOTHING = frozenset({"util", "utils", "helper", "helpers", "common", "tool", "tools", "misc", "shared"})
MOST_LINES_IN_A_MODULE = 400
MOST_LINES_IN_A_FUNCTION = 60


@dataclass(frozen=True)
class Module:
    """One module's source under its dotted name, with the names of all modules of ours to tell them from attributes."""

    name: str
    source: str
    known: frozenset[str]
    is_package: bool = False
    tree: ast.Module = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", ast.parse(self.source))

    def imports(self) -> Iterator[tuple[int, str]]:
        """Every module it imports, wherever in the file, with the line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    longer = f"{base}.{alias.name}"
                    yield node.lineno, longer if longer in self.known else base
            elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield node.lineno, first.value

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, node.module] if node.module else parts)


def inside(name: str, rooms: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the rooms or below one."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def import_faults(module: Module) -> Iterator[str]:
    """Imports of ours that the tables forbid."""
    for line, target in module.imports():
        at = f"{module.name}:{line} imports {target}"
        if not inside(target, OURS):
            continue
        for room, allowed in ONLY.items():
            if inside(module.name, (room,)) and not inside(target, allowed):
                yield f"{at}: {room} may import only {', '.join(allowed) or 'nothing of ours'}"
        for room, forbidden in NEVER.items():
            if inside(module.name, (room,)) and inside(target, forbidden):
                yield f"{at}: {room} never does"
        for wanted, importers in ONLY_IMPORTED_BY.items():
            if inside(target, (wanted,)) and not inside(module.name, importers):
                yield f"{at}: only {', '.join(importers)} may"


def library_faults(module: Module) -> Iterator[str]:
    """Imports of libraries outside the room that owns them."""
    for line, target in module.imports():
        library = target.partition(".")[0]
        if library in LIBRARIES and not inside(module.name, LIBRARIES[library]):
            yield f"{module.name}:{line} imports {library}: only {', '.join(LIBRARIES[library]) or 'nobody'} may"
        known = library in OURS or library in sys.stdlib_module_names or library in MATCHING_LIBRARIES
        if inside(module.name, ("hashsets.matching",)) and not known:
            yield f"{module.name}:{line} imports {library}: the matching core uses only {MATCHING_LIBRARIES}"


def environment_faults(module: Module) -> Iterator[str]:
    """Reads of the environment outside the configuration."""
    if inside(module.name, READS_ENVIRONMENT):
        return
    names = {"environ", "environb", "getenv", "getenvb"}
    for node in ast.walk(module.tree):
        attribute = isinstance(node, ast.Attribute) and node.attr in names and getattr(node.value, "id", "") == "os"
        imported = isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names}
        if attribute or imported:
            yield f"{module.name}:{node.lineno} reads the environment: only {', '.join(READS_ENVIRONMENT)} may"


def sql_faults(module: Module) -> Iterator[str]:
    """SQL outside the modules that own a database."""
    if inside(module.name, SPEAKS_SQL):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("execute", "executemany", "executescript"):
                yield f"{module.name}:{node.lineno} calls {node.func.attr}(): SQL lives in {', '.join(SPEAKS_SQL)}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            yield f"{module.name}:{node.lineno} holds SQL: it lives in {', '.join(SPEAKS_SQL)}"


def _with_function(node: ast.AST, function: str) -> Iterator[tuple[ast.AST, str]]:
    """Every node below, each with the name of the innermost function it stands in."""
    for child in ast.iter_child_nodes(node):
        yield child, function
        inner = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
        yield from _with_function(child, inner)


def exception_faults(module: Module) -> Iterator[str]:
    """Handlers that swallow anything at all; one that ends in a bare `raise` only tidies up."""
    everything = {"Exception", "BaseException"}
    for node, function in _with_function(module.tree, ""):
        caught: list[ast.expr] = []
        if f"{module.name}:{function}" in CATCHES_EVERYTHING:
            continue
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            if isinstance(last, ast.Raise) and last.exc is None:
                continue
            if node.type is None:
                yield f"{module.name}:{node.lineno} catches everything"
                continue
            caught = list(node.type.elts) if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and _called(node) == "suppress":
            caught = node.args
        if everything & {getattr(kind, "id", "") for kind in caught}:
            yield f"{module.name}:{node.lineno} catches everything"


def unpickling_faults(module: Module) -> Iterator[str]:
    """numpy asked to unpickle what it loads."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", True):
            yield f"{module.name}:{node.value.lineno} allows pickles"


def size_and_name_faults(module: Module) -> Iterator[str]:
    """Modules and functions too long to read, modules without a story or with a name that says nothing."""
    lines = module.source.count("\n")
    if lines > MOST_LINES_IN_A_MODULE:
        yield f"{module.name} has {lines} lines, over {MOST_LINES_IN_A_MODULE}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_LINES_IN_A_FUNCTION:
                yield f"{module.name}:{node.lineno} {node.name}() has {length} lines, over {MOST_LINES_IN_A_FUNCTION}"
    for part in module.name.split("."):
        if part.strip("_") in NAMES_THAT_SAY_NOTHING:
            yield f"{module.name}: a module is named after what it owns"
    if module.source.strip() and not ast.get_docstring(module.tree):
        yield f"{module.name} has no docstring that says what it owns"


RULES = (
    import_faults,
    library_faults,
    environment_faults,
    sql_faults,
    exception_faults,
    unpickling_faults,
    size_and_name_faults,
)


def faults(module: Module) -> list[str]:
    """Everything a module does that the rules forbid."""
    return [fault for rule in RULES for fault in rule(module)]


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the checked packages, parsed once."""
    paths = {
        ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in CHECKED
        for path in sorted((PROJECT / package).rglob("*.py"))
    }
    known = frozenset(paths) | frozenset(OURS)
    return tuple(
        Module(name, path.read_text(encoding="utf-8"), known, path.name == "__init__.py")
        for name, path in paths.items()
    )


def test_the_code_keeps_to_its_rooms() -> None:
    """No module of hashsets or scanner crosses a wall."""
    found = [fault for module in modules() for fault in faults(module)]

    assert [] == found, "\n".join(["", *found])


@pytest.mark.parametrize("exempt", CATCHES_EVERYTHING)
def test_every_exemption_is_still_needed(exempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that may catch everything really does, and would be found without its exemption."""
    name = exempt.partition(":")[0]
    module = next(one for one in modules() if one.name == name)
    monkeypatch.delitem(CATCHES_EVERYTHING, exempt)

    assert list(exception_faults(module))


STORY = '"""Planted."""\n'
PLANTED: list[tuple[str, str, str]] = [
    # (module it is planted in, source, what the fault must say)
    ("hashsets.types", "import hashsets.errors", "nothing of ours"),
    ("hashsets.errors", "from hashsets.types import Signal", "nothing of ours"),
    ("hashsets.hashtypes", "from hashsets import store", "may import only"),
    ("hashsets.matching.exact", "from hashsets.store import Store", "may import only"),
    ("hashsets.matching.exact", "from hashsets import snapshots", "may import only"),
    ("hashsets.matching.exact", "import scipy.fft", "the matching core uses only"),
    ("hashsets.matching.exact", "import sqlite_utils", "the matching core uses only"),
    ("hashsets.formats.csv", "from ..store import Store", "never does"),
    ("hashsets.sources.http", "def late():\n    from hashsets import store", "never does"),
    ("hashsets.refresh", "import scanner.types", "never does"),
    ("hashsets.refresh", "from bench import cases", "never does"),
    ("hashsets.refresh", "import importlib\nimportlib.import_module('scanner.types')", "never does"),
    ("scanner.types", "from hashsets.store import Store", "may import only"),
    ("scanner.errors", "from scanner.types import Looked", "nothing of ours"),
    ("scanner.pipeline", "from samples import make_samples", "never does"),
    ("scanner.pipeline", "from scanner.isolation import pool", "never does"),
    ("scanner.decoding.image", "from scanner.hashing import pdq", "never does"),
    ("scanner.decoding.image", "from scanner.ledger import Ledger", "never does"),
    ("scanner.decoding.image", "from hashsets.store import Store", "never does"),
    ("scanner.hashing.pdq", "from ..decoding import image", "never does"),
    ("scanner.hashing.pdq", "import scanner.ledger.outbox", "never does"),
    ("scanner.hashing.pdq", "from hashsets import store", "never does"),
    ("scanner.sinks.http", "from scanner.types import Outcome", "may import only"),
    ("scanner.sinks.http", "import hashsets.types", "may import only"),
    ("scanner.pipeline", "from scanner import worker", "only scanner.cli, scanner.api"),
    ("scanner.rescan", "import scanner.doors.http", "only scanner.cli, scanner.api"),
    ("scanner.worker", "from scanner.cli import main", "only scanner.cli"),
    ("scanner.ledger.assets", "import sqlite3", "only hashsets.sqlite may"),
    ("hashsets.store", "from pysqlite3 import dbapi2", "only hashsets.sqlite may"),
    ("hashsets.sqlite", "from sqlcipher3 import dbapi2", "only hashsets.ciphers may"),
    ("scanner.rescan", "import sqlite_utils", "may"),
    ("scanner.hashing.pdq", "from PIL import Image", "only scanner.decoding"),
    ("scanner.hashing.frames", "import av", "only scanner.decoding"),
    ("scanner.isolation.child", "import cv2", "only scanner.decoding may"),
    ("scanner.walking", "import pillow_heif", "only scanner.decoding may"),
    ("scanner.pipeline", "import simplejpeg", "only scanner.decoding may"),
    ("scanner.decoding.image", "import imagehash", "only scanner.hashing.phash may"),
    ("scanner.cli.scan", "import tomllib", "only scanner.config may"),
    ("scanner.pipeline", "import rich.progress", "only scanner.cli may"),
    ("scanner.pipeline", "import httpx", "may"),
    ("hashsets.store", "import pickle", "nobody may"),
    ("scanner.isolation.pool", "from multiprocessing import Pool", "nobody may"),
    ("scanner.isolation.pool", "def f():\n    import marshal", "nobody may"),
    ("hashsets.store", "import shelve", "nobody may"),
    ("hashsets.matching.segments", "import numpy as np\nnp.load('x', allow_pickle=True)", "allows pickles"),
    ("scanner.cli.scan", "import os\nos.environ['HOME']", "reads the environment"),
    ("scanner.walking", "import os\nos.getenv('HOME')", "reads the environment"),
    ("hashsets.store", "from os import environ", "reads the environment"),
    ("scanner.rescan", "def f(db):\n    db.execute('x')", "SQL lives in"),
    ("hashsets.refresh", "Q = 'SELECT 1'", "holds SQL"),
    ("scanner.cli.status", "Q = f'''\n  INSERT OR IGNORE INTO {1} VALUES (1)'''", "holds SQL"),
    ("scanner.pipeline", "try:\n    pass\nexcept Exception:\n    pass", "catches everything"),
    ("scanner.pipeline", "try:\n    pass\nexcept (OSError, BaseException):\n    pass", "catches everything"),
    ("scanner.pipeline", "try:\n    pass\nexcept:\n    pass", "catches everything"),
    ("scanner.pipeline", "from contextlib import suppress\nwith suppress(Exception):\n    pass", "catches everything"),
    ("scanner.pipeline", "def f():\n" + "    pass\n" * MOST_LINES_IN_A_FUNCTION, "f() has 61 lines"),
    ("scanner.pipeline", "#\n" * MOST_LINES_IN_A_MODULE, "has 401 lines"),
    ("scanner.utils", "", "named after what it owns"),
    ("scanner.helpers.walking", "", "named after what it owns"),
]


@pytest.mark.parametrize(("name", "source", "says"), PLANTED)
def test_a_planted_violation_is_found(name: str, source: str, says: str) -> None:
    """Each rule fails on source that breaks it."""
    known = frozenset({"hashsets.store", "hashsets.snapshots", "scanner.hashing.pdq", "scanner.worker", *OURS})
    planted = Module(name, STORY + source, known | {"scanner.decoding", "scanner.decoding.image", "scanner.isolation"})

    found = faults(planted)

    assert any(says in fault for fault in found), found


def test_a_module_without_a_docstring_is_found() -> None:
    """A module says what it owns."""
    found = faults(Module("scanner.walking", "import os\n", frozenset(OURS)))

    assert ["scanner.walking has no docstring that says what it owns"] == found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("hashsets.matching.exact", "import numpy as np\nfrom hashsets.types import Hits\nfrom . import interface"),
        ("hashsets.sqlite", "import sqlite3\ndef f(c):\n    c.execute('SELECT 1')"),
        ("scanner.hashing.phash", "import imagehash\nfrom PIL import Image"),
        (
            "scanner.sinks.http",
            "import httpx\nfrom scanner import reports, errors",
        ),
        ("scanner.cli.scan", "import click\nfrom scanner import worker"),
        ("scanner.pipeline", "try:\n    pass\nexcept BaseException:\n    print()\n    raise"),
        ("scanner.pipeline", 'STORY = "SELECT an album, then press the button"\n'.replace("SELECT", "Select")),
    ],
)
def test_what_the_rules_allow_passes(name: str, source: str) -> None:
    """The checker does not cry at code that keeps the rules."""
    found = faults(
        Module(name, STORY + source, frozenset({"scanner.worker", "scanner.reports", "scanner.errors", *OURS}))
    )

    assert [] == found
