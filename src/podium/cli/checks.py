"""What `podium doctor` found, one thing at a time, and how it is written. It looks at nothing itself."""

from __future__ import annotations

import msgspec

from .tree import Line
from .words import visible


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    group: str
    name: str
    ok: bool
    detail: str
    remedy: str = ""
    """What to type (or do) to get it; empty when it is there."""
    required: bool = False
    """Whether Podium cannot work without it."""
    configured: bool = False
    """Whether somebody set it up, so that it is meant to work (models only)."""
    online: bool | None = None
    """What came of asking it over the network; None when it was not asked."""

    @property
    def failed(self) -> bool:
        """Whether something that was set up did not answer as it should."""
        return self.configured and self.online is False


def lines(checks: list[Check]) -> list[Line]:
    """The checks in their groups, each with what to do about it."""
    width = max(len(check.name) for check in checks)
    found: list[Line] = []
    group = ""
    for check in checks:
        if check.group != group:
            found += [*([[]] if group else []), [(check.group, "bold")]]
            group = check.group
        found.append([("  ", ""), _sign(check), (f"  {check.name:<{width}}  {visible(check.detail)}", "")])
        if check.remedy:
            found.append([(" " * (12 + width) + "→ " + visible(check.remedy), "cyan")])
    return found


def _sign(check: Check) -> tuple[str, str]:
    if check.ok:
        return "ok    ", "green"
    if check.required:
        return "BROKEN", "bold red"
    return ("FAILED", "bold red") if check.configured else ("absent", "yellow")
