"""The page for users: made from the configuration in force, so that it changes with it and promises nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashsets.store import Store
from hashsets.types import HashSet, Mode, Role
from scanner.accountability import notice
from scanner.config import Home, parse
from tests.command import Hashward

SINK = '[[sink]]\nname = "provider"\nkind = "http"\nurl = "https://canary.example/in"\nhash_sets = ["listed"]\n'


@pytest.fixture
def hash_sets(tmp_path: Path) -> list[HashSet]:
    """One list in force, one in shadow, and sets that users are not told of."""
    with Store.open(tmp_path / "home") as store:
        store.create("listed", mode=Mode.ACTIVE)
        store.create("tried", mode=Mode.SHADOW)
        store.create("good", role=Role.KNOWN_GOOD)
        store.create("planted", role=Role.CANARY)
        return store.hash_sets()


def page(text: str, hash_sets: list[HashSet], *, roots: bool = False) -> str:
    """The page under a configuration."""
    config = parse(text.encode(), Path("/"), Home(Path("/nowhere")))
    return notice.markdown(notice.topics(config, hash_sets, roots=roots))


def test_it_names_the_lists_in_force_and_no_other_set(hash_sets: list[HashSet]) -> None:
    """What is compared, what each list is for, and that one on trial is one."""
    made = page('[transparency]\npurposes = ["listed=Material of children"]\n', hash_sets)

    assert "List listed: Material of children." in made
    assert "List tried: " in made
    assert 1 == made.count("on trial")
    assert "good" not in made
    assert "planted" not in made
    assert "no list is in force" in page("", [])


CHANGES = [
    ("", SINK, "something matched listed"),
    (SINK, SINK + 'form = "counts"\nk = 12\n', "never a number below 12"),
    ("", '[retain]\nunmatched = "none"\n', "did not match: not kept"),
    ("", "[retain]\nmatched = 365\n", "what matched: kept for 365 days"),
    ("", '[transparency]\nservices = ["Example"]\n', "Services: Example."),
    ("", '[transparency]\ncontact = "help at example"\n', "Write to: help at example."),
    ("", "[requests]\nnotice_days = 7\n", "within 7 days"),
    ("", "[requests]\ncivil = true\n", "Civil requests are answered too."),
    ("", '[fingerprint]\norientations = "all8"\n', "turned and mirrored"),
    ("", '[actions]\nsocket = "/canary"\nnear = "restrict"\n', "one that looks alike is restricted"),
    ("", '[storage]\nkey_file = "/canary"\n', "encrypted on the disk"),
    (
        "",
        '[[serve.listener]]\nkind = "http"\naddress = "127.0.0.1:1"\non_match = "accept"\n',
        "taken in first and compared after that",
    ),
]


@pytest.mark.parametrize(("before", "after", "says"), CHANGES, ids=[says for _, _, says in CHANGES])
def test_it_follows_the_configuration(before: str, after: str, says: str, hash_sets: list[HashSet]) -> None:
    """Each setting that concerns users is in it once it is set, and was not before."""
    assert says not in page(before, hash_sets)
    assert says in page(after, hash_sets)
    assert "canary" not in page(after, hash_sets)  # no path, no address


def test_what_is_stored_is_said_to_be_scanned_where_it_is(hash_sets: list[HashSet]) -> None:
    """Uploads alone, or storage too."""
    assert "again and again" in page("", hash_sets, roots=True)
    assert "again and again" not in page("", hash_sets)


def test_names_stay_names(hash_sets: list[HashSet]) -> None:
    """What an operator wrote is no markup and makes no line of its own."""
    made = page('[transparency]\nservices = ["<script>x</script>", "[a](b)"]\n', hash_sets)

    assert "<script" not in made
    assert "\\[a](b)" in made


def test_the_command_prints_it(hashward: Hashward) -> None:
    """As a page, and for programs as sentences by heading; both the same."""
    text, found = hashward("notice"), hashward.json("notice")

    assert 0 == text.code
    assert [line.removeprefix("## ") for line in text.out.splitlines() if line.startswith("## ")] == list(found)
    assert all(found.values())
    assert "no list is in force" in text.out


@pytest.fixture
def hashward(tmp_path: Path) -> Hashward:
    """The command over a home of its own."""
    return Hashward(tmp_path / "home")
