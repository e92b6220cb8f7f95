"""The one vocabulary of conversations: messages of parts, the request to a model and its reply.

Provider codecs translate between these values and a wire; nothing else in Podium knows a provider's shape. Values are
frozen and compactly encoded (positions, not names): a field may be added at the end of a class, with a default, and
never moved or removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast, overload

import msgspec

from .usage import NO_USAGE, Usage


class Part(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """The base of everything a message can hold."""


class Text(Part, tag="text", frozen=True, gc=False, array_like=True):
    """Plain text."""

    text: str


class Media(Part, tag="media", frozen=True, gc=False, array_like=True, omit_defaults=True):
    """An image or a file, by value (`data`) or by address (`url`)."""

    media_type: str
    data: bytes = b""
    url: str | None = None
    name: str | None = None


class ToolCall(Part, tag="call", frozen=True, gc=False, array_like=True, omit_defaults=True):
    """A model's wish to call a tool. `id` ties it to its `ToolResult`; the runtime fills a missing one."""

    name: str
    args: dict[str, Any] = {}
    id: str | None = None
    invalid: str | None = None
    """Why the arguments could not be read, when a model wrote something that is not a JSON object."""
    signature: str | None = None
    """An opaque token that goes back to its provider with the call (Gemini's thought signatures)."""


class ToolResult(Part, tag="result", frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What came of a `ToolCall`, as the model sees it."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


class Thinking(Part, tag="thinking", frozen=True, gc=False, array_like=True, omit_defaults=True):
    """A model's reasoning; `signature` is opaque and goes back to its provider unchanged, and to no other."""

    text: str
    signature: str | None = None
    provider: str | None = None
    """Whose signature it is (`anthropic`, `openai-responses`, `azure`, `gemini`); None when nobody said."""


class Raw(Part, tag="raw", frozen=True, gc=False, array_like=True):
    """A block of a provider that Podium has no name for, kept as it came."""

    provider: str
    data: dict[str, Any]


AnyPart: TypeAlias = Text | Media | ToolCall | ToolResult | Thinking | Raw
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


class Message(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """One entry of a conversation. Build one with `system`, `user`, `assistant` or `tool_results`."""

    role: Role
    parts: tuple[AnyPart, ...]
    name: str | None = None

    @property
    def text(self) -> str:
        """All text parts, joined."""
        parts = self.parts
        if len(parts) == 1 and type(parts[0]) is Text:
            return parts[0].text
        return "".join(part.text for part in parts if type(part) is Text)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls in this message, in the order the model wrote them."""
        return tuple([part for part in self.parts if type(part) is ToolCall])


def system(text: str) -> Message:
    """A message with the developer's instructions."""
    return Message("system", (Text(text),))


def user(content: str | Sequence[AnyPart], name: str | None = None) -> Message:
    """A message of the person (or program) an agent serves."""
    parts: tuple[AnyPart, ...] = (Text(content),) if isinstance(content, str) else tuple(content)
    return Message("user", parts, name)


def assistant(*parts: AnyPart | str) -> Message:
    """A message written by a model."""
    return Message("assistant", tuple([Text(part) if isinstance(part, str) else part for part in parts]))


def tool_results(*results: ToolResult) -> Message:
    """The results of all calls of the preceding assistant message, in call order."""
    return Message("tool", results)


class ToolSpec(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """A tool as a model sees it. `parameters` is a JSON Schema object (2020-12)."""

    name: str
    description: str
    parameters: dict[str, Any]
    returns: dict[str, Any] | None = None


class OutputSpec(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The shape an answer must have: a name and a JSON Schema."""

    name: str
    schema: dict[str, Any]


class Settings(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """How a model is asked to work. `None` leaves the provider's own default; `extra` goes into the body as it is."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or the name of the one tool to call."""
    reasoning_effort: str | None = None
    parallel_tool_calls: bool | None = None
    timeout: float | None = None
    """Seconds one call of the model may take."""
    extra: dict[str, Any] = {}
    prompt_cache: str | None = None
    """How long the provider should keep the prompt's stable beginning (instructions, tools, conversation) for the next
    call: `5m`, `1h`, or `off`. None is on (`5m`) for requests that offer tools, since an agent asks again and again."""


class Messages(Sequence[Message]):
    """A frozen view of the first `length` messages of an append-only list.

    A conversation of n turns makes n requests; a view costs the same for the last as for the first, where a copied
    tuple would make the whole run quadratic.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[Message], length: int | None = None) -> None:
        self._items = items
        self._length = len(items) if length is None else length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        if isinstance(index, slice):
            return [self._items[i] for i in range(*index.indices(self._length))]
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._items[index]

    def __iter__(self) -> Iterator[Message]:
        items = self._items
        for index in range(self._length):
            yield items[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(cast("Sequence[object]", other))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"Messages({list(self)!r})"


class ModelRequest(msgspec.Struct, frozen=True, gc=False):
    """Everything a model is given. It is never journaled whole: see `podium.core.transcript`."""

    messages: Sequence[Message]
    tools: tuple[ToolSpec, ...] = ()
    settings: Settings = Settings()
    output: OutputSpec | None = None
    agent: str = ""
    """The member that asks, for logs and for models that serve several agents."""
    calls: Mapping[str, int] = {}
    """Finished calls of this model in this run's journal, by agent: a scripted model continues where the run is."""


class Reply(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What a model answered."""

    message: Message
    usage: Usage = NO_USAGE
    finish: str = "stop"
    """`stop`, `tool_calls`, `length`, `refusal`, `content_filter`, or the provider's own word."""
    model: str | None = None
    """The exact model that answered, when the provider says."""
    cost: str | None = None
    """US dollars as a decimal string; `None` when the price is not known."""
