"""What is known of an edit before it is posted: whether the gate, the tool or the output type would refuse it.

It asks the very gate and schemas that the run will meet, with what the journal tells of the call. Where something is
not at hand (the member is not loaded here, an argument is redacted) it says nothing: the gate judges again when the
call is made, and has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from podium.core.actions import Kind
from podium.core.codec import decode
from podium.core.errors import InvalidOutput, ToolValidationError
from podium.core.labels import TRUSTED, Label
from podium.core.records import Principal
from podium.core.redaction import REDACTED
from podium.core.state import History
from podium.policy.gate import Broken
from podium.ports import Deny, Gate, Member, Proposal, Rewrite, Tool
from podium.runtime.results import Pending

_MOST_REWRITES: Final = 3
_DEEPEST: Final = 32


class EditReferee:
    """A `podium.runtime.desk.Referee` of an app."""

    def __init__(self, gate: Gate, tools: Mapping[str, Tool], members: Callable[[], Mapping[str, Member]]) -> None:
        self._gate = gate
        self._tools = tools
        self._members = members

    def of_call(self, history: History, item: Pending, args: dict[str, Any], member: Member | None) -> str:
        """Why the gate or the tool would refuse the held call with these arguments; empty when nothing is known."""
        agent = _named(member or self._members().get(item.member), item.agent)
        tool = _tool_of(agent, item.tool) or self._tools.get(item.tool)
        hidden = _hides(args)
        if tool is not None:
            try:
                args = tool.resolve(args)
            except ToolValidationError as error:
                # What is hidden is put back before the call is made, and may be what does not fit here.
                return "" if hidden and not _fits(tool, item.args) else str(error)
        proposal = _proposal(history, item, args, tool, tuple(getattr(agent, "approvals", ())))
        denied = self._denied(proposal)
        if denied is None:
            return ""
        if hidden and self._denied(msgspec.structs.replace(proposal, args=item.args)) is not None:
            return ""  # It is what is hidden that is refused here, not what was edited.
        return f"{denied.message} ({denied.rule})"

    def of_answer(self, item: Pending, output: Any, member: Member | None) -> str:
        """Why an answer under review may not be replaced by this one; empty when nothing is known."""
        agent = _named(member or self._members().get(item.member), item.agent)
        load = getattr(agent, "load_output", None)
        if load is None or _hides(output):
            return ""
        if getattr(agent, "output", None) is str:
            return "" if isinstance(output, str) else "the answer is a text"
        try:
            loaded = load(output)
        except InvalidOutput as error:
            return str(error)
        return _lost(item.output, output, agent.dump_output(loaded))

    def _denied(self, proposal: Proposal) -> Deny | None:
        """The refusal that the gate has for a call, through the rewrites it asks for."""
        for _ in range(_MOST_REWRITES + 1):
            try:
                verdict = self._gate.judge(proposal)
            except Exception:  # noqa: BLE001  (a gate that breaks refuses the call when it is made; here it knows nothing)
                return None
            if isinstance(verdict, Deny):
                # A check that breaks may do so only here, where the tool that would have read the arguments is unknown.
                return None if isinstance(verdict, Broken) else verdict
            if not isinstance(verdict, Rewrite):
                return None
            proposal = msgspec.structs.replace(proposal, args=verdict.args)
        return None


def _proposal(history: History, item: Pending, args: Any, tool: Tool | None, asks: tuple[Any, ...]) -> Proposal:
    """The held call as the gate will be asked about it. It was granted when it was held."""
    step = history.steps[item.key]
    started = history.facts.started
    detail = decode(step.hold.detail) if step.hold is not None else None
    told = cast("dict[str, Any]", detail).get("label") if isinstance(detail, dict) else None
    return Proposal(
        Kind.TOOL,
        item.tool,
        args,
        step.digest,
        item.agent,
        frozenset((item.tool,)),
        Principal() if started is None else started.principal,
        msgspec.convert(told, Label) if told else TRUSTED,
        tool,
        item.key,
        item.run,
        frozenset((item.rule,)),
        asks,
    )


def _lost(before: Any, given: Any, kept: Any) -> str:
    """Which fields of an edited answer its type would drop without a word, and were not there before."""
    if not (isinstance(given, dict) and isinstance(kept, dict)):
        return ""
    fields = cast("dict[str, Any]", kept)
    was = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
    lost = [name for name in cast("dict[str, Any]", given) if name not in fields and name not in was]
    return f"the answer has no field {lost[0]!r}; its fields are {', '.join(fields)}" if lost else ""


def _fits(tool: Tool, args: Any) -> bool:
    """Whether the tool takes these arguments."""
    try:
        tool.resolve(args)
    except ToolValidationError:
        return False
    return True


def _hides(value: Any) -> bool:
    """Whether plain data holds a mark that stands for a secret."""
    return REDACTED in msgspec.json.encode(value, enc_hook=repr).decode("utf-8", "replace")


def _named(member: Any, name: str) -> Any:
    """The member of this name, in a member and those below it."""
    return next((each for each in _all(member, 0) if getattr(each, "name", None) == name), None)


def _all(member: Any, depth: int) -> Iterator[Any]:
    if member is None or depth > _DEEPEST:
        return
    yield member
    for each in getattr(member, "members", ()) or ():
        yield from _all(each, depth + 1)


def _tool_of(agent: Any, name: str) -> Tool | None:
    tools = getattr(agent, "tools", None)
    return cast("Mapping[str, Tool]", tools).get(name) if isinstance(tools, Mapping) else None
