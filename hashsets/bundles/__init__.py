"""Signed bundles: a set as one site publishes it for many, by The Update Framework.

The only room that imports `tuf` and what it needs. A bundle is a folder that any web server can offer:

    metadata/   N.root.json, N.targets.json, N.snapshot.json, timestamp.json
    targets/    <sha256>.list.ndjson: the set as hashward's own JSON Lines

Source: The Update Framework's specification 1.0, https://theupdateframework.github.io/specification/latest/.
"""

LIST_NAME = "list.ndjson"
METADATA, TARGETS = "metadata", "targets"

__all__ = ["LIST_NAME", "METADATA", "TARGETS"]
