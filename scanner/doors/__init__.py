"""The upload doors: protocols that platforms speak already, translated to one intake and back.

Rules
- Every door hands bodies to `Intake` and gets an `Answer`; none parses media, opens the ledger or asks the hash sets.
- No log line, metric or error holds a name, path, ref, hash or user.
"""
