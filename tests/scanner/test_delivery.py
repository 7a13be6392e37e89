"""Delivery: a receiver that is down loses nothing, and a kill at the worst moment doubles nothing."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scanner import delivery
from scanner.config import Config, SinkConfig, SinkKind
from scanner.delivery import Delivered
from tests.scanner.fakes import Site, fake_media, sha256_entry


class Receiver:
    """Takes batches on loopback. It is down until `up`; `answers` are used one a request, then it says 200."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.keys.append(self.headers["Idempotency-Key"])
                status, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                self.send_response(status)
                for name, said in headers.items():
                    self.send_header(name, said)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server.server_bind()  # bound but not listening: connections are refused
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def sink(self) -> SinkConfig:
        """How it is configured."""
        url = f"http://127.0.0.1:{self.server.server_address[1]}/reports"
        return SinkConfig("provider", SinkKind.HTTP, url=url, hash_sets=frozenset({"set"}), timeout_seconds=60.0)

    def up(self) -> None:
        """Begin to listen."""
        self.server.server_activate()
        self.thread.start()

    def close(self) -> None:
        """Stop, and not merely close: who serves on a closed socket spins, and slows every later test."""
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that is down."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with one match waiting to be told."""
    with Site(tmp_path / "home") as made:
        made.list_entries("set", sha256_entry(fake_media(), "ref-1"))
        made.upload(fake_media(), b"upload-1")
        yield made


def told(site: Site, *sinks: SinkConfig) -> Config:
    """Seal for these sinks; the configuration with them."""
    config = replace(Config.defaults(), sinks=sinks)
    delivery.seal(site.ledger, config, site.clock, random.Random(1))
    return config


def deliver(site: Site, config: Config, *, now: bool = False) -> Delivered:
    """One round."""
    return delivery.deliver(site.ledger, config, site.clock, even_if_waiting=now)


def test_a_receiver_that_is_down_is_owed_the_batch_and_gets_it_once(site: Site, receiver: Receiver) -> None:
    """Down: owed. Not due: waiting. Up and due: delivered once and never again."""
    config = told(site, receiver.sink)
    down, early = deliver(site, config), deliver(site, config)
    receiver.up()
    site.clock.move(days=1)
    rounds = [deliver(site, config), deliver(site, config)]

    assert [Delivered(failed=1), Delivered(waiting=1)] == [down, early]
    assert [Delivered(delivered=1), Delivered()] == rounds
    assert 1 == len(receiver.keys)
    assert b"ref-1" in receiver.bodies[0]


def test_retries_say_the_same_bytes_under_the_same_key(site: Site, receiver: Receiver) -> None:
    """A receiver that failed after taking a batch knows it again, also after we were started anew."""
    receiver.answers = [(500, {}), (503, {"Retry-After": "60"}), (429, {})]
    receiver.up()
    config = told(site, receiver.sink)
    rounds = []
    for _ in range(4):
        rounds.append(deliver(site, config, now=True))
        site.close()
        site.open()

    assert [Delivered(failed=1)] * 3 + [Delivered(delivered=1)] == rounds
    assert 4 == len(receiver.keys)
    assert 1 == len(set(receiver.keys)) == len(set(receiver.bodies))


def test_each_failure_waits_longer_and_the_receivers_own_wish_counts(site: Site, receiver: Receiver) -> None:
    """Nothing hammers a receiver that is not well."""
    receiver.answers = [(503, {"Retry-After": "7200"})]
    receiver.up()
    config = told(site, receiver.sink)
    deliver(site, config)
    site.clock.move(days=7100 / 86_400)
    early = deliver(site, config)
    site.clock.move(days=1)

    assert Delivered(waiting=1) == early
    assert Delivered(delivered=1) == deliver(site, config)


def test_a_kill_between_sending_and_noting_it_sends_the_same_again(site: Site, receiver: Receiver) -> None:
    """At least once on the wire, once by id: key and ids of the second are those of the first."""
    receiver.up()
    config = told(site, receiver.sink)
    (owed,) = site.ledger.sealing.owed()
    delivery.make_sink(config.sinks[0]).deliver(owed.batch)  # sent; the kill comes before it is noted
    site.close()
    site.open()

    assert Delivered(delivered=1) == deliver(site, config)
    assert 2 == len(receiver.keys)
    assert 1 == len(set(receiver.keys)) == len(set(receiver.bodies))
    assert [] == site.ledger.sealing.owed()


def test_a_file_written_twice_is_one_file(site: Site, tmp_path: Path) -> None:
    """The same kill before a jsonl sink leaves one file with the same lines."""
    sink = SinkConfig("file", SinkKind.JSONL, path=tmp_path / "sent", hash_sets=frozenset({"set"}))
    config = told(site, sink)
    (owed,) = site.ledger.sealing.owed()
    delivery.make_sink(sink).deliver(owed.batch)
    before = [file.read_bytes() for file in (tmp_path / "sent").iterdir()]

    assert Delivered(delivered=1) == deliver(site, config)
    assert before == [file.read_bytes() for file in (tmp_path / "sent").iterdir()]


def test_sinks_hear_only_of_the_sets_they_name(site: Site, tmp_path: Path) -> None:
    """None named, nothing owed; one that is gone from the configuration keeps what it is owed."""
    deaf = SinkConfig("deaf", SinkKind.JSONL, path=tmp_path / "deaf")
    sink = SinkConfig("file", SinkKind.JSONL, path=tmp_path / "sent", hash_sets=frozenset({"set"}))
    config = told(site, deaf, sink)

    assert ["file"] == [owed.sink for owed in site.ledger.sealing.owed()]
    assert Delivered(waiting=1) == deliver(site, Config.defaults(), now=True)
    assert Delivered(delivered=1) == deliver(site, config)
    assert not (tmp_path / "deaf").exists()


def test_one_sink_that_fails_holds_up_no_other(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    """Each is owed its own copy."""
    sink = SinkConfig("file", SinkKind.JSONL, path=tmp_path / "sent", hash_sets=frozenset({"set"}))
    config = told(site, receiver.sink, sink)

    assert Delivered(delivered=1, failed=1) == deliver(site, config)
    assert ["provider"] == [owed.sink for owed in site.ledger.sealing.owed()]
