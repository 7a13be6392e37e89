"""The HTTP sink against a receiver that behaves, on loopback."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from scanner.errors import DeliveryError
from scanner.reports import encode_cloudevents_batch
from scanner.sinks import HttpSink
from scanner.sinks.http import Endpoint

SETS = frozenset({"set-a"})


def sink_for(receiver: Any, **changes: Any) -> HttpSink:
    return HttpSink("out", SETS, replace(Endpoint(receiver.url, timeout_seconds=60.0), **changes))


def refusal(sink: HttpSink, batch: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        sink.deliver(batch)
    return caught.value


def test_posts_one_batch_of_canonical_bytes_under_its_id(receiver: Any, make_batch: Any) -> None:
    """A batch is one POST of the CloudEvents batch media type, keyed by the batch id."""
    batch = make_batch()

    sink_for(receiver).deliver(batch)

    [(headers, body)] = receiver.requests
    assert encode_cloudevents_batch(batch) == body
    assert batch.batch_id == headers["Idempotency-Key"]
    assert "application/cloudevents-batch+json; charset=UTF-8" == headers["Content-Type"]
    assert {report.id for report in batch.reports} == receiver.events.keys()


def test_says_nothing_of_the_machine_in_its_headers(receiver: Any, make_batch: Any) -> None:
    """The request holds only constant headers, the receiver's own address, the length and the key."""
    sink_for(receiver).deliver(make_batch())

    headers = receiver.requests[0][0]
    said = "host content-type user-agent accept accept-encoding connection idempotency-key content-length"
    assert set(said.split()) == {name.lower() for name in headers}
    assert "hashward" == headers["User-Agent"]


def test_a_repeated_delivery_is_one_delivery_to_a_receiver_that_keeps_keys(receiver: Any, make_batch: Any) -> None:
    """Killed between send and mark, the batch comes again with the same key and the same bytes."""
    batch = make_batch()

    sink_for(receiver).deliver(batch)
    sink_for(receiver).deliver(batch)

    assert 2 == len(receiver.requests)
    assert receiver.requests[0][1] == receiver.requests[1][1]
    assert len(batch.reports) == len(receiver.events)


def test_a_large_batch_goes_in_parts_with_keys_of_their_own(receiver: Any, make_batch: Any) -> None:
    """Over the limit a batch is several POSTs, and repeating them adds nothing."""
    batch = make_batch(count=7)
    sink = sink_for(receiver, max_reports_per_post=3)

    sink.deliver(batch)
    sink.deliver(batch)

    sizes = [len(json.loads(body)) for _, body in receiver.requests]
    assert [3, 3, 1, 3, 3, 1] == sizes
    assert 3 == len(receiver.batches)
    assert {report.id for report in batch.reports} == receiver.events.keys()


def test_a_failure_between_parts_owes_the_whole_batch_and_doubles_nothing(receiver: Any, make_batch: Any) -> None:
    """The second part fails; the next delivery sends all parts and the receiver holds each event once."""
    batch = make_batch(count=5)
    sink = sink_for(receiver, max_reports_per_post=2)
    receiver.next()
    receiver.next(status=503)

    assert refusal(sink, batch).retryable
    sink.deliver(batch)

    assert 5 == len(receiver.events)


def test_a_receiver_that_is_down_is_tried_again(receiver: Any, make_batch: Any) -> None:
    """A refused connection is a retryable failure."""
    url = receiver.url
    receiver.server.server_close()

    error = refusal(HttpSink("out", SETS, Endpoint(url, timeout_seconds=2.0)), make_batch())

    assert error.retryable
    assert "127.0.0.1" not in str(error)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 429])
def test_answers_that_pass_are_tried_again(receiver: Any, make_batch: Any, status: int) -> None:
    """Overload and server faults are retryable."""
    receiver.next(status=status)

    assert refusal(sink_for(receiver), make_batch()).retryable


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_answers_that_someone_must_mend_are_not_tried_again(receiver: Any, make_batch: Any, status: int) -> None:
    """Other refusals are for the operator to look at."""
    receiver.next(status=status)

    error = refusal(sink_for(receiver), make_batch())

    assert not error.retryable
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(receiver: Any, make_batch: Any, status: int) -> None:
    """A receiver cannot send the batch, or the token, elsewhere."""
    receiver.next(status=status, headers={"Location": receiver.url})

    assert not refusal(sink_for(receiver), make_batch()).retryable
    assert 1 == len(receiver.requests)


def test_retry_after_is_read_in_both_forms(receiver: Any, make_batch: Any) -> None:
    """Seconds and HTTP dates are understood; anything else is ignored."""
    receiver.next(status=429, headers={"Retry-After": "120"})
    receiver.next(status=503, headers={"Retry-After": formatdate(time.time() + 3000, usegmt=True)})
    receiver.next(status=503, headers={"Retry-After": "soon"})
    receiver.next(status=503, headers={"Retry-After": formatdate(time.time() - 300, usegmt=True)})

    asked = [refusal(sink_for(receiver), make_batch()).retry_after_seconds for _ in range(4)]

    assert 120.0 == asked[0]
    assert asked[1] is not None
    assert 2000 < asked[1] <= 3000
    assert asked[2] is None
    assert 0.0 == asked[3]


@pytest.mark.parametrize("mood", [{"hang_seconds": 600}, {"drip": True}])
def test_no_receiver_holds_the_sink_past_its_deadline(receiver: Any, make_batch: Any, mood: dict[str, Any]) -> None:
    """Neither silence nor a header sent byte by byte outlasts the timeout: it is the sink that gives up."""
    receiver.next(**mood)

    error = refusal(sink_for(receiver, timeout_seconds=0.5), make_batch())

    assert error.retryable


def test_a_connection_lost_before_the_answer_is_tried_again(receiver: Any, make_batch: Any) -> None:
    """Whether the receiver kept the batch is unknown, so it stays owed."""
    batch = make_batch()
    receiver.next(drop_before_answer=True)

    assert refusal(sink_for(receiver), batch).retryable
    sink_for(receiver).deliver(batch)

    assert len(batch.reports) == len(receiver.events)


def test_a_connection_lost_after_success_is_success(receiver: Any, make_batch: Any) -> None:
    """The status decides; the body is nobody's concern."""
    receiver.next(drop_after_header=True, body=b"never sent")

    sink_for(receiver).deliver(make_batch())

    assert 1 == len(receiver.requests)


def test_an_endless_body_is_not_read(receiver: Any, make_batch: Any) -> None:
    """A receiver that never stops talking costs neither time nor memory."""
    receiver.next(endless_body=True)

    sink_for(receiver).deliver(make_batch())

    assert receiver.written < 10**8  # what buffers hold, of a body ten times as long


def test_the_token_is_read_at_each_delivery_and_shown_nowhere(receiver: Any, make_batch: Any, tmp_path: Path) -> None:
    """A rotated token is used at once; no error and no repr holds it."""
    token_file = tmp_path / "token"
    token_file.write_text("first-secret\n")
    sink = sink_for(receiver, token_file=token_file)
    sink.deliver(make_batch())
    token_file.write_text("second-secret")
    receiver.next(status=401)

    error = refusal(sink, make_batch(seed=8))

    assert ["Bearer first-secret", "Bearer second-secret"] == [h["Authorization"] for h, _ in receiver.requests]
    assert "secret" not in repr(error)
    assert "secret" not in repr(sink._endpoint)


@pytest.mark.parametrize("token", [b"", b"two words", b"caf\xc3\xa9", b"a\nX-Injected: 1", b"x" * 10_000, None])
def test_an_unusable_token_file_stops_before_anything_is_sent(
    receiver: Any, make_batch: Any, tmp_path: Path, token: bytes | None
) -> None:
    """Nothing is posted without the credential that was configured, and no header can be injected."""
    token_file = tmp_path / "canary-token"
    if token is not None:
        token_file.write_bytes(token)

    error = refusal(sink_for(receiver, token_file=token_file), make_batch())

    assert not error.retryable
    assert "canary" not in str(error)
    assert [] == receiver.requests


def test_a_batch_about_another_set_is_refused(receiver: Any, make_batch: Any) -> None:
    """A sink hears only of the sets it names."""
    batch = make_batch(hash_sets=("set-a", "set-b"))

    assert not refusal(sink_for(receiver), batch).retryable
    assert not refusal(HttpSink("none", frozenset(), Endpoint(receiver.url)), batch).retryable
    assert [] == receiver.requests


def test_proxies_of_the_environment_are_used_only_when_configured(
    receiver: Any, make_batch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default nobody who sets a variable sees the batch."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    sink_for(receiver).deliver(make_batch())

    assert 1 == len(receiver.requests)
    assert refusal(sink_for(receiver, use_environment=True), make_batch()).retryable


def test_tls_is_verified_against_the_authority_given(receiver: Any, make_batch: Any, tmp_path: Path) -> None:
    """A certificate nobody vouches for is refused; the configured authority is believed; a wrong name is not."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        capture_output=True, check=False, env={"PATH": os.environ["PATH"]},
    ) if any((Path(p) / "openssl").exists() for p in os.environ["PATH"].split(":")) else None  # fmt: skip
    if made is None or made.returncode != 0:
        pytest.skip("needs the openssl command to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    by_name = receiver.url.replace("http://127.0.0.1", "https://localhost")

    assert refusal(sink_for(receiver, url=by_name), make_batch()).retryable
    by_address = receiver.url.replace("http:", "https:")
    assert refusal(sink_for(receiver, url=by_address, ca_file=certificate), make_batch()).retryable
    assert [] == receiver.requests
    sink_for(receiver, url=by_name, ca_file=certificate).deliver(make_batch())
    assert 1 == len(receiver.requests)


def test_a_ca_file_that_cannot_be_used_is_for_the_operator(receiver: Any, make_batch: Any, tmp_path: Path) -> None:
    """A missing or broken authority file never falls back to another authority."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")

    assert not refusal(sink_for(receiver, ca_file=broken), make_batch()).retryable
    assert not refusal(sink_for(receiver, ca_file=tmp_path / "absent.pem"), make_batch()).retryable
