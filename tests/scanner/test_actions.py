"""Actions: the operator's own system hears what to do about what it holds, at least once, and nothing it need not."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hashsets.types import Bounds, Mode, Role
from scanner import actions
from scanner.action_config import ActionsConfig
from scanner.actions import Told
from scanner.errors import DeliveryError
from scanner.ledger.outbox import Occasion
from scanner.ledger.resolutions import Resolution
from scanner.ledger.speech import Mute
from scanner.types import Trigger
from tests.scanner.fakes import Site, entry_of, fake_media, pdq, sha256, sha256_entry

PICTURE = fake_media(pdq(1), comment="a picture")


@dataclass
class Platform:
    """The operator's own system, as a command: a script that keeps what it is told. It is down while `down` exists."""

    folder: Path
    config: ActionsConfig = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        script = self.folder / "act"
        script.write_text(f"#!/bin/sh\ncd {self.folder} || exit 1\n[ -e down ] && exit 1\ncat >>heard\n")
        script.chmod(0o700)
        self.config = ActionsConfig(command=(str(script),))

    def down(self, is_down: bool) -> None:
        """Go down, or come back."""
        (self.folder / "down").touch() if is_down else (self.folder / "down").unlink()

    def heard(self) -> list[dict[str, Any]]:
        """Everything it was told, without the ids."""
        path = self.folder / "heard"
        lines = path.read_text().splitlines() if path.exists() else []
        return [{key: said for key, said in json.loads(line).items() if key != "id"} for line in lines]

    def verbs(self) -> list[tuple[str, str, str]]:
        """(verb, ref or path, tier) of everything it was told."""
        return [(said["verb"], said.get("ref", said.get("path")), said["tier"]) for said in self.heard()]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A platform that is up."""
    return Platform(tmp_path / "platform")


@pytest.fixture(params=[False, True], ids=["readable", "sealed"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site that has met one upload, which nobody lists yet."""
    with Site(tmp_path / "home", sealed=request.param) as made:
        made.upload(PICTURE, b"upload-1")
        yield made


def act(site: Site, platform: Platform, *, now: bool = False) -> Told:
    """One round."""
    return actions.act(site.ledger, platform.config, site.clock, site.places, even_if_waiting=now)


def relist(site: Site, *, listed: bool) -> None:
    """List the picture, or take it back, and re-scan."""
    entry = sha256_entry(PICTURE, "r")
    site.list_entries("set", *([entry] * listed), removed=[] if listed else [entry.key])
    site.rescan()


def drawn(site: Site) -> list[tuple[str, str]]:
    """(verb, state) of every action, after drawing."""
    actions.draw(site.ledger, ActionsConfig(command=("/bin/true",)), site.clock)
    return [(item.verb.value, item.state) for item in site.ledger.actions.listed()]


def test_listed_later_is_restricted_and_withdrawn_is_released(site: Site, platform: Platform) -> None:
    """The whole job: a re-scan finds an old upload, the platform hears of its ref; the entry goes, so it hears that."""
    relist(site, listed=True)
    first, again = act(site, platform), act(site, platform)
    relist(site, listed=False)
    last = act(site, platform)
    told = platform.heard()

    assert [Told(delivered=1), Told(), Told(delivered=1)] == [first, again, last]
    assert [("restrict", "upload-1", "exact"), ("release", "upload-1", "exact")] == platform.verbs()
    assert {sha256(PICTURE).hex()} == {said["sha256"] for said in told}
    assert {"verb", "ref", "sha256", "tier", "media"} == told[0].keys()
    assert "image" == told[0]["media"]


def test_a_target_that_is_down_for_a_day_loses_nothing(site: Site, platform: Platform) -> None:
    """Every upload is told once it is back, and a restriction that was tried and withdrawn meanwhile is released."""
    for number in range(12):
        site.upload(PICTURE, b"more-%d" % number)
    platform.down(True)
    relist(site, listed=True)
    failed = 0
    for _ in range(24):
        site.clock.move(days=1 / 24)
        failed += act(site, platform).failed
    platform.down(False)
    site.clock.move(days=1)
    back = act(site, platform)

    assert failed > 12
    assert (13, 0) == (back.delivered, back.waiting)
    assert {"upload-1", *(f"more-{number}" for number in range(12))} == {ref for _, ref, _ in platform.verbs()}
    assert 13 == len(platform.verbs())


def test_a_target_that_is_down_is_not_asked_for_a_whole_queue(site: Site, platform: Platform) -> None:
    """After a few failures in a row a round ends; what waits is not tried again before its pause is over."""
    for number in range(12):
        site.upload(PICTURE, b"more-%d" % number)
    platform.down(True)
    relist(site, listed=True)
    rounds = [act(site, platform) for _ in range(3)]

    assert [(3, 10), (3, 10), (3, 10)] == [(told.failed, told.waiting) for told in rounds]


def test_what_was_never_tried_and_is_no_longer_true_is_never_told(site: Site, platform: Platform) -> None:
    """Listed and withdrawn between two rounds: the platform hears of neither."""
    relist(site, listed=True)
    assert [("restrict", "owed")] == drawn(site)
    relist(site, listed=False)

    assert [("restrict", "dropped")] == drawn(site)
    assert Told() == act(site, platform)
    assert [] == platform.verbs()


def test_what_was_tried_may_have_been_taken_so_it_is_released(site: Site, platform: Platform) -> None:
    """A restriction of which no answer came is not tried again once it is untrue: its release is."""
    platform.down(True)
    relist(site, listed=True)
    act(site, platform)
    relist(site, listed=False)
    platform.down(False)
    act(site, platform, now=True)

    assert [("release", "upload-1", "exact")] == platform.verbs()
    assert [("restrict", "dropped"), ("release", "delivered")] == drawn(site)


def test_two_lists_that_agree_ask_once_and_release_when_both_are_gone(site: Site, platform: Platform) -> None:
    """Withdrawing one of two leaves the restriction."""
    for name in ("one", "two"):
        site.list_entries(name, sha256_entry(PICTURE, name))
    site.rescan()
    act(site, platform)
    site.list_entries("one", removed=[sha256_entry(PICTURE).key])
    site.rescan()
    act(site, platform)
    one_left = platform.verbs()
    site.list_entries("two", removed=[sha256_entry(PICTURE).key])
    site.rescan()
    act(site, platform)

    assert [("restrict", "upload-1", "exact")] == one_left
    assert [("restrict", "upload-1", "exact"), ("release", "upload-1", "exact")] == platform.verbs()


def test_a_near_match_asks_for_review_and_an_exact_one_makes_it_a_restriction(site: Site, platform: Platform) -> None:
    """And back again, once only the near one is left."""
    site.list_entries("near", entry_of(pdq(1, 5), ref="n"))
    site.rescan()
    act(site, platform)
    relist(site, listed=True)
    act(site, platform)
    relist(site, listed=False)
    act(site, platform)

    assert [("review", "near"), ("restrict", "exact"), ("review", "near")] == [
        (verb, tier) for verb, _, tier in platform.verbs()
    ]


def test_a_shadow_set_asks_for_nothing(site: Site, platform: Platform) -> None:
    """Its matches are recorded, and nobody is told before it is made active."""
    site.store.create("set", mode=Mode.SHADOW)
    relist(site, listed=True)
    shadow = act(site, platform), platform.verbs()
    site.store.set_mode("set", Mode.ACTIVE)
    site.rescan()
    act(site, platform)

    assert (Told(), []) == shadow
    assert [("restrict", "upload-1", "exact")] == platform.verbs()


def test_a_set_that_goes_into_shadow_stops_what_waits_and_releases_nothing(site: Site, platform: Platform) -> None:
    """What stands stays restricted; what was not told yet is not told."""
    relist(site, listed=True)
    act(site, platform)
    platform.down(True)
    site.upload(PICTURE, b"upload-2")
    act(site, platform)
    site.store.set_mode("set", Mode.SHADOW)
    site.rescan()
    platform.down(False)
    act(site, platform, now=True)

    assert [("restrict", "upload-1", "exact")] == platform.verbs()


def test_a_held_match_asks_for_nothing_until_it_is_resolved(site: Site, platform: Platform) -> None:
    """Listed and known good at once: a person decides first."""
    site.store.create("good", role=Role.KNOWN_GOOD)
    site.list_entries("good", sha256_entry(PICTURE, "g"))
    relist(site, listed=True)
    held = act(site, platform), platform.verbs()
    uid = site.hash_set("set").uid
    occasion = Occasion(Trigger.RESCAN, site.day)
    site.ledger.resolve(uid, sha256_entry(PICTURE).key, Resolution.REPORT, occasion)
    act(site, platform)
    site.ledger.resolve(uid, sha256_entry(PICTURE).key, Resolution.KNOWN_GOOD, occasion)
    act(site, platform)

    assert (Told(), []) == held
    assert ["restrict", "release"] == [verb for verb, _, _ in platform.verbs()]


def test_only_named_sets_ask_and_canaries_only_when_named(site: Site, platform: Platform) -> None:
    """By default every alert set; `hash_sets` narrows it and may add a canary."""
    site.store.create("canary", role=Role.CANARY)
    site.list_entries("canary", sha256_entry(PICTURE, "c"))
    site.rescan()
    by_default = act(site, platform), platform.verbs()
    platform.config = replace(platform.config, hash_sets=frozenset({"canary"}))
    site.upload(PICTURE, b"upload-2")
    act(site, platform)

    assert (Told(), []) == by_default
    assert {"upload-1", "upload-2"} == {ref for _, ref, _ in platform.verbs()}


def test_what_is_gone_is_not_restricted_but_released(site: Site, platform: Platform) -> None:
    """A forgotten upload needs no restriction; one that was restricted, and perhaps moved away for it, is released."""
    site.upload(PICTURE, b"gone-before")
    site.ledger.places.forget_upload(b"gone-before")
    relist(site, listed=True)
    act(site, platform)
    site.ledger.places.forget_upload(b"upload-1")
    relist(site, listed=False)
    act(site, platform)

    assert [("restrict", "upload-1", "exact"), ("release", "upload-1", "exact")] == platform.verbs()


def test_files_are_told_by_their_path(site: Site, platform: Platform, tmp_path: Path) -> None:
    """Of a root's file the path; one that is no UTF-8 comes in base64."""
    media = tmp_path / "media"
    media.mkdir()
    (media / "file").write_bytes(PICTURE)
    (Path(os.fsdecode(os.fsencode(media) + b"/\xff"))).write_bytes(PICTURE)
    relist(site, listed=True)
    site.scan(media)
    act(site, platform)
    said = platform.heard()

    assert str(media / "file") in [each.get("path") for each in said]
    assert 1 == sum("path_base64" in each for each in said)


def test_a_target_that_is_named_later_hears_what_stands(site: Site, platform: Platform) -> None:
    """Nothing was configured while things matched and were withdrawn: what is true now is told."""
    relist(site, listed=True)
    relist(site, listed=False)
    relist(site, listed=True)
    relist(site, listed=True)
    act(site, platform)

    assert [("restrict", "upload-1", "exact")] == platform.verbs()


def test_what_is_released_and_listed_again_is_restricted_again(site: Site, platform: Platform) -> None:
    """For every on an off, for every off an on."""
    for listed in (True, False, True, False):
        relist(site, listed=listed)
        act(site, platform)

    assert ["restrict", "release", "restrict", "release"] == [verb for verb, _, _ in platform.verbs()]


def test_one_process_tells_at_a_time(site: Site, platform: Platform) -> None:
    """A release cannot overtake its restriction: a second process leaves the telling to the first."""
    relist(site, listed=True)
    nested: list[Told] = []

    class Slow:
        def tell(self, action: bytes) -> None:
            nested.append(act(site, platform))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions, "target_of", lambda config: Slow())
        told = act(site, platform)

    assert (1, True) == (told.delivered, nested[0].elsewhere)


def test_every_row_stays_with_when_it_was_taken(site: Site, platform: Platform) -> None:
    """The record of what was asked for."""
    relist(site, listed=True)
    act(site, platform)
    (item,) = site.ledger.actions.listed()

    assert ("delivered", 1, site.clock.now_ns()) == (item.state, item.attempts, item.delivered_ns)


# -- targets -----------------------------------------------------------------------------------------------------------


def script(folder: Path, text: str) -> str:
    """An executable script."""
    path = folder / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [("exit 3", "ended in an error"), ("sleep 100", "too long"), ("kill -9 $$", "ended in an error")],
    ids=["error", "hangs", "dies"],
)
def test_a_command_that_fails_has_not_taken_it(tmp_path: Path, text: str, why: str) -> None:
    """Whatever ends it, and however long it would take; nothing of what it said is repeated."""
    with pytest.raises(DeliveryError, match=why):
        actions.CommandTarget((script(tmp_path, text),), 1.0).tell(b"{}\n")


def test_a_command_that_is_not_there_has_not_taken_it() -> None:
    """The error names no path."""
    with pytest.raises(DeliveryError, match="cannot be started") as caught:
        actions.CommandTarget(("/nowhere/at-all",), 1.0).tell(b"{}\n")

    assert "nowhere" not in str(caught.value)


def test_a_command_inherits_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the environment, and no open file."""
    monkeypatch.setenv("HASHWARD_CANARY", "secret")
    with (tmp_path / "open").open("wb") as held:
        os.set_inheritable(held.fileno(), True)
        actions.CommandTarget((script(tmp_path, f"env >{tmp_path}/env; ls /proc/self/fd >{tmp_path}/fds"),), 60.0).tell(
            b"{}\n"
        )

    assert "secret" not in (tmp_path / "env").read_text()
    assert str(held.fileno() if not held.closed else -1) not in (tmp_path / "fds").read_text().split()


def answering(folder: Path, answer: Callable[[bytes], bytes]) -> Path:
    """A Unix socket that answers one line."""
    path = folder / "s"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        talk, _ = server.accept()
        with talk, server:
            talk.sendall(answer(talk.recv(65_536)))

    threading.Thread(target=serve, daemon=True).start()
    return path


def test_a_socket_that_says_ok_has_taken_it(tmp_path: Path) -> None:
    """One line there, one back."""
    got: list[bytes] = []
    path = answering(tmp_path, lambda line: got.append(line) or b"ok\n")
    actions.SocketTarget(path, 60.0).tell(b'{"verb": "restrict"}\n')

    assert [b'{"verb": "restrict"}\n'] == got


@pytest.mark.parametrize("answer", [b"", b"no\n", b"ok, but not really\n"], ids=["nothing", "no", "more"])
def test_a_socket_that_says_anything_else_has_not(tmp_path: Path, answer: bytes) -> None:
    """Silence is no consent."""
    with pytest.raises(DeliveryError):
        actions.SocketTarget(answering(tmp_path, lambda line: answer), 60.0).tell(b"{}\n")


def test_a_socket_nobody_listens_on_has_not(tmp_path: Path) -> None:
    """Nor one that is not there."""
    with pytest.raises(DeliveryError):
        actions.SocketTarget(tmp_path / "none", 1.0).tell(b"{}\n")


class Receiver:
    """HTTP on loopback that answers with one status."""

    def __init__(self, status: int) -> None:
        self.bodies: list[bytes] = []
        self.tokens: list[str | None] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.tokens.append(self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize(("status", "takes"), [(200, True), (204, True), (302, False), (409, False), (500, False)])
def test_a_receiver_takes_it_by_a_2xx_alone(tmp_path: Path, status: int, takes: bool) -> None:
    """A redirect is not followed; the token comes from its file."""
    (tmp_path / "token").write_text("s3cret\n")
    with Receiver(status) as receiver:
        url = f"http://localhost:{receiver.server.server_address[1]}/act"
        target = actions.LoopbackTarget(url, tmp_path / "token", 60.0)
        if takes:
            target.tell(b'{"id": 1}\n')
        else:
            with pytest.raises(DeliveryError, match="2xx"):
                target.tell(b'{"id": 1}\n')

    assert [b'{"id": 1}\n'] == receiver.bodies
    assert ["Bearer s3cret"] == receiver.tokens


def test_pauses_grow_to_five_minutes_and_no_further() -> None:
    """A restriction is urgent, a target that is down is not helped by haste."""
    pauses = [actions.pause_ns(attempts) / 10**9 for attempts in range(40)]

    assert 1 <= pauses[0] <= 2
    assert all(150 <= pause <= 300 for pause in pauses[8:])


# -- versions that are held, entries that are muted ------------------------------------------------------------------


def test_a_held_version_starts_and_ends_nothing_until_it_is_approved(site: Site, platform: Platform) -> None:
    """Neither what it lists is restricted nor what it withdraws released; both follow once a person says so."""
    other = fake_media(comment="another")
    site.upload(other, b"upload-2")
    relist(site, listed=True)
    act(site, platform)
    site.store.set_bounds("set", Bounds(matches=0))
    site.list_entries("set", sha256_entry(other, "other"), removed=[sha256_entry(PICTURE).key])
    held = site.rescan().held
    told = act(site, platform), platform.verbs()
    known = site.hash_set("set")
    site.ledger.probation.approve(known, known.version, Occasion(Trigger.RESCAN, site.day))
    site.rescan()
    act(site, platform)

    assert ["set"] == list(held)
    assert (Told(), [("restrict", "upload-1", "exact")]) == told
    assert [("release", "upload-1", "exact"), ("restrict", "upload-2", "exact")] == sorted(platform.verbs()[1:])


def test_a_muted_entry_asks_for_nothing_and_what_it_asked_for_is_released(site: Site, platform: Platform) -> None:
    """As its report is withdrawn."""
    relist(site, listed=True)
    act(site, platform)
    mute = Mute("r", "2100-12-31", "a mistake", site.day)
    site.ledger.probation.mute(site.hash_set("set").uid, mute, Occasion(Trigger.RESCAN, site.day))
    site.upload(PICTURE, b"upload-2")
    act(site, platform)

    assert [("restrict", "upload-1", "exact"), ("release", "upload-1", "exact")] == platform.verbs()
