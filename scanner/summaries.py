"""What a scan did, summed over the roots it walked."""

from __future__ import annotations

from dataclasses import dataclass, field

from scanner.ledger.assets import Root
from scanner.ledger.tallies import Outcomes
from scanner.walking import FolderTrouble
from scanner.worker import Walked

# Folders that were meant not to be entered; any other trouble leaves something unlooked at.
_MEANT = {FolderTrouble.EXCLUDED.value, FolderTrouble.OTHER_DEVICE.value, FolderTrouble.LOOP.value}


@dataclass(slots=True)
class ScanSummary:
    """What a scan did and how what it walked now stands.

    `outcomes` counts every file met once; `suspect` names the roots held as suspect, with the reason.
    """

    walked: Walked = field(default_factory=Walked)
    outcomes: Outcomes = field(default_factory=Outcomes)
    contents: int = 0
    matches_added: int = 0
    matches_withdrawn: int = 0
    suspect: dict[str, str] = field(default_factory=dict)
    matched_assets: list[int] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, root: Root, walked: Walked) -> None:
        """Fold one root's walk in."""
        total = self.walked
        total.scanned += walked.scanned
        total.skipped += walked.skipped
        total.opened_files += walked.opened_files
        total.missing += walked.missing
        total.moved += walked.moved
        total.ignored += walked.ignored
        total.unlisted += walked.unlisted
        self.matches_added += walked.matches_added
        self.matches_withdrawn += walked.matches_withdrawn
        if walked.suspect is not None:
            self.suspect[root.name] = walked.suspect

    @property
    def could_not_look(self) -> bool:
        """Whether anything was left that could not be looked at whole."""
        folders = sum(count for reason, count in self.walked.unlisted.items() if reason not in _MEANT)
        outcomes = self.outcomes
        return bool(outcomes.partial or outcomes.unscannable or outcomes.matched_partial or folders or self.suspect)
