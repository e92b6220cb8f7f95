"""`ScriptedModel`: answers that were written beforehand, for tests and demonstrations.

It objects to a call it was not written for, and (`finish`) to a step that was not used. It keeps no position of its own
in a list: the run's journal says how many of its calls are over, so that a resumed process continues where the run is.
Two agents that call it side by side have no such order; give them a function of the request.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias, cast

import msgspec

from podium.core.codec import digest_of
from podium.core.errors import ConfigurationError, UnexpectedCall
from podium.core.messages import AnyPart, Message, ModelRequest, Part, Reply, Text, ToolCall, assistant
from podium.core.prices import FREE_PRICE, Price
from podium.core.usage import FREE, Usage
from podium.ports import Emitter

from .pieces import emit_reply, estimate_tokens

Answer: TypeAlias = (
    "str | ToolCall | Text | Sequence[AnyPart | str] | Reply | Message | BaseException | type[BaseException]"
)
"""One step of a script: text, a tool call, several parts at once, a whole reply, or an exception to raise."""

Script: TypeAlias = "Sequence[Answer] | Callable[[ModelRequest], Answer | Awaitable[Answer]]"


_USUAL = frozenset({str, Text, ToolCall, list, tuple, Message, Reply})
"""Answers that nobody has to await, told by their type."""


class ScriptedModel:
    """A model that follows `script`: a list of answers, or a function (sync or async) from request to answer.

    A list is indexed by the number of this model's finished calls in the run. `.requests` holds the requests seen, in
    order. Token counts are estimates. Answers cost nothing unless `price` says otherwise; a whole `Reply` costs what it
    says. The name of a list script ends with a digest of the list, so that two scripts in one run do not count each
    other's calls, and is the same in another process.

    Raises ConfigurationError for a script or an answer of another kind.
    """

    def __init__(self, script: Script, name: str = "scripted", *, price: Price | None = None) -> None:
        self.price: Price | None = price or FREE_PRICE
        self._priced = price is not None
        self.requests: list[ModelRequest] = []
        self._function: Callable[[ModelRequest], Any] | None = None
        self._steps: list[Reply | BaseException | type[BaseException]] = []
        self._whole: frozenset[int] = frozenset()
        """Steps that were given as whole replies, with a usage of their own."""
        self._agents: tuple[str, ...] = ()
        self._served: set[int] = set()
        self._refused: list[str] = []
        self.name = name
        if callable(script):
            self._function = script
            return
        if isinstance(script, str | bytes | Part | Message | Reply):
            raise ConfigurationError("a script is a list of answers or a function: write ScriptedModel([answer])")
        answers = list(script)
        self._steps = [_step(answer) for answer in answers]
        self._whole = frozenset(index for index, answer in enumerate(answers) if isinstance(answer, Reply))
        if price is None:
            self.price = _stated(self._steps[index] for index in self._whole)
        self.name = f"{name}-{_digest(answers)}"

    def __repr__(self) -> str:
        return f"ScriptedModel({self.name!r}, {'function' if self._function else f'{len(self._steps)} steps'})"

    def bind(self, agent_name: str) -> None:
        """Count the calls of this agent (and of others bound before). Called by an agent that is given the model."""
        if agent_name not in self._agents:
            self._agents = (*self._agents, agent_name)

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """The next answer. Raises UnexpectedCall past the end of the script, and the exceptions written in it."""
        self.requests.append(request)
        function = self._function
        if function is not None:
            answer = function(request)
            if type(answer) not in _USUAL and inspect.isawaitable(answer):
                answer = await answer
            step, whole = _step(answer), isinstance(answer, Reply)
        else:
            calls = request.calls
            index = 0
            if calls:
                index = sum([calls.get(agent, 0) for agent in self._agents] if self._agents else calls.values())
            if index >= len(self._steps):
                raise self._unexpected(request, index)
            self._served.add(index)
            step, whole = self._steps[index], index in self._whole
        if not isinstance(step, Reply):
            # The same exception may be raised many times; each begins with a fresh traceback.
            raise step.with_traceback(None) if isinstance(step, BaseException) else step
        if not whole:
            step = _counted(step, request, None if self._priced else "0")
        elif function is not None and not self._priced:
            self._learn(step)
        if emit is not None:
            emit_reply(step, emit)
        return step

    def _learn(self, reply: Reply) -> None:
        """A function's own replies tell what the next ones may cost, or that nobody knows."""
        if reply.cost is None:
            self.price = None
        elif self.price is not None and Decimal(reply.cost) > self.price.request:
            self.price = Price(input=FREE, output=FREE, request=Decimal(reply.cost))

    def finish(self) -> None:
        """Raises AssertionError if a step of the list was not used in this process, or a call came past its end."""
        unused = [index for index in range(len(self._steps)) if index not in self._served]
        if self._refused:
            raise AssertionError(f"{self.name} was called past the end of its script: {self._refused[0]}")
        if unused:
            steps = "; ".join(f"#{index + 1} {_show(self._steps[index])}" for index in unused[:5])
            raise AssertionError(
                f"{len(unused)} of {len(self._steps)} steps of {self.name} were not used: {steps}. "
                "The run made fewer model calls than the script has: shorten the script, or look at why it stopped"
            )

    def _unexpected(self, request: ModelRequest, index: int) -> UnexpectedCall:
        tools = ", ".join(tool.name for tool in request.tools) or "none"
        last = _last(request)
        who = f" by agent {request.agent!r}" if request.agent else ""
        message = (
            f"call {index + 1}{who}, but the script of {self.name} has {len(self._steps)} steps: add a step, or find "
            f"out why the agent goes on. It was asked: {last}; tools offered: {tools}"
        )
        self._refused.append(message)
        return UnexpectedCall(message, index=index, steps=len(self._steps))


def _stated(replies: Iterable[Reply | BaseException | type[BaseException]]) -> Price | None:
    """The most that a script's own replies cost, as a price per call; None when one of them does not say."""
    costs = [reply.cost for reply in replies if isinstance(reply, Reply)]
    if None in costs:
        return None
    most = max((Decimal(cost) for cost in costs if cost is not None), default=FREE)
    return Price(input=FREE, output=FREE, request=most) if most else FREE_PRICE


def _step(answer: object) -> Reply | BaseException | type[BaseException]:
    kind = type(answer)
    if kind is str:
        return _reply(Message("assistant", (Text(cast("str", answer)),)))
    if kind is ToolCall:
        return _reply(Message("assistant", (cast("ToolCall", answer),)))
    if isinstance(answer, Reply | BaseException):
        return answer
    if isinstance(answer, type):
        if issubclass(answer, BaseException):
            return answer
        raise ConfigurationError(f"{answer.__name__} is not an exception: write an answer, or an exception to raise")
    return _reply(_message(answer))


def _message(answer: object) -> Message:
    if isinstance(answer, Message):
        return answer
    if isinstance(answer, str | Part):
        return assistant(cast("AnyPart | str", answer))
    if isinstance(answer, list | tuple):
        parts = cast("list[object]", answer)
        if all(isinstance(part, str | Part) for part in parts):
            return assistant(*cast("list[AnyPart | str]", parts))
    raise ConfigurationError(
        "a script's answer is text, a ToolCall, a list of them, a Message, a Reply or an exception, "
        f"not {answer!r:.200}"
    )


def _reply(message: Message) -> Reply:
    finish = "stop"
    for part in message.parts:
        if type(part) is ToolCall:
            finish = "tool_calls"
            break
    return Reply(message, Usage(0, estimate_tokens(message.parts)), finish, None, "0")


def _counted(reply: Reply, request: ModelRequest, cost: str | None) -> Reply:
    """The reply with an estimate of the input. Only the last message is measured: the whole conversation at each call
    would make a long run quadratic."""
    messages = request.messages
    count = len(messages)
    given = 4 * count + (estimate_tokens(messages[-1].parts) if count else 0)
    return Reply(reply.message, Usage(given, reply.usage.output_tokens), reply.finish, reply.model, cost)


def _digest(answers: list[Answer]) -> str:
    return digest_of([_canonical(answer) for answer in answers]).hex()[:6]


def _canonical(answer: object) -> object:
    if isinstance(answer, type):
        return ["raise", answer.__name__]
    if isinstance(answer, BaseException):
        return ["raise", type(answer).__name__, str(answer)]
    if isinstance(answer, list | tuple):
        return [_canonical(part) for part in cast("list[object]", answer)]
    if isinstance(answer, msgspec.Struct):
        try:
            digest_of(answer)
        except (TypeError, ValueError, OverflowError):  # arguments that no journal could hold, but a repr can
            return repr(answer)
    return answer


def _show(step: Reply | BaseException | type[BaseException]) -> str:
    if not isinstance(step, Reply):
        return repr(step)
    calls = [f"{call.name}({', '.join(call.args)})" for call in step.message.tool_calls]
    return " + ".join([repr(_short(step.message.text))] * bool(step.message.text) + calls) or "''"


def _last(request: ModelRequest) -> str:
    if not request.messages:
        return "nothing"
    message = request.messages[-1]
    text = message.text or "; ".join(str(getattr(part, "content", "")) for part in message.parts)
    return f"{message.role} message {_short(text)!r}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"
