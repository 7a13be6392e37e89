"""Measurements of hashward against its peers, run from a checkout: `python -m bench`. Not shipped.

Rules
- A case is a definition (`definitions/*.toml`): seed, size, expected hits, a sentence why. Its smallest form is a test.
- Every engine answers the same questions, and its answers are compared with brute force before its time counts.
- Ratios of CPU time, one thread, measured in turns within one run. Absolute times stand beside them, never alone.
"""
