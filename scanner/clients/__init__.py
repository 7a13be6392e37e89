"""Clients of `hashward serve` for other programs' processes: the standard library, and the host program's own, alone.

They import nothing else of ours, so `pip install --no-deps` of a checkout is enough where they run.
"""
