"""The port of the gate: what is proposed to it, and its verdicts."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import msgspec

from podium.core.actions import Kind
from podium.core.labels import Label
from podium.core.records import Principal

from .tools import Tool


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """What the gate judges: an action, who wants it, and for whom."""

    kind: Kind
    name: str
    args: Any
    digest: bytes
    subject: str
    """The member that asks."""
    grants: frozenset[str] | None
    """Names of the tools it was given; None for a plain member, whose own code chose the tool."""
    principal: Principal
    label: Label
    tool: Tool | None = None
    key: str = ""
    run_id: str = ""
    approved: frozenset[str] = frozenset()
    """Rules whose hold on this very call a person has lifted."""
    asks: tuple[Check, ...] = ()
    """What the member's own approvals are; they may hold or refuse a call, and allow nothing."""


class Allow(msgspec.Struct, frozen=True, gc=False):
    """Go on."""

    rule: str = ""


class Deny(msgspec.Struct, frozen=True):
    """Refuse; `message` goes to the member (and so to its model)."""

    rule: str
    message: str


class Rewrite(msgspec.Struct, frozen=True):
    """Go on with other arguments, which pass the whole gate again (at most three times)."""

    rule: str
    args: dict[str, Any]


class HoldFor(msgspec.Struct, frozen=True):
    """Wait for a person. `expires` is in seconds; silence is a refusal."""

    rule: str
    prompt: str
    roles: tuple[str, ...] = ()
    expires: float | None = None
    self_approval: bool = True
    """Whether the principal behind the run may decide it."""


Verdict: TypeAlias = Allow | Deny | Rewrite | HoldFor


class Check(Protocol):
    """One member of the gate. It sees values only, performs nothing, and must be quick."""

    name: str
    kinds: frozenset[Kind]

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """A verdict, or None when this check has nothing to say."""
        ...


class Gate(Protocol):
    """The chain every action passes."""

    version: str

    def judge(self, proposal: Proposal) -> Verdict:
        """The verdict: a Deny or a Rewrite before any HoldFor, and Allow when no check has another word."""
        ...

    def concerns(self, kind: Kind) -> bool:
        """Whether any check looks at actions of this kind."""
        ...
