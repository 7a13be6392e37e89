"""ledger.db, ours and lasting: what we hold, what it met, and what was said.

A module per table group holds the SQL and runs inside its caller's transaction: `assets`, `contents`, `coverage`,
`matches`, `outbox`. The methods of `Ledger`, `Places` and `Sealing` are the transactions. `packing` is the blob of a
content's signals, `tallies` counts.
"""

from scanner.ledger.ledger import Ledger, Pinned, Place, Recorded, Recording, Stale

__all__ = ["Ledger", "Pinned", "Place", "Recorded", "Recording", "Stale"]
