"""The pages for platforms: every snippet parses, every setting and every command named in it exists."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from scanner.cli import main
from scanner.config import Home, parse

PROJECT = Path(__file__).resolve().parents[3]
PAGES = sorted((PROJECT / "scanner" / "doors" / "pages").glob("*.md"))
SNIPPET = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLATFORMS = (
    "discourse", "django", "fastapi", "lemmy-pict-rs", "mastodon", "matrix-synapse", "nextcloud", "s3-minio", "squid",
    "tusd",
)  # fmt: skip


def snippets(page: Path, *languages: str) -> list[str]:
    """The snippets of a page in these languages."""
    found = SNIPPET.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def test_there_is_a_page_for_each_platform_and_readme_links_it() -> None:
    """And none that nobody finds."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")

    assert PLATFORMS == tuple(page.stem for page in PAGES)
    assert [page for page in PLATFORMS if f"(scanner/doors/pages/{page}.md)" not in readme] == []


@pages
def test_its_configuration_is_one(page: Path) -> None:
    """Each TOML snippet is read as hashward reads its file: an unknown setting is an error."""
    for text in snippets(page, "toml"):
        parse(text.encode(), Path("/"), Home(Path("/nowhere")))


@pages
def test_its_other_snippets_parse(page: Path) -> None:
    """Python, JSON and YAML by their parsers, shell by bash; every snippet says its language."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: `make test` installs it")
    found = SNIPPET.findall(page.read_text(encoding="utf-8"))
    for text in snippets(page, "python"):
        ast.parse(text)
    for text in snippets(page, "json"):
        json.loads(text)
    for text in snippets(page, "yaml"):
        yaml.safe_load(text)
    for text in snippets(page, "sh"):
        subprocess.run(["bash", "-n"], input=text.encode(), check=True, timeout=60)

    known = {"toml", "python", "json", "yaml", "sh", "js", "squid", "ruby", "text"}

    assert {language for language, _ in found} <= known


@pages
def test_its_commands_exist(page: Path) -> None:
    """Every `hashward ...` in a shell snippet or in the text names a command that is there, and options it has."""
    text = page.read_text(encoding="utf-8")
    lines = [line for snippet in snippets(page, "sh") for line in snippet.splitlines() if line.startswith("hashward ")]
    lines += re.findall(r"`(hashward [^`]+)`", SNIPPET.sub("", text))
    for line in lines:
        command: click.Command = main
        words = shlex.split(line)[1:]
        while isinstance(command, click.Group):
            assert words, line
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


@pages
def test_it_names_how_its_client_fails(page: Path) -> None:
    """What happens while hashward is down, or cannot judge: nobody should find out by accident."""
    text = page.read_text(encoding="utf-8")

    assert "is down" in text or "without a hook" in text


@pages
def test_the_classes_it_names_exist(page: Path) -> None:
    """Dotted names of ours lead to a module, and to a name defined in it."""
    text = page.read_text(encoding="utf-8")
    for module, name in re.findall(r"scanner\.clients\.(\w+)\.(\w+)", text):
        source = (PROJECT / "scanner" / "clients" / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {name}\b", source, re.MULTILINE), f"{module}.{name}"
    for module, names in re.findall(r"from scanner\.clients\.(\w+) import ([\w, ]+)", text):
        source = (PROJECT / "scanner" / "clients" / f"{module}.py").read_text(encoding="utf-8")
        for name in names.split(", "):
            assert re.search(rf"^(class|def) {name}\b", source, re.MULTILINE), f"{module}.{name}"


def test_mastodons_program_gives_back_what_it_took_away(tmp_path: Path) -> None:
    """A walk in between has met the file under its new name, so the release names that; twice does nothing."""
    program = next(text for text in snippets(PROJECT / "scanner/doors/pages/mastodon.md", "python"))
    file, held = tmp_path / "a.png", tmp_path / "a.png.held"
    file.write_bytes(b"x")

    def there_after(verb: str, path: Path) -> list[Path]:
        action = json.dumps({"id": 1, "verb": verb, "path": str(path)})
        subprocess.run([sys.executable, "-c", program], input=action.encode(), check=True, timeout=60)
        return sorted(tmp_path.iterdir())

    assert [[held]] * 3 == [there_after("restrict", file), there_after("restrict", held), there_after("review", file)]
    assert [[file]] * 2 == [there_after("release", held), there_after("release", file)]


def test_the_javascript_parses(tmp_path: Path) -> None:
    """By Node, where there is one."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed: `.ci/run` installs it")
    for page in PAGES:
        for text in snippets(page, "js"):
            file = tmp_path / "snippet.mjs"
            file.write_text(text)
            subprocess.run([node, "--check", str(file)], check=True, timeout=60)
