"""What a campaign says: a line every ten seconds, and a summary, printed and written as JSON."""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """Counts and findings of one campaign."""

    campaign: str
    planned: int
    about: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    _begun: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def count(self, *names: str) -> None:
        """One more of each."""
        self.counts.update(names)

    def finding(self, kind: str, **about: Any) -> None:
        """Something that must not be."""
        self.counts[f"FINDING {kind}"] += 1
        self.findings.append({"kind": kind, **about})
        print(f"finding: {kind} {about}"[:1500], file=sys.stderr, flush=True)

    def advance(self, by: int = 1) -> None:
        """Count work done, and say so every ten seconds."""
        self.done += by
        if time.monotonic() - self._said >= 10:
            self._said = time.monotonic()
            told = f"{self.done} of {self.planned}, {len(self.findings)} findings, {self._seconds():.0f} s"
            print(f"{self.campaign}: {told}", file=sys.stderr, flush=True)

    def finish(self, path: Path | None) -> int:
        """Print and write the summary. Returns an exit code: 1 when there were findings."""
        summary = {
            "campaign": self.campaign,
            **self.about,
            "done": self.done,
            "seconds": round(self._seconds(), 1),
            "counts": dict(sorted(self.counts.items())),
            "findings": self.findings,
        }
        print(f"{self.campaign}: {self.done} done, {len(self.findings)} findings, {self._seconds():.0f} s")
        for name, number in sorted(self.counts.items()):
            print(f"  {number:6d}  {name}")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(summary, indent=1, default=str) + "\n")
            print(f"summary: {path}")
        return 1 if self.findings else 0

    def _seconds(self) -> float:
        return time.monotonic() - self._begun
