"""What the operator answers for: who looked, what was undone, what was kept, and the numbers to publish.

A small part of the ledger's world: its tables are in ledger.db, its record of what was done is the audit log. It opens
no media, reads no hash set's values and sends nothing.
"""
