"""What a run came to, read from its journal.

A result holds the journal's bytes, not a copy of what they say: steps, messages and pending requests are decoded when
they are asked for, and work after the app is closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

import msgspec

from podium.agents.agent import AgentConfig
from podium.core.codec import decode
from podium.core.conversation import Conversation
from podium.core.errors import Failure, RunFailed
from podium.core.labels import TRUSTED, Integrity, Label
from podium.core.messages import Message, system
from podium.core.records import Began, Hold, Record, Started, Status, decode_frame
from podium.core.state import Facts, History, StepState, fold
from podium.core.usage import Usage

Output = TypeVar("Output")


class Pending(msgspec.Struct, frozen=True):
    """Something a run waits for. `request` is what `approve`, `reject` and `answer` name."""

    request: str
    why: str
    """`ask`, `approval`, `review`, `in_doubt`, `signal`, `sleep` or `child`."""
    prompt: str
    key: str
    tool: str = ""
    args: Any = None
    choices: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    due: float | None = None
    """Epoch seconds at which the wait ends by itself."""
    run: str = ""
    member: str = ""
    """The run's outermost member."""
    agent: str = ""
    """Who wants the call, or asks."""
    rule: str = ""
    """The rule of the gate that held the call."""
    since: float = 0.0
    """Epoch seconds at which it began to wait."""
    untrusted: bool = False
    """Whether the agent had seen untrusted text when it asked for the call."""
    sources: tuple[str, ...] = ()
    """Where that text came from, e.g. `tool:fetch`."""
    kinds: tuple[str, ...] = ()
    """Kinds of sensitive data it had seen."""
    principal: str = ""
    """Who is behind the run."""
    apart: bool = False
    """Whether that principal may not approve this."""
    output: Any = None
    """The answer that a review is about, redacted."""
    confidence: float | None = None


class StepView(msgspec.Struct, frozen=True):
    """A step as people see it."""

    key: str
    kind: str
    name: str
    status: str
    """`ok`, `error`, `exhausted`, `unknown`, `running`, `waiting`."""
    duration: float | None
    cost: str | None
    usage: Usage | None
    attempt: int
    error: str
    agent: str = ""
    effect: str = ""
    rule: str = ""
    started: float | None = None
    cached: bool = False
    """Whether a model's reply came from the response cache."""
    reserved: str | None = None
    """US dollars reserved for the last attempt; None without a budget."""


def pending_of(history: History) -> tuple[Pending, ...]:
    """What a run waits for, in the order it began to."""
    return tuple([_pending(step, hold, history.facts.started) for step, hold in history.pending()])


def _pending(step: StepState, hold: Hold, started: Started | None) -> Pending:
    detail = decode(hold.detail)
    shown = cast("dict[str, Any]", detail) if isinstance(detail, dict) else {}
    label = msgspec.convert(shown["label"], Label) if shown.get("label") else TRUSTED
    began, held = step.began, step.held
    at_gate = held is not None and held.hold.request == hold.request
    record = held if at_gate else began
    return Pending(
        hold.request,
        hold.why,
        hold.prompt,
        step.key,
        str(shown.get("tool", "")),
        shown.get("args"),
        hold.choices,
        hold.roles,
        hold.due,
        run="" if started is None else started.run,
        member="" if started is None else started.member,
        agent=str(shown.get("agent", "")) or ("" if began is None else began.agent),
        rule=held.rule if held is not None and at_gate else "",
        since=0.0 if record is None else record.at,
        untrusted=label.integrity is Integrity.UNTRUSTED,
        sources=tuple(sorted(label.sources)),
        kinds=tuple(sorted(label.kinds)),
        principal="" if started is None else started.principal.id,
        apart=hold.apart,
        output=shown.get("output"),
        confidence=shown.get("confidence"),
    )


def view_of(step: StepState, history: History) -> StepView:
    """One step for people."""
    began, ended = step.began, step.ended
    hold = step.hold
    if ended is not None:
        status = str(ended.outcome)
    elif hold is not None and hold.request not in history.decisions:
        status = "waiting"
    else:
        status = "running"
    return StepView(
        step.key,
        str(step.kind),
        began.version if began is not None and step.kind == "model" else step.name,
        status,
        ended.at - began.at if ended is not None and began is not None else None,
        ended.cost if ended is not None else None,
        ended.usage if ended is not None else None,
        began.attempt if began is not None else 1,
        str(ended.error) if ended is not None and ended.error is not None else "",
        began.agent if began is not None else "",
        began.effect if began is not None else "",
        (began.rule if began is not None else "") or (ended.rule if ended is not None else ""),
        began.at if began is not None else ended.at if ended is not None else None,
        ended is not None and ended.cached,
        began.reserved if began is not None else None,
    )


def all_began(records: Sequence[Record]) -> dict[int, Began]:
    """Every `Began` by its sequence number."""
    return {seq: record for seq, record in enumerate(records, 1) if isinstance(record, Began)}


class RunResult(Generic[Output]):
    """The outcome of a run, or of a drive that left it suspended."""

    __slots__ = (
        "_facts",
        "_frames",
        "_history",
        "_pinned",
        "_records",
        "duration",
        "error",
        "output",
        "run_id",
        "status",
    )

    def __init__(
        self,
        run_id: str,
        status: Status,
        output: Any,
        facts: Facts,
        frames: Sequence[bytes],
        *,
        error: Failure | None = None,
        duration: float = 0.0,
        pinned: Mapping[str, bytes] | None = None,
    ) -> None:
        self.run_id = run_id
        self.status = status
        """One of `podium.Status`; equal to its plain text ("succeeded", "suspended", …)."""
        self.output: Output = output
        """The member's output; what was reached, if the run is exhausted; else None."""
        self.error = error
        """A `Failure` (type, message, data), or None."""
        self.duration = duration
        """Seconds of wall time from the run's start to its last record."""
        self._facts = facts
        self._frames = frames
        self._records: list[Record] | None = None
        self._history: History | None = None
        self._pinned = pinned or {}

    def unwrap(self) -> Output:
        """The output. Raises RunFailed unless the run succeeded."""
        if self.status is not Status.SUCCEEDED:
            waiting = self.pending
            if self.status is Status.SUSPENDED and waiting:
                text = "; ".join(f"{item.why} {item.request}: {item.prompt}" for item in waiting)
                raise RunFailed(self.run_id, f"is suspended, waiting for {text}", None)
            raise RunFailed(self.run_id, str(self.status), self.error)
        return self.output

    @property
    def records(self) -> list[Record]:
        """The run's journal."""
        if self._records is None:
            self._records = [record for frame in self._frames for record in decode_frame(frame)]
        return self._records

    @property
    def history(self) -> History:
        """The journal, folded."""
        if self._history is None:
            self._history = fold(self.records)
        return self._history

    @property
    def pending(self) -> tuple[Pending, ...]:
        """What a suspended run waits for."""
        return pending_of(self.history)

    @property
    def steps(self) -> list[StepView]:
        """All steps, in the order they began."""
        history = self.history
        return [view_of(step, history) for step in history.steps.values()]

    @property
    def messages(self) -> list[Message]:
        """The conversation of the outermost agent: what its last model call was given, and the reply."""
        last: StepState | None = None
        for step in self.history.steps.values():
            if step.kind == "model" and step.ended is not None and step.began is not None:
                depth = step.key.count("/")
                if last is None or depth <= last.key.count("/"):
                    last = step
        if last is None or last.began is None or last.ended is None:
            return []
        talk = Conversation(self.history, pinned=self._system)
        messages = talk.of(last.began, all_began(self.records))
        if last.ended.error is None and not last.ended.blob:
            messages.append(talk.reply(last.ended).message)
        return messages

    def _system(self, address: str) -> Message | None:
        """The system message of a pinned configuration."""
        content = self._pinned.get(address)
        text = msgspec.msgpack.decode(content, type=AgentConfig).system if content else ""
        return system(text) if text else None

    @property
    def usage(self) -> Usage:
        """Tokens of all model calls."""
        return self._facts.usage

    @property
    def cost(self) -> Decimal:
        """US dollars settled. Steps without a known price are not in it: see `unpriced`."""
        return self._facts.cost

    @property
    def uncertain_cost(self) -> Decimal:
        """US dollars of attempts whose outcome nobody knows (a crash in mid-call)."""
        return self._facts.uncertain

    @property
    def total_cost(self) -> Decimal:
        """The most that can have been spent: settled and uncertain."""
        return self._facts.cost + self._facts.uncertain

    @property
    def unpriced(self) -> int:
        """Steps whose price is not known."""
        return self._facts.unpriced

    @property
    def models(self) -> list[str]:
        """Models that were asked, in the order they first were."""
        return list(self._facts.models)

    @property
    def agents_invoked(self) -> list[str]:
        """Agents in the order they were first called."""
        return list(self._facts.agents)

    def __repr__(self) -> str:
        what = f"output={self.output!r}" if self.error is None else f"error={str(self.error)!r}"
        return f"RunResult({self.run_id}, {self.status}, {what}, cost={self.cost})"
