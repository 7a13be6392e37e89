"""What every sink checks before it lets anything out."""

from __future__ import annotations

from scanner.errors import DeliveryError
from scanner.reports import Batch


def refuse_foreign(batch: Batch, hash_sets: frozenset[str]) -> None:
    """Raise DeliveryError unless every report is about a set the sink may hear of."""
    if any(report.body.hash_set not in hash_sets for report in batch.reports):
        raise DeliveryError(
            "a batch speaks of a hash set that its sink may not hear of; name the set in the sink's hash_sets",
            retryable=False,
        )
