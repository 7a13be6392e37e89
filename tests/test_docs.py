"""README, `--help`, the Makefile, the configuration and CHANGELOG say the same thing.

A test skips, with its reason, only while the file or package it compares does not exist.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

PROJECT = Path(__file__).resolve().parents[1]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
VERSION = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
HABITS = ("demo", "test", "check", "check-native", "prove", "bench", "fuzz", "docs", "clean")

# Where somebody's machine shows: home folders and working folders. Put together here, so that this file has none.
MACHINE_PATHS = re.compile(
    "|".join(rf"(?<![\w.~])/{folder}/" for folder in ("work", "root", "opt", "Users", "tmp/brief"))
)


def load_docs() -> ModuleType:
    """The script behind `make docs`, which is no package."""
    spec = importlib.util.spec_from_file_location("ci_docs", PROJECT / ".ci" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = load_docs()


def needed(*parts: str) -> Path:
    """A file of the project, or a skip while it is not written."""
    path = PROJECT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not written yet")
    return path


@pytest.fixture
def readme() -> str:
    """The text of README.md."""
    return needed("README.md").read_text(encoding="utf-8")


@pytest.fixture
def root() -> click.Command:
    """The click command behind `hashward`."""
    needed("scanner", "cli", "__init__.py")
    from scanner.cli import main

    return main


def listed_by_git(*options: str) -> set[str]:
    """The tracked files that `git ls-files` names with these options."""
    if not shutil.which("git") or not (PROJECT / ".git").exists():
        pytest.skip("this is no git checkout, so nothing says which files belong to the project")
    command = ["git", "ls-files", "-z", "--cached", *options]
    out = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=100).stdout
    return {name.decode() for name in out.split(b"\0") if name}


def tracked() -> list[Path]:
    """Every file of the project: tracked, there, and not made by a tool."""
    made = listed_by_git("--ignored", "--exclude-standard")
    return [PROJECT / name for name in sorted(listed_by_git() - made) if (PROJECT / name).is_file()]


def test_readme_has_every_command_with_its_help(readme: str, root: click.Command) -> None:
    """Every command a user can call stands in the reference with the first line of its own help."""
    rows = {
        words.split(" [")[0].split(" {")[0]: says
        for words, says in re.findall(r"^\| `(hashward[^`]*)` \| (.*) \|$", readme, flags=re.MULTILINE)
    }
    missing = [
        path
        for path, command in docs.commands(root)
        if not any(words == path or words.startswith(f"{path} ") for words, says in rows.items() if says.strip())
    ]

    assert missing == []
    for path, command in docs.commands(root):
        assert docs.first_line(command) in readme, path


def test_readme_equals_what_make_docs_writes(readme: str, root: click.Command) -> None:
    """The made parts of README are those of the code as it is now."""
    needed("scanner", "config.py")

    assert docs.rewritten(readme) == readme, "run `make docs`"


def test_readme_has_every_setting(readme: str) -> None:
    """The configuration table names each setting that the code reads, and no other."""
    needed("scanner", "config.py")
    from scanner import config

    _, inside, _ = docs.between(readme, docs.SETTINGS)

    assert [one.name for one in config.SETTINGS] == re.findall(r"^\| `([^`]+)` \|", inside, flags=re.MULTILINE)


def test_every_command_and_option_explains_itself(root: click.Command) -> None:
    """No command or option is without help."""
    assert list(docs.commands(root))
    for _, command in docs.commands(root):
        assert docs.first_line(command)
        assert all(text for _, text in docs.option_rows(command))


def test_make_help_lists_every_habit() -> None:
    """Plain `make` tells a newcomer everything it can do."""
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)[1].split())  # type: ignore[index]
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=100
    ).stdout
    listed = {line.split()[1] for line in shown.splitlines()}

    assert phony == listed
    assert set(HABITS) <= listed


def test_readme_names_every_habit(readme: str) -> None:
    """README says what each make target is for."""
    assert [habit for habit in HABITS if f"make {habit}" not in readme] == []


def test_changelog_has_the_current_version() -> None:
    """A released or coming version is in CHANGELOG, with something to say."""
    text = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = re.search(rf"^## {re.escape(VERSION)}\b.*?\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)

    assert entry is not None
    assert "- " in entry[1]


def test_the_installed_version_is_the_projects() -> None:
    """What is installed is this checkout, not an older one."""
    try:
        installed = importlib.metadata.version("hashward")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("hashward is not installed here; `make test` installs it")

    assert VERSION == installed


def pages() -> Iterator[Path]:
    """The Markdown pages of the project."""
    return (path for path in tracked() if path.suffix == ".md")


def slug(heading: str) -> str:
    """A heading's anchor, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_nobody_is_told_to_install_it_by_its_name() -> None:
    """The package of that name on PyPI is somebody else's: whoever follows us installs a checkout, or what it needs."""
    by_name = re.compile(r"pip install[^\n`#]*(?<![\w/.@-])hashward(?![\w/.-])")
    found = [
        path.name
        for path in tracked()
        if path.suffix in (".md", ".py", ".toml", ".service") and by_name.search(path.read_text(encoding="utf-8"))
    ]

    assert by_name.search("{} --no-deps hashward[s3]".format("pip install"))
    assert found == []


def test_relative_links_resolve() -> None:
    """Every link inside the project leads to a file, and every anchor to a heading."""
    broken = []
    for page in pages():
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            aim = (page.parent / name).resolve() if name else page
            headings = re.findall(r"^#+ (.*)$", aim.read_text(encoding="utf-8"), re.MULTILINE) if aim.is_file() else []
            if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in map(slug, headings)):
                broken.append(f"{page.relative_to(PROJECT)}: {target}")

    assert broken == []


def test_nothing_that_a_tool_makes_is_committed() -> None:
    """What .gitignore lists (the environment, caches, builds) is in no commit, so a clone builds its own."""
    made = listed_by_git("--ignored", "--exclude-standard")

    assert sorted({name.split("/")[0] for name in made}) == []


def test_nothing_names_a_machine() -> None:
    """No committed file holds a path of somebody's machine."""
    named = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        named += [f"{path.relative_to(PROJECT)}: {found[0]}" for found in MACHINE_PATHS.finditer(text)]

    assert named == []


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_locks_name_versions_and_hashes_and_no_place(name: str) -> None:
    """A lock can be used anywhere: every requirement is pinned and hashed, and no index or folder is named."""
    text = (PROJECT / ".locks" / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.replace("\\\n", " "))[1:]

    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert re.search(r"^\s*(-i|-f|-e|--index|--extra-index|--find-links)", text, flags=re.MULTILINE) is None


def test_the_development_lock_holds_all_of_the_other() -> None:
    """Installing the development lock settles what the command itself needs, at the same versions."""
    run, dev = (
        set(
            re.findall(r"^([a-z0-9-]+==[^\s;]+)", (PROJECT / ".locks" / name).read_text(encoding="utf-8"), re.MULTILINE)
        )
        for name in ("run.txt", "dev.txt")
    )

    assert run
    assert run <= dev


def test_every_dependency_is_in_the_lock() -> None:
    """A dependency added to pyproject.toml without `make lock` would not be installed."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    locked = (PROJECT / ".locks" / "dev.txt").read_text(encoding="utf-8")
    # The groups `bench` are not: peers are installed by who wants to be measured against them.
    wanted = [group for name, group in project["dependency-groups"].items() if not name.startswith("bench")]
    groups = [entry for group in wanted for entry in group if isinstance(entry, str)]
    names = {re.match(r"[A-Za-z0-9-]+", entry)[0].lower() for entry in [*project["project"]["dependencies"], *groups]}  # type: ignore[index]

    assert sorted(name for name in names if not re.search(rf"^{name}==", locked, flags=re.MULTILINE)) == []


def test_the_build_needs_what_the_build_group_locks() -> None:
    """Building without isolation uses the locked build tools, so the two lists are one."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]


# -- the pages that an operator answers by ----------------------------------------------------------------------------

ACCOUNTS = PROJECT / "scanner" / "accountability" / "pages"


def table_below(page: str, heading: str) -> dict[str, str]:
    """The first table below a heading of a page: what stands in its first column, and the row."""
    below = page.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \|(.*)\|$", below, flags=re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("Reports, to sinks of form `reports`", "report.schema.json"),
        ("Counts, to sinks of form `counts`", "counts.schema.json"),
    ],
    ids=["reports", "counts"],
)
def test_the_page_of_what_leaves_has_each_field_and_no_other(heading: str, schema: str) -> None:
    """Its tables are the shipped schemas, word for word where a field is one of a few."""
    page = (ACCOUNTS / "what-leaves.md").read_text(encoding="utf-8")
    fields = json.loads((PROJECT / "scanner" / schema).read_text())["$defs"]["body"]["properties"]
    told = table_below(page, heading)

    assert told.keys() == fields.keys()
    for name, field in fields.items():
        words = [word for word in field.get("enum", ()) if word is not None]
        if name != "kind":  # counts say matches and withdrawals
            assert [word for word in words if f"`{word}`" not in told[name]] == []


def test_the_page_of_what_leaves_names_what_a_key_does_not_cover() -> None:
    """What lies in the clear beside the databases is what `hashward storage show` says."""
    from scanner import storage

    page = (ACCOUNTS / "what-leaves.md").read_text(encoding="utf-8")

    assert set(storage.IN_THE_CLEAR) == {
        (name, what.strip()) for name, what in table_below(page, "What stays, and in what form").items()
    }


@pytest.mark.parametrize("page", sorted(ACCOUNTS.glob("*.md")), ids=lambda page: page.stem)
def test_settings_and_commands_on_the_pages_exist(page: Path, root: click.Command, readme: str) -> None:
    """Nothing is promised by a setting or command that is not there; README leads to each page."""
    from scanner import config

    text = page.read_text(encoding="utf-8")
    settings = {one.name for one in config.SETTINGS}
    tables = {one.table for one in config.SETTINGS}
    files = {"ledger.db", "hashsets.db", "audit.log", "health.json", "manifest.json", "manifest.sig"}
    named = set(re.findall(r"`([a-z0-9_]+\.[a-z0-9_]+)`", text)) - files
    every = [path for path, _ in docs.commands(root)]
    called = re.findall(r"`(hashward [a-z ]+?)(?: -[^`]*)?`", text)

    assert named - settings == set()
    assert set(re.findall(r"`\[\[?([a-z0-9]+)\]\]?`", text)) - tables == set()
    assert [words for words in called if not any(f"{path} ".startswith(f"{words} ") for path in every)] == []
    assert f"(scanner/accountability/pages/{page.name})" in readme


class TestTheReferenceItself:
    """The script that makes the reference, on a command tree of its own."""

    @staticmethod
    def tree() -> click.Group:
        """Two commands, one in a group."""
        top, group = click.Group("hashward"), click.Group("root", help="Roots.")
        group.add_command(
            click.Command("add", help="Add a root.\n\nMore.", params=[click.Argument(["path"], metavar="PATH")])
        )
        top.add_command(group)
        top.add_command(
            click.Command("scan", help="Scan a|b.", params=[click.Option(["--json"], is_flag=True, help="As JSON.")])
        )
        return top

    def test_it_lists_nested_commands_and_options(self) -> None:
        """A command of a group is listed by all its words, and a bar does not break the table."""
        made = docs.command_reference(self.tree())

        assert "| `hashward root add PATH` | Add a root. |" in made
        assert "| `hashward scan` | Scan a\\|b. |" in made
        assert "- `--json`: As JSON." in made

    def test_a_command_without_help_is_refused(self) -> None:
        """The reference cannot be made with a gap."""
        tree = self.tree()
        tree.add_command(click.Command("mystery"))

        with pytest.raises(docs.DocsError, match="no help"):
            docs.command_reference(tree)

    def test_text_without_markers_is_refused(self) -> None:
        """A README without the markers is a fault, not a README with nothing to rewrite."""
        with pytest.raises(docs.DocsError, match="made by"):
            docs.between("no markers", docs.COMMANDS)
