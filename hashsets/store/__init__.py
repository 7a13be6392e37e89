"""hashsets.db: what is listed, version by version. SQL for hash sets lives in this package and in migrations.

A refresh is: `stage` its pages, `prepare` them (compare with what is listed and write the difference, still
invisible), then `activate` or `discard_staged`. A crash at any moment leaves the old version in force; the next `stage`
discards what it left behind.
"""

from hashsets.store.differences import Difference
from hashsets.store.listing import EntryDetails, SignalColumns
from hashsets.store.merging import Tally
from hashsets.store.refreshes import Staged
from hashsets.store.sets import Stamp
from hashsets.store.store import Store

__all__ = ["Difference", "EntryDetails", "SignalColumns", "Staged", "Stamp", "Store", "Tally"]
