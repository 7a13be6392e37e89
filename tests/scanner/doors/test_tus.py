"""tusd's hooks: what is refused stays refused, parts are not judged, and a path leads nowhere it should not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.doors import tus_hooks
from scanner.doors.answers import Answer, Undecided, undecidable
from scanner.doors.s3_objects import Gone
from scanner.doors.tus_hooks import BadHook, InBucket, InFile
from scanner.ledger import Place, assets
from scanner.ledger.assets import UPLOADS
from scanner.ledger.locations import address
from scanner.serve_config import Access
from tests.scanner.doors.faces import Face

LISTED = b"a listed picture"
CANARY = "canary-name-7f3a"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where tusd keeps uploads."""
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def face(tmp_path: Path, data: Path) -> Iterator[Face]:
    """A door that may open what lies there."""
    made = Face(tmp_path / "home", LISTED, roots=(bytes(data),), max_bytes=1000)
    yield made
    made.ledger.close()


def hook(kind: str, storage: Any = None, *, id_: str = "u1", **upload: Any) -> dict[str, Any]:
    """A hook as tusd 2.9 sends it."""
    said = {
        "ID": id_,
        "Size": 10,
        "SizeIsDeferred": False,
        "Offset": 10,
        "MetaData": {"filename": CANARY},
        "IsPartial": False,
        "IsFinal": False,
        "PartialUploads": None,
        "Storage": storage,
    }
    request = {"Method": "PATCH", "URI": "/files/u1", "RemoteAddr": "192.0.2.7:1", "Header": {"Host": ["x"]}}
    return {"Type": kind, "Event": {"Upload": said | upload, "HTTPRequest": request}}


def in_file(path: Path, content: bytes) -> dict[str, Any]:
    """An upload that lies in a file."""
    path.write_bytes(content)
    return {"Type": "filestore", "Path": str(path), "InfoPath": f"{path}.info"}


def ask(face: Face, said: dict[str, Any], path: str = "/v1/tus") -> Any:
    """What tusd is told: the reply's object."""
    answer = face.client.post(path, json=said)
    assert 200 == answer.status_code
    assert "application/json" == answer.headers["content-type"]
    assert len(answer.content) <= 5120
    return answer.json()


def refused_with(reply: Any) -> int | None:
    """The status tusd gives its client; None where it goes on."""
    return reply["HTTPResponse"]["StatusCode"] if reply else None


def test_clear_goes_on_and_what_matches_is_refused_with_422(face: Face, data: Path) -> None:
    """Never with a status that makes a client try again and report success."""
    clear = ask(face, hook("pre-finish", in_file(data / "u1", b"a picture!")))
    blocked = ask(face, hook("pre-finish", in_file(data / "u2", LISTED), id_="u2", Size=len(LISTED)))

    assert {} == clear
    assert 422 == refused_with(blocked)
    assert "Policy.Blocked.7F3K2Q" == json.loads(blocked["HTTPResponse"]["Body"])["name"]
    assert {b"u1": b"a picture!", b"u2": LISTED} == face.intake.refs


def test_what_was_refused_stays_refused(face: Face, data: Path) -> None:
    """Asked again about the same upload, whatever lies there by now; until the platform has deleted it."""
    stored = in_file(data / "u1", LISTED)
    first = ask(face, hook("pre-finish", stored, Size=len(LISTED)))
    (data / "u1").write_bytes(b"harmless by now!")
    again = ask(face, hook("pre-finish", stored, Size=16))
    ask(face, hook("post-terminate", stored))
    after = ask(face, hook("pre-finish", stored, Size=16))

    assert [422, 422, None] == [refused_with(each) for each in (first, again, after)]


def test_only_what_this_listener_brought_is_forgotten_when_it_says_so(face: Face, data: Path) -> None:
    """Whoever reaches the hook may not erase what came by another door, nor claim it by asking about it."""
    asset = Place(UPLOADS, b"of-another-door")
    with face.ledger.db.write():
        assets.put(face.ledger.db, address(face.ledger.locations, asset.root_id, asset.key), walk=0)
    face.intake.refs[asset.key] = b"x"
    face.ledger.refusals.remember(b"refused-elsewhere", "2026-11-22")
    for name in ("of-another-door", "refused-elsewhere", "own"):
        ask(face, hook("pre-finish", in_file(data / "f", b"0123456789"), id_=name))
        ask(face, hook("post-terminate", in_file(data / "f", b"0123456789"), id_=name))

    assert {b"of-another-door"} == face.intake.refs.keys()
    assert face.ledger.refusals.holds(b"refused-elsewhere")
    assert not face.ledger.refusals.is_of(b"own", "http")


def test_parts_are_not_judged_and_the_whole_is(face: Face, data: Path) -> None:
    """A part of a concatenation matches nothing; what was put together counts."""
    part = ask(face, hook("pre-finish", in_file(data / "p", LISTED), IsPartial=True, Size=len(LISTED)))
    final = ask(face, hook("pre-finish", in_file(data / "f", LISTED), IsFinal=True, id_="f", Size=len(LISTED)))

    assert [None, 422] == [refused_with(each) for each in (part, final)]


@pytest.mark.parametrize("on_undecidable", ["error", "found", "ok"])
def test_what_cannot_be_judged_is_refused_unless_it_may_pass(tmp_path: Path, data: Path, on_undecidable: str) -> None:
    """An error would be a success by the client's own rules: so it is refused for good."""
    face = Face(tmp_path / "home", roots=(bytes(data),), on_undecidable=on_undecidable)
    face.intake.answers[b"0123456789"] = undecidable(Undecided.BUSY)
    reply = ask(face, hook("pre-finish", in_file(data / "u1", b"0123456789")))
    face.ledger.close()

    assert (None if on_undecidable == "ok" else 422) == refused_with(reply)


def test_a_file_shorter_than_the_upload_is_cut(face: Face, data: Path) -> None:
    """What was declared is what counts; a match in what is there is still a match."""
    assert 422 == refused_with(ask(face, hook("pre-finish", in_file(data / "u1", b"short"), Size=10)))
    assert 422 == refused_with(ask(face, hook("pre-finish", in_file(data / "u2", LISTED), id_="u2", Size=1000)))


def test_paths_out_of_the_roots_are_not_opened(face: Face, data: Path, tmp_path: Path) -> None:
    """Neither by name, nor by dots, nor by a link; what they hold is judged for nobody."""
    (tmp_path / "secret").write_bytes(b"0123456789")
    (data / "link").symlink_to(tmp_path / "secret")
    (data / "up").symlink_to(tmp_path)
    (data / "folder").mkdir()
    paths = ["/etc/hostname", f"{data}/../secret", f"{data}/link", f"{data}/up/secret", f"{data}/folder", "data/u1"]
    paths += [f"{data}/none", f"{data}/\x00", str(data), "/"]
    replies = [ask(face, hook("pre-finish", {"Type": "filestore", "Path": path}, id_=path)) for path in paths]

    assert [422] * len(paths) == [refused_with(reply) for reply in replies]
    assert [] == face.intake.seen


def test_a_root_behind_a_link_is_the_same_root(face: Face, data: Path, tmp_path: Path) -> None:
    """tusd may know the folder by another name."""
    (tmp_path / "alias").symlink_to(data)
    (data / "u1").write_bytes(b"0123456789")

    assert {} == ask(face, hook("pre-finish", {"Type": "filestore", "Path": str(tmp_path / "alias" / "u1")}))


@pytest.mark.parametrize("storage", [None, {}, {"Type": "gcsstore", "Bucket": "b", "Key": "k"}, "x", 3])
def test_storage_that_cannot_be_read_from_here_is_undecidable(face: Face, storage: Any) -> None:
    """And so is a bucket where no store is configured."""
    assert 422 == refused_with(ask(face, hook("pre-finish", storage)))
    assert 422 == refused_with(ask(face, hook("pre-finish", {"Type": "s3store", "Bucket": "b", "Key": "k"}, id_="u2")))


def test_an_object_that_is_not_there_is_refused_and_no_fault(tmp_path: Path) -> None:
    """A server that is told of a fault lets its client try again, which finds every byte in place."""

    class Empty:
        async def judge(self, *_: object, **_more: object) -> tuple[Answer, bool]:
            raise Gone

    face = Face(tmp_path / "home", objects=Empty())
    said = ask(face, hook("pre-finish", {"Type": "s3store", "Bucket": "b", "Key": "k"}))
    face.ledger.close()

    assert 422 == refused_with(said)


def test_before_it_begins(face: Face) -> None:
    """Too long, or not ready: refused before a byte is sent."""
    large = ask(face, hook("pre-create", None, id_="", Size=1001))
    fine = ask(face, hook("pre-create", None, id_="", Size=1000))
    unknown = ask(face, hook("pre-create", None, id_="", SizeIsDeferred=True, Size=0))
    face.intake.ready = False
    unready = ask(face, hook("pre-create", None, id_="", Size=10))

    assert [413, None, None, 503] == [refused_with(each) for each in (large, fine, unknown, unready)]
    assert [True, True] == [each["RejectUpload"] for each in (large, unready)]


def test_an_empty_upload_goes_on(face: Face) -> None:
    """There is nothing in it to judge."""
    assert {} == ask(face, hook("pre-finish", None, Size=0))


@pytest.mark.parametrize("kind", ["post-finish", "post-create", "post-receive", "something-new"])
def test_other_hooks_go_on(face: Face, kind: str) -> None:
    """Also those a later version may have."""
    assert {} == ask(face, hook(kind))


def test_applications_ask_whether_an_upload_may_be_kept(face: Face) -> None:
    """What was never judged, or refused, is not known."""
    face.ledger.refusals.remember(b"bad", "2026-11-22")

    assert [404, 404] == [face.client.get(f"/v1/tus/uploads/{each}").status_code for each in ("bad", "unknown")]


def test_a_token_in_the_path_lets_in_and_nothing_else_does(tmp_path: Path, data: Path) -> None:
    """tusd sends no header of its own."""
    face = Face(tmp_path / "home", access=Access.TOKEN, roots=(bytes(data),))
    token = face.ledger.tokens.add("tusd", ["scan"], "2026-11-22")
    said = hook("pre-finish", in_file(data / "u1", b"0123456789"))
    bare, wrong = face.client.post("/v1/tus", json=said), face.client.post("/v1/tus/wrong", json=said)
    right = face.client.post(f"/v1/tus/{token}", json=said)
    face.ledger.close()

    assert [401, 401, 200] == [bare.status_code, wrong.status_code, right.status_code]
    assert [b"0123456789"] == face.intake.seen


BAD: list[bytes] = [
    b"",
    b"[]",
    b"{}",
    b"null",
    b'{"Type": 3, "Event": {"Upload": {}}}',
    b'{"Type": "pre-finish", "Event": {"Upload": {"ID": 3}}}',
    b'{"Type": "pre-finish", "Event": {"Upload": {"Size": -1}}}',
    b'{"Type": "pre-finish", "Event": {"Upload": {"Size": true}}}',
    b'{"Type": "pre-finish", "Event": {"Upload": {"IsPartial": "no"}}}',
    b'{"Type": "pre-finish", "Event": {"Upload": {"ID": "\\ud800"}}}',
    b"[" * 100_000,
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_is_no_hook_is_refused(face: Face, body: bytes) -> None:
    """400, and nothing of it is repeated."""
    assert 400 == face.client.post("/v1/tus", content=body).status_code


def test_a_hook_too_long_is_refused(face: Face) -> None:
    """Before it is parsed."""
    assert 413 == face.client.post("/v1/tus", content=b"x" * (tus_hooks.MAX_HOOK_BYTES + 1)).status_code


NAMES = st.sampled_from(["Type", "Event", "Upload", "ID", "Size", "Storage", "Path", "Bucket", "Key", "IsPartial"])
VALUES = st.none() | st.booleans() | st.integers() | st.text()


def test_an_id_that_begins_like_an_upload_without_one_is_none() -> None:
    """It would be taken for a digest, and stand in a sealed ledger as it is."""
    hook = {"Type": "pre-finish", "Event": {"Upload": {"ID": "\0canary", "Size": 1}}}
    with pytest.raises(BadHook):
        tus_hooks.parse(json.dumps(hook).encode())


@given(st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_parsing_ends_in_a_hook_or_in_no_hook(said: Any) -> None:
    """Whatever JSON comes."""
    try:
        parsed = tus_hooks.parse(json.dumps(said).encode())
    except BadHook:
        return

    assert isinstance(parsed.type, str)


def test_where_an_upload_lies() -> None:
    """As tusd and as @tus/server write it."""

    def storage(**said: str) -> object:
        return tus_hooks.parse(json.dumps(hook("pre-finish", said)).encode()).storage

    assert InFile(b"/d/x") == storage(Type="filestore", Path="/d/x")
    assert InFile(b"/d/x") == storage(type="file", Type="file", Path="/d/x")
    assert InBucket("b", "k") == storage(Type="s3store", Bucket="b", Key="k")
