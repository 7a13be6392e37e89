"""The interface of a sink."""

from __future__ import annotations

from typing import Protocol

from scanner.reports import Batch


class Sink(Protocol):
    """Takes sealed batches out of the ledger.

    Delivering a batch twice is as good as once, whatever was interrupted: a caller that does not know whether a
    delivery went through delivers again.
    """

    @property
    def name(self) -> str:
        """The configured name."""
        ...

    @property
    def hash_sets(self) -> frozenset[str]:
        """The hash sets it may hear of, each named; a sink that names none hears nothing."""
        ...

    def deliver(self, batch: Batch) -> None:
        """Hand over a batch that speaks of `hash_sets` only (`Batch.for_sets`); a batch that says more is refused.

        Raises DeliveryError when it was not taken, or may not have been.
        """
        ...
