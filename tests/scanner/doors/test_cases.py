"""POST /v1/cases/{id}/outcome: what a reviewer's tool sends, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scanner.accountability.levels import Level
from tests.scanner.accountability.people import Office
from tests.scanner.doors.faces import Face

SAID = {"outcome": "confirmed", "reason": "listed_material", "by": "ann", "viewed_by_person": True}


class Desk:
    """An open listener over a home with a case, and a token that may say what people found."""

    def __init__(self, home: Path) -> None:
        self.office = Office(home)
        self.case = self.office.case("near")
        self.face = Face(home)
        self.face.door.reviews = self.office.reviews
        self.token = self.face.ledger.tokens.add("tool", ["cases"], "2100-01-01")

    def say(
        self,
        said: Any = None,
        *,
        case: str | None = None,
        token: str | None = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Send an outcome."""
        sent = {"Authorization": f"Bearer {token or self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        content = json.dumps(SAID if said is None else said).encode() if raw is None else raw
        return self.face.client.post(f"/v1/cases/{case or self.case.id}/outcome", content=content, headers=sent)

    def words(self) -> list[str]:
        """What is on record of the case."""
        return [word.kind for word in self.office.cases.show(self.case.id)[1]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One case."""
    made = Desk(tmp_path / "home")
    yield made
    made.face.ledger.close()
    made.office.close()


def test_two_reviewers_decide_a_case(desk: Desk) -> None:
    """The reply says how the case stands, and nothing of what it is about."""
    first = desk.say()
    second = desk.say(SAID | {"by": "abe", "viewed_by_person": False})

    assert {"case": desk.case.id, "state": "proposed", "level": "analyst", "round": 1, "outcome": None} == first.json()
    assert ("decided", "confirmed") == (second.json()["state"], second.json()["outcome"])


def test_the_same_again_changes_nothing(desk: Desk) -> None:
    """A tool that heard no answer sends again, with its key or without, before the decision and after it."""
    for _ in range(3):
        assert 200 == desk.say(Idempotency_Key="7f").status_code
        assert 200 == desk.say().status_code
    desk.say(SAID | {"by": "abe"})

    assert 200 == desk.say(Idempotency_Key="7f").status_code
    assert ["opened", "proposed", "proposed", "decided"] == desk.words()


def test_a_token_with_the_scope_is_needed_even_where_all_else_is_open(desk: Desk) -> None:
    """None, one of another scope, and one that is none get 401, and nothing is on record."""
    other = desk.face.ledger.tokens.add("scanner", ["scan", "metrics"], "2100-01-01")
    bare = desk.face.client.post(f"/v1/cases/{desk.case.id}/outcome", content=json.dumps(SAID))

    assert [401, 401, 401] == [bare.status_code, desk.say(token=other).status_code, desk.say(token="hw_x").status_code]
    assert ["opened"] == desk.words()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (SAID | {"by": "nobody"}, 403),
        (SAID | {"by": "pam"}, 403),
        (SAID | {"reason": "wrong_entry"}, 400),
        (SAID | {"outcome": "not_confirmed", "reason": "other_picture", "viewed_by_person": False}, 400),
        (SAID | {"outcome": "guilty"}, 400),
        (SAID | {"viewed_by_person": 1}, 400),
        (SAID | {"viewed_by_person": "true"}, 400),
        (SAID | {"by": "Ann\n"}, 400),
        (SAID | {"by": ["ann"]}, 400),
        (SAID | {"outcome": ["confirmed"]}, 400),
        (SAID | {"picture": "x"}, 400),
        ({"outcome": "confirmed"}, 400),
        ([], 400),
        (None, 400),
    ],
    ids=str,
)
def test_what_cannot_be_taken_is_refused_and_leaves_nothing(desk: Desk, said: object, status: int) -> None:
    """With a sentence that repeats nothing that was sent."""
    reply = desk.say(raw=b"null" if said is None else json.dumps(said).encode())

    assert status == reply.status_code
    assert ["detail"] == list(reply.json())
    assert "guilty" not in reply.text
    assert ["opened"] == desk.words()


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 4000, b'{"by": "ann", "by": "abe"}'], ids=len)
def test_what_is_no_json_is_refused(desk: Desk, raw: bytes) -> None:
    """Nor does a body that is too long come further than its length."""
    assert 400 == desk.say(raw=raw).status_code
    assert 413 == desk.say(raw=b" " * 5000).status_code


def test_unknown_cases_and_contradictions_are_told_apart(desk: Desk) -> None:
    """404 for no case, 409 for a decided one and for a key that stands for something else."""
    unknown = [desk.say(case=case).status_code for case in ("case-2222222222", "x", "case-%00", "case-" + "2" * 300)]
    desk.say(Idempotency_Key="a")
    other = desk.say(SAID | {"viewed_by_person": False}, Idempotency_Key="a")
    desk.say(SAID | {"by": "abe"})
    late = desk.say(SAID | {"by": "amy"})

    assert [404] * 4 == unknown
    assert [409, 409] == [other.status_code, late.status_code]
    assert 400 == desk.say(Idempotency_Key="a" * 256).status_code


def test_what_an_appeal_finds_comes_back_the_same_way(desk: Desk) -> None:
    """A senior's tool overturns what analysts decided, and the report is withdrawn."""
    from scanner.accountability.levels import Origin

    desk.say()
    desk.say(SAID | {"by": "abe"})
    desk.office.appeals.of_case(desk.case.id, Origin.APPEAL)
    none = {"outcome": "not_confirmed", "reason": "other_picture", "viewed_by_person": True}
    replies = [desk.say(none | {"by": who}).json() for who in ("sue", "sid")]

    assert [("proposed", 2), ("decided", 2)] == [(each["state"], each["round"]) for each in replies]
    assert Level.SENIOR.value == replies[-1]["level"]
    assert ("withdrawal", "near", "appeal") in desk.office.site.said()
