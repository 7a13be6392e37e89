"""The report's page: nothing is fetched, nothing runs, and a browser shows it at the width of a telephone."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scanner.accountability.charts import chart
from scanner.accountability.document import Count, Document, Row, Section, Table
from scanner.accountability.page import page
from scanner.accountability.periods import Period
from scanner.accountability.suppression import Counts

LOADING = ("src", "srcset", "style", "data", "action", "background", "xlink:href")
CHROMIUM = shutil.which("chromium")


def document(hidden: frozenset[str] = frozenset()) -> Document:
    """A report of one table that has a chart."""
    counts = Counts({"a": 3, "b": 40, "all": 43}, [("all", ("a", "b"))])
    rows = (Row(("<b>a</b>",), (Count("a"),)), Row(("b",), (Count("b"),)), Row(("all",), (Count("all"),), total=True))
    table = Table("by_list", "By list", ("list",), ("contents",), rows, "A note.", ("by_list",))
    period = Period("2100-01-01", "2100-03-31")
    section = Section("4", "Identified", ("A text.",), (table,))
    return Document("An operator", (), period, "2100-04-02", 5, (section,), (), counts, hidden)


class Fetched(HTMLParser):
    """Everything a page asks for, and every place that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note elements that load or run, and attributes that do."""
        if tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "use"):
            self.found.append((tag, "", None))
        for name, value in attrs:
            if name.startswith("on") or name in (
                "src",
                "srcset",
                "style",
                "data",
                "action",
                "background",
                "xlink:href",
            ):
                self.found.append((tag, name, value))
            if name == "href" and not (value or "").startswith("#s"):
                self.found.append((tag, name, value))


def test_the_page_fetches_and_runs_nothing() -> None:
    """No element or attribute that loads or runs, no url() in its style, and a policy that forbids it all the same."""
    made, seen = page(document()), Fetched()
    seen.feed(made)

    assert [] == seen.found
    assert not re.search(r"url\(|@import|https?:", made.replace("http-equiv", ""))
    assert "default-src 'none'; style-src 'sha256-" in made
    assert "&lt;b&gt;a&lt;/b&gt;" in made
    assert "<b>" not in made


def test_a_chart_shows_no_bar_of_what_is_withheld() -> None:
    """A withheld figure has a dashed mark of one size, whatever it is; the others have bars."""
    (table,) = document().sections[0].tables
    open_, hidden = ("".join(chart(document(what), table)) for what in (frozenset[str](), frozenset({"a", "b"})))
    other = document(frozenset({"a"}))
    other.counts.values["a"] = 4

    assert (2, 0) == (open_.count('class="s0"'), open_.count('class="hid"'))
    assert "" == hidden  # nothing of it may be shown
    assert "".join(chart(document(frozenset({"a"})), table)) == "".join(chart(other, table))


# Framed by another file, as the page itself allows no script: how wide it is then stands where --dump-dom shows it.
FRAME = """<!DOCTYPE html><iframe id="f" src="page.html" width="390" height="800" style="border: 0"></iframe><script>
addEventListener("load", () => {
  const inside = document.getElementById("f").contentDocument.documentElement;
  document.body.dataset.wide = inside.scrollWidth;
  document.body.dataset.ink = getComputedStyle(inside.querySelector("h1")).fontSize;
});</script>"""


def browser(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Headless Chromium over files of a folder."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt install chromium)")
    usual = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--allow-file-access-from-files",
    )
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run([CHROMIUM, *usual, profile, *words], capture_output=True, text=True, timeout=200)


def test_a_browser_shows_it_at_the_width_of_a_telephone(tmp_path: Path) -> None:
    """In headless Chromium nothing is wider than 390 points but what scrolls by itself, and the style takes effect."""
    made = document()
    table = made.sections[0].tables[0]
    long = replace(table, rows=(*table.rows, Row(("x" * 300,), (Count("a"),))))
    wide = replace(made, sections=(Section("4", "T", ("y" * 300,), (long,)),))
    (tmp_path / "page.html").write_text(page(wide))
    (tmp_path / "frame.html").write_text(FRAME)

    done = browser(tmp_path, "--virtual-time-budget=10000", "--dump-dom", (tmp_path / "frame.html").as_uri())

    assert 'data-wide="390"' in done.stdout, done.stderr
    assert 'data-ink="24px"' in done.stdout  # the heading as the style for narrow pages has it
    assert "Content Security Policy" not in done.stderr


def test_a_browser_pictures_it(tmp_path: Path) -> None:
    """A picture and a printed page come out of it."""
    (tmp_path / "page.html").write_text(page(document()))
    address = (tmp_path / "page.html").as_uri()
    picture, paper = tmp_path / "page.png", tmp_path / "page.pdf"
    one = browser(tmp_path, "--window-size=390,800", f"--screenshot={picture}", address)
    two = browser(tmp_path, f"--print-to-pdf={paper}", address)

    assert picture.read_bytes().startswith(b"\x89PNG"), one.stderr
    assert paper.read_bytes().startswith(b"%PDF"), two.stderr
