"""What an approval covers: the exact call it was given for, for all attempts of its step, and nothing else.

The request of a held call is bound to tool, resolved arguments, label, run, policy version, rule and deciders; change
one of them and another request comes of it, which nobody has decided. This module knows holds and journals, not gates.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from podium.core.actions import CallTool
from podium.core.codec import decode, digest_of, encode
from podium.core.errors import ToolValidationError
from podium.core.labels import TRUSTED
from podium.core.records import NIL, Signalled
from podium.core.redaction import REDACTED, redact
from podium.ports import HoldFor, Tool

from .run import Run
from .sealing import fetched
from .step import Step
from .vault import SHORTEST, restored

REPEAT = "act-once:repeat"
"""The rule that asks about a call whose like is in doubt."""
FORK = "act-once:fork"
"""The rule that asks before a fork acts on the world."""
_MARK = REDACTED[:SHORTEST].encode()
"""What every secret that was taken out of a record leaves behind, however short."""


def binding(
    run: Run, step: Step, tool: Tool | None, args: dict[str, Any], hold: HoldFor, used: set[bytes] | None = None
) -> bytes:
    """The digest of all that a decision on this hold is about. `used` are those that were decided on before in this
    step: what was edited away and back again is asked about anew, or two editors' words would chase each other."""
    who = (hold.roles, hold.self_approval and not run.services.apart)
    what = (step.action.name, "" if tool is None else tool.version)
    bound = digest_of(encode((what, args, step.label, run.id, run.services.gate.version, hold.rule, who)))
    if used is not None:
        while bound in used:
            bound = digest_of(bound)
        used.add(bound)
    return bound


def caution(run: Run, tool: Tool, step: Step, args: dict[str, Any], approved: frozenset[str]) -> HoldFor | None:
    """The first hold that no gate may leave out and nobody approved: they keep "act once" true."""
    if tool.effect == "read":
        return None
    doubts = run.facts.doubts
    if doubts and REPEAT not in approved and ((tool.name, step.digest) in doubts or _doubted(run, tool, args)):
        return HoldFor(
            REPEAT,
            f"{tool.name} was called with these arguments before, and nobody knows whether it happened. Call it again?",
        )
    if run.fork_cut and FORK not in approved:
        return HoldFor(FORK, f"this run is a fork: let {tool.name} act on the world?")
    return None


def lifted(run: Run, step: Step) -> frozenset[str]:
    """The rules that need not ask about another attempt of a step that began: a decision covers all its attempts.

    The doubt that is repeated is its own. A fork's rule is not among them: what began there was approved there.
    """
    held = () if step.past is None else step.past.holds
    approved = [each.rule for each in held if each.hold.why == "approval" and _approved(run, each.hold.request)]
    return frozenset((REPEAT, *approved))


def _approved(run: Run, request: str) -> bool:
    decision = run.decisions.get(request)
    return decision is not None and decision.kind == "approve"


def _doubted(run: Run, tool: Tool, args: dict[str, Any]) -> bool:
    """Whether a call that did this very thing is in doubt, whatever it was asked for as."""
    told = encode(redact(args)) if args else bytes(NIL)
    return not {(tool.name, told), (tool.name, run.masked(told))}.isdisjoint(run.facts.doubts)


def detail(step: Step, args: dict[str, Any]) -> dict[str, Any]:
    """What whoever decides is shown of a call: who wants what, and what its agent had read by then."""
    shown: dict[str, Any] = {"tool": step.action.name, "args": redact(args), "agent": step.scope.frame.subject}
    if step.label != TRUSTED:
        shown["label"] = msgspec.to_builtins(step.label)
    return shown


def edited(decision: Signalled | None, args: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments a person put in the place of `args`; None when the call was approved as it is.

    They were shown redacted: what was left as it was shown is meant as it is.
    """
    data = None if decision is None or decision.kind != "approve" else decode(decision.data)
    given = cast("dict[str, Any]", data).get("args") if isinstance(data, dict) else None
    if not isinstance(given, dict):
        return None
    return cast("dict[str, Any]", restored(given, redact(args), args))


async def begun_args(run: Run, step: Step, tool: Tool, asked: dict[str, Any]) -> dict[str, Any]:
    """The arguments a step began with, for another attempt of it: those `asked`, after every edit and rewrite.

    Edits are in the journal as decisions. A rewrite of the gate is not, so the beginning itself has the word where the
    two differ. Raises ToolValidationError when it was journaled redacted and nothing at hand fits it.
    """
    past = step.past
    began = None if past is None else past.began
    found = [tool.resolve(asked)]
    for held in () if past is None else past.holds:
        changed = edited(run.decisions.get(held.hold.request), found[-1]) if held.hold.why == "approval" else None
        if changed is not None:
            found.append(tool.resolve(await fetched(run, changed)))
    if began is None or (began.args == NIL and found[-1]):
        return found[-1]
    for args in reversed(found):
        told = bytes(encode(redact(args))) if args else bytes(NIL)
        if run.services.vault.mask(told) == bytes(began.args):
            return args
    journaled = decode(began.args)
    if _MARK in bytes(began.args) or not isinstance(journaled, dict):
        action = cast("CallTool", step.action)
        raise ToolValidationError(
            f"the arguments that {action.name} began with were changed and held a secret, which no journal keeps"
        )
    return tool.resolve(cast("dict[str, Any]", journaled))
