"""The http door under cases made up from its own description: whatever is sent, no fault and no hang."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import Hashward
from tests.proofs import record
from tests.scanner.doors.served import served

CASES, ALL_CASES = 200, 10_000
_SCRIPT = """
import json, sys
import hypothesis
import schemathesis

url, wanted, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
schema = schemathesis.openapi.from_url(url + "/openapi.json")
operations = [found.ok() for found in schema.get_all_operations()]
statuses = {}
worst = []

def run(operation, mode, count, seed):
    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=count, deadline=None, database=None, phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        response = case.call(base_url=url, timeout=60)
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        if response.status_code >= 500:
            worst.append([operation.label, response.status_code, response.text[:200]])
    one()

turn = 0
while sum(statuses.values()) < wanted:
    mode = list(schemathesis.GenerationMode)[turn % 2]
    for operation in operations:
        try:
            run(operation, mode, max(2, wanted // len(operations) // 4), seed + turn)
        except hypothesis.errors.Unsatisfiable:  # nothing of it can be made wrong
            pass
    turn += 1
print(json.dumps({"statuses": statuses, "worst": worst[:5]}))
"""


def storm(hashward: Hashward, tmp_path: Path, cases: int) -> dict[str, int]:
    """The statuses that so many cases met, and how often."""
    config = (
        '[[serve.listener]]\nkind = "http"\naddress = "127.0.0.1:0"\nlookups_per_minute = 6000\ndeadline_seconds = 60\n'
    )
    with served(hashward, config=config) as door:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, door.url(), str(cases), "7"], cwd=tmp_path, capture_output=True, text=True
        )
        assert 0 == done.returncode, done.stderr[-2000:]
        found = json.loads(done.stdout.splitlines()[-1])
        assert 200 == door.client.get("/readyz").status_code
        assert "fault" not in door.said

    assert [] == found["worst"]
    return dict(found["statuses"])


def test_cases_made_up_from_the_description_meet_no_fault(hashward: Hashward, tmp_path: Path) -> None:
    """No status of 500 or above, and the door is ready after them."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")

    assert CASES <= sum(storm(hashward, tmp_path, CASES).values())


@pytest.mark.prove
def test_ten_thousand_cases_meet_no_fault(hashward: Hashward, tmp_path: Path) -> None:
    """The same with all of them."""
    statuses = storm(hashward, tmp_path, ALL_CASES)
    record("doors", "schemathesis", cases=sum(statuses.values()), statuses=statuses, of_5xx=0)

    assert ALL_CASES <= sum(statuses.values())
