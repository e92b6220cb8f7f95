"""The agent: ask the model, call the tools it wants, show it the results, until it answers.

One loop, written on the same `ctx` as any member; streaming is a subscription to what it journals. Reaching
`max_iterations` is a typed outcome (`exhausted`) that keeps what was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, cast

import msgspec
from typing_extensions import TypeVar

from podium.core.actions import Action, CallModel, CallTool, Retry
from podium.core.choices import Choice
from podium.core.codec import content_digest, digest_of, encode
from podium.core.conversation import result_part, result_text
from podium.core.errors import Aborted, BudgetExceeded, ConfigurationError, Exhausted, InvalidOutput
from podium.core.messages import (
    Message,
    ModelRequest,
    OutputSpec,
    Reply,
    Settings,
    ToolCall,
    ToolResult,
    ToolSpec,
    system,
    tool_results,
    user,
)
from podium.core.transcript import FromPin, FromSession, FromSteps, Transcript
from podium.ports import Check, Context, Model, Receipt, Runner, Tool, tools_in
from podium.ports.selectors import named, selector
from podium.schema import OutputType, output_type

from .member import Runnable
from .review import Accepted, Review, Reviewing, ReviewPin
from .role import Role

Deps = TypeVar("Deps", default=Any)
Output = TypeVar("Output", default=str)


class AgentConfig(msgspec.Struct, frozen=True, array_like=True):
    """What an agent is, as it is pinned: a resumed run keeps using this."""

    name: str
    model: str
    system: str
    tools: tuple[ToolSpec, ...]
    settings: Settings
    output: OutputSpec | None
    max_iterations: int
    output_retries: int = 2
    chosen: int = 0
    """The version of the model that was chosen in place of the agent's own; 0 for its own."""
    review: ReviewPin | None = None
    named: dict[str, str] = {}
    """The tools among `tools` that were given by name, and their versions: they are looked up when they are called."""


PAUSED = "pause_turn"
"""Why a reply ends when its provider stopped a long turn of its own tools. It goes on when it is asked again."""

_config = msgspec.msgpack.Decoder(AgentConfig)


class Agent(Runnable[Output], Generic[Deps, Output]):
    """A model with tools and instructions.

    `model` is a Model or a name (`"openai:gpt-…"`, `"offline"`); None takes the app's default. `tools` are the only
    tools it may call: each is one, or the name of one of the app's (`"shop_search"`, `"shop_*"` for all that are so
    called), whose version and schema are pinned with the rest when a run first calls the agent. `output` is the type of
    its answer: `str`, a Pydantic model or any other type; an answer that does not fit is sent back with the error at
    most `output_retries` times. `history` bounds how many messages of its session it is shown. `timeout` is in seconds
    for one call of the agent, `retry` is for transient model failures. `cache` is for how many seconds an equal request
    to its model may be answered with the reply it had before, at no cost; None is not at all. `approvals` are checks
    (`podium.Approval`) that hold its tool calls for a person; `review` says which of its answers wait for one.
    An agent is not changed after it is made; `replace(...)` gives a changed copy.
    """

    def __init__(
        self,
        name: str,
        model: Model | str | None = None,
        tools: Sequence[Tool | str] = (),
        system_prompt: str = "",
        *,
        role: Role | None = None,
        output: type[Output] | Any = str,
        description: str = "",
        capabilities: Sequence[str] = (),
        max_iterations: int = 20,
        output_retries: int = 2,
        history: int = 40,
        settings: Settings | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        cache: float | None = None,
        approvals: Sequence[Check] = (),
        review: Review | None = None,
    ) -> None:
        if not name:
            raise ConfigurationError("an agent needs a name")
        if max_iterations < 1:
            raise ConfigurationError(f"max_iterations of agent {name!r} must be at least 1, not {max_iterations}")
        self.name = name
        self.model = model
        self.tools, self.named = _checked(name, tools)
        """Those it was given, by name, and the names of those that the app has."""
        self.system_prompt = system_prompt
        self.role = role
        self.output = output
        self.description = description or (role.name if role else "")
        self.capabilities = tuple(capabilities)
        self.max_iterations = max_iterations
        self.output_retries = output_retries
        self.history = history
        self.settings = settings or Settings()
        self.timeout = timeout
        self.retry = retry or Retry()
        self.cache = cache
        self.grants = frozenset(self.tools)
        self.approvals = _checks(name, approvals)
        self.review = review
        self._output: OutputType[Output] = output_type(output)
        if review is not None:
            if not isinstance(cast("object", review), Review):
                raise ConfigurationError(f"review={review!r} of agent {name!r} is not one: write review=Review(0.7)")
            review.check(name, self._output)
        self._pin: tuple[str, bytes] | None = None
        self._own: _Form | None = None
        self._pinned: tuple[bytes, _Form] | None = None
        bind = getattr(model, "bind", None)
        if bind is not None:
            bind(name)

    def replace(self, **changes: Any) -> Agent[Any, Any]:
        """A copy with other arguments, named as in the constructor."""
        own: dict[str, Any] = {
            "name": self.name,
            "model": self.model,
            "tools": [*self.tools.values(), *self.named],
            "system_prompt": self.system_prompt,
            "role": self.role,
            "output": self.output,
            "description": self.description,
            "capabilities": self.capabilities,
            "max_iterations": self.max_iterations,
            "output_retries": self.output_retries,
            "history": self.history,
            "settings": self.settings,
            "timeout": self.timeout,
            "retry": self.retry,
            "cache": self.cache,
            "approvals": self.approvals,
            "review": self.review,
        }
        return Agent(**{**own, **changes})

    def __repr__(self) -> str:
        return f"Agent({self.name!r})"

    # --------------------------------------------------------------------------------------------------------- values

    def instructions(self) -> str:
        """The whole system prompt: the role's text, then `system_prompt`."""
        parts = [self.role.text() if self.role else "", self.system_prompt.strip()]
        return "\n\n".join(part for part in parts if part)

    def config(self, found: Sequence[Tool] = ()) -> AgentConfig:
        """What is pinned at the agent's first Call in a run. `found` are the tools it names."""
        model = self.model
        found = [tool for tool in found if tool.name not in self.grants]  # its own go before what a pattern finds
        return AgentConfig(
            self.name,
            "" if model is None else model if isinstance(model, str) else model.name,
            self.instructions(),
            (*self._specs(), *[tool.spec for tool in found]),
            self.settings,
            self._output.spec,
            self.max_iterations,
            self.output_retries,
            review=None if self.review is None else self.review.pin,
            named={tool.name: tool.version for tool in found},
        )

    def granted(self, pinned: bytes | None) -> frozenset[str]:
        """The names of the tools it may call with this configuration: those it was given, and those it names."""
        form = self._form(pinned)
        return self.grants.union(spec.name for spec in form.config.tools if named(self.named, spec.name))

    def pin(self, choice: Choice | None = None, found: Sequence[Tool] = ()) -> tuple[str, bytes]:
        """The address and the bytes of the configuration, with the model that was chosen for it.

        `found` are the tools it names.
        """
        if choice is not None:
            own = self.config(found)
            settings = choice.model.settings or own.settings
            changed = msgspec.structs.replace(own, model=choice.model.model, settings=settings, chosen=choice.number)
            content = encode(changed)
            return content_digest(content), content
        if found:
            content = encode(self.config(found))
            return content_digest(content), content
        if self._pin is None:
            content = encode(self.config())
            self._pin = (content_digest(content), content)
        return self._pin

    def load_output(self, plain: Any) -> Output:
        """An output from its journaled form."""
        return plain if self._output.is_text else self._output.load(plain)

    def dump_output(self, value: Any) -> Any:
        """An output's journaled form."""
        return self._output.dump(value)

    def _form(self, pinned: bytes | None) -> _Form:
        if self.named and pinned is not None:
            # What its tools are stands nowhere but in what is pinned.
            if self._pinned is None or self._pinned[0] != pinned:
                self._pinned = pinned, _Form(_config.decode(pinned), self.model)
            return self._pinned[1]
        own = self._own
        if own is None:
            own = self._own = _Form(self.config(), self.model)
        if pinned is None or (self._pin is not None and pinned == self._pin[1]):
            return own
        return _Form(_config.decode(pinned), self.model)

    # ----------------------------------------------------------------------------------------------------------- loop

    async def __call__(self, ctx: Context, input: Any = None) -> Any:
        """Answer `input`: text, a Message, a list of messages, or any plain value (shown to the model as JSON)."""
        form = self._form(ctx.pinned)
        transcript = Transcript()
        if form.config.system:
            transcript.add(form.system, FromPin())
        session = _session(ctx, self.name)
        if session:
            earlier = await ctx.history(self.history, session=session)
            stop = earlier.start + len(earlier.messages)
            transcript.add_all(earlier.messages, FromSession(session, earlier.start, stop))
        if "/" not in ctx.key:
            for message in ctx.given:
                transcript.add(message)
        fresh = len(transcript)
        for message in _messages(input):
            transcript.add(message)
        answer = await self._turns(ctx, form, transcript)
        if session:
            await ctx.remember(transcript.view()[fresh:], session=session)
        return answer

    async def _turns(self, ctx: Context, form: _Form, transcript: Transcript) -> Any:
        config = form.config
        rejected = 0
        text = ""
        reviewing = None if config.review is None else Reviewing(self.name, config.review, self.review, self._output)
        for left in range(config.max_iterations - 1, -1, -1):
            turn = ctx.scope("turn")
            try:
                reply = await self._ask(turn, form, transcript)
                if reviewing is None:  # what nobody has looked at yet is not given out when a limit ends the run
                    text = reply.message.text or text
                if calls := reply.message.tool_calls:
                    results, seqs = await self._use(turn, form, calls)
                    transcript.add(tool_results(*results), FromSteps(seqs), turn.key)
                    continue
            except Exhausted as error:
                if error.partial is None:
                    error.partial = text or None  # what was reached before a budget ended it
                raise
            if reply.finish == PAUSED:
                continue
            try:
                answer: Any = reply.message.text if self._output.is_text else self._output.parse(reply.message.text)
            except InvalidOutput as error:
                if rejected >= config.output_retries:
                    raise
                rejected += 1
                transcript.add(user(f"That answer does not fit. {error}\nAnswer again in the required form only."))
                continue
            if reviewing is None:
                return answer
            word = await reviewing.settle(turn, answer, last=not left)
            if isinstance(word, Accepted):
                if word.edited:
                    said = result_text(self._output.dump(word.output))
                    transcript.add(user(f"A person has replaced that answer with:\n{said}"))
                return word.output
            transcript.add(user(f"A person has read that answer and asks for a better one: {word.text}"))
        raise Exhausted(
            f"{self.name} did not answer within {config.max_iterations} iterations",
            partial=text or None,
            iterations=config.max_iterations,
        )

    async def _ask(self, turn: Context, form: _Form, transcript: Transcript) -> Reply:
        config = form.config
        request = ModelRequest(transcript.view(), config.tools, config.settings, config.output, self.name)
        receipt: Receipt = await turn.perform(
            CallModel(
                form.model,
                request,
                transcript,
                form.digest,
                self.retry,
                config.settings.timeout,
                self.cache,
                config.review is not None,
            )
        )
        if receipt.error is not None:
            raise receipt.error
        reply: Reply = receipt.value
        transcript.add(reply.message, FromSteps((receipt.seq,)), receipt.key)
        return reply

    async def _use(
        self, turn: Context, form: _Form, calls: tuple[ToolCall, ...]
    ) -> tuple[list[ToolResult], tuple[int, ...]]:
        """Perform the calls side by side; results in the order of the calls."""
        steps = [turn.perform(self._action(call, form.config)) for call in calls]
        if len(steps) > 1:
            for step in steps:
                step.start()
        results: list[ToolResult] = []
        seqs: list[int] = []
        for call, step in zip(calls, steps, strict=True):
            receipt: Receipt = await step
            error = receipt.error
            if isinstance(error, Aborted | BudgetExceeded):
                raise error
            value = self._shown(call, receipt.value)
            results.append(result_part(call, value, None if error is None else error.failure))
            seqs.append(receipt.seq)
        return results, tuple(seqs)

    def _action(self, call: ToolCall, config: AgentConfig) -> Action:
        """What a call of the model asks for."""
        tool = self.tools.get(call.name)
        version = "" if tool is not None else config.named.get(call.name, "")
        return CallTool(call.name, call.args, tool, None, call.invalid, version)

    def _shown(self, call: ToolCall, value: Any) -> Any:
        """The value of a call as plain data."""
        return value

    def _specs(self) -> tuple[ToolSpec, ...]:
        """What the model is offered of what the agent was given."""
        return tuple([tool.spec for tool in self.tools.values()])

    async def respond_to_message(self, text: str, *, app: Runner | None = None, deps: Any = None) -> Any:
        """`run` in the agent's own session, so that it remembers what was said before."""
        return await self.run(text, app=app, deps=deps, session=f"agent:{self.name}")


class _Form:
    """A configuration made ready for requests."""

    __slots__ = ("config", "digest", "model", "system")

    def __init__(self, config: AgentConfig, model: Model | str | None) -> None:
        self.config = config
        # A model given as an object cannot be pinned; a name can.
        own = config.model if model is None or config.chosen else model
        self.model: Model | str = config.model if isinstance(own, str) else own
        self.system: Message = system(config.system)
        self.digest = digest_of((config.model, config.tools, config.settings, config.output))


def _checked(agent: str, tools: Sequence[Tool | str]) -> tuple[dict[str, Tool], tuple[str, ...]]:
    found: dict[str, Tool] = {}
    names, objects = _told_apart(tools)
    for tool in tools_in(objects, f"the tools of agent {agent!r}"):
        if tool.name in found:
            raise ConfigurationError(f"agent {agent!r} has two tools named {tool.name!r}: give one another name")
        found[tool.name] = tool
    for name in names:
        _a_name(agent, name)
        if name in found or names.count(name) > 1:
            raise ConfigurationError(f"agent {agent!r} has two tools named {name!r}: give it one of them")
    return found, tuple(names)


def _told_apart(tools: Sequence[Tool | str]) -> tuple[list[str], Sequence[Tool]]:
    """Names, and what is given as tools, whatever it is."""
    given = cast("object", [tools] if isinstance(tools, str) else tools)
    if not isinstance(given, Sequence):
        return [], cast("Sequence[Tool]", given)
    each = cast("Sequence[Tool | str]", given)
    return [one for one in each if isinstance(one, str)], [one for one in each if not isinstance(one, str)]


def _a_name(agent: str, text: str) -> None:
    """Raise ConfigurationError for what is neither the name nor a pattern of names of tools of the app."""
    try:
        kind = selector(text).kind
    except ConfigurationError as error:
        raise ConfigurationError(f"the tools of agent {agent!r}: {error}") from None
    if kind != "name":
        raise ConfigurationError(
            f"the tools of agent {agent!r}: {text!r} is no name: write 'shop_search', or 'shop_*' for all of them"
        )


def _checks(agent: str, approvals: Sequence[Check]) -> tuple[Check, ...]:
    if callable(approvals):
        raise ConfigurationError(f"the approvals of agent {agent!r} are a list: write approvals=[{approvals!r}]")
    for check in approvals:
        if not callable(check) or not hasattr(check, "kinds"):
            raise ConfigurationError(f"{check!r} in the approvals of agent {agent!r} is not one: use Approval(...)")
    return tuple(approvals)


def _session(ctx: Context, name: str) -> str:
    """The conversation of this agent: the run's own for its root member, one beside it for each agent below."""
    session = ctx.session
    if not session or "/" not in ctx.key:
        return session
    return f"{session}/{name}"


def _messages(input: Any) -> Sequence[Message]:
    if isinstance(input, str):
        return (user(input),)
    if input is None:
        return ()
    if isinstance(input, Message):
        return (input,)
    if isinstance(input, list | tuple):
        items = cast("Sequence[object]", input)
        messages = [item for item in items if isinstance(item, Message)]
        if messages and len(messages) == len(items):
            return messages
    return (user(result_text(cast("object", input))),)
