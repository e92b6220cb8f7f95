"""Marks for the prompt cache: where they stand, and that one turn's marks serve the next."""

from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.messages import (
    Message,
    ModelRequest,
    Raw,
    Settings,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    tool_results,
    user,
)
from podium.models.anthropic.request import Dialect, encode_request

MODEL = "claude-sonnet-5-5"
SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
NOW = ToolSpec("now", "The time.", {})
MINE = Thinking("hm", "sig", "anthropic")


def encode(*messages, tools=(), model=MODEL, output=None, stream=False, dialect=None, **options):
    request = ModelRequest(messages or (user("hi"),), tools, Settings(**options), output)
    return encode_request(request, model, stream=stream, dialect=dialect or Dialect())


def said(text: str, **more) -> dict:
    return {"type": "text", "text": text, **more}


def marks(body: dict) -> list[str]:
    """Where the marks are, as paths."""
    found = [f"tools.{i}" for i, tool in enumerate(body.get("tools", [])) if "cache_control" in tool]
    found += [f"system.{i}" for i, block in enumerate(body.get("system", [])) if "cache_control" in block]
    for t, turn in enumerate(body["messages"]):
        found += [f"messages.{t}.{b}" for b, block in enumerate(turn["content"]) if "cache_control" in block]
    return found


CALLED_ONCE = (
    system("a"), system("b"), user("q"), assistant(MINE, ToolCall("search", {"q": "x"}, "c1")),
    tool_results(ToolResult("c1", "search", "one")),
)  # fmt: skip


def test_marks_stand_after_tools_instructions_and_the_ends_of_this_request_and_the_one_before():
    body = encode(*CALLED_ONCE, tools=(SEARCH, NOW))
    assert marks(body) == ["tools.1", "system.1", "messages.0.0", "messages.2.0"]
    assert body["tools"][1]["cache_control"] == {"type": "ephemeral"}


def test_an_hour_is_said_on_every_mark():
    body = encode(*CALLED_ONCE, prompt_cache="1h")
    assert marks(body) == ["system.1", "messages.0.0", "messages.2.0"]
    assert body["system"][1]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_without_tools_nothing_is_marked_unless_asked_for():
    assert marks(encode(*CALLED_ONCE)) == []
    assert marks(encode(*CALLED_ONCE, tools=(SEARCH,), prompt_cache="off")) == []
    assert marks(encode(*CALLED_ONCE, prompt_cache="5m")) == ["system.1", "messages.0.0", "messages.2.0"]


def test_thinking_is_never_marked():
    paused = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    body = encode(user("q"), assistant("a", MINE, Raw("anthropic", paused)), prompt_cache="5m")
    assert marks(body) == ["messages.0.0", "messages.1.0"]


def test_there_are_never_more_than_four_marks_and_the_callers_own_are_kept():
    own = {"name": "own", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}
    late = {"name": "late", "input_schema": {"type": "object"}, "defer_loading": True}
    extra = {"tools": [own, late], "system": [said("c", cache_control={"type": "ephemeral"}), said("d")]}
    body = encode(*CALLED_ONCE, tools=(SEARCH,), extra=extra)
    assert marks(body) == ["tools.1", "system.0", "system.1", "messages.2.0"]
    assert extra["system"][1] == said("d")
    automatic = encode(*CALLED_ONCE, tools=(SEARCH,), extra={"cache_control": {"type": "ephemeral"}})
    assert marks(automatic) == ["tools.0", "system.1"]


TEXTS = st.text("ab \n", max_size=3)


@st.composite
def exchanges(draw) -> list[Message]:
    """One turn of an agent: what is said or returned to it, and its answer."""
    calls = draw(st.integers(0, 3))
    number = draw(st.integers(0, 10**9))
    ids = [f"c{number}_{index}" for index in range(calls)]
    thoughts = draw(st.lists(st.sampled_from([MINE, Thinking("x", "y", "gemini")]), max_size=1))
    said = [Text(text) for text in draw(st.lists(TEXTS, max_size=2))]
    found = [user(draw(TEXTS)) for _ in range(draw(st.integers(0, 2)))]
    if draw(st.booleans()):
        found.append(system(draw(TEXTS)))
    found.append(Message("assistant", (*thoughts, *said, *(ToolCall("search", {"q": "z"}, id) for id in ids))))
    if ids:
        results = (ToolResult(id, "search", draw(TEXTS), draw(st.booleans())) for id in ids)
        found.append(Message("tool", tuple(results)))
    return found


def without_marks(value):
    if isinstance(value, dict):
        return {name: without_marks(each) for name, each in value.items() if name != "cache_control"}
    return [without_marks(each) for each in value] if isinstance(value, list) else value


def prefix(body: dict, *, marked: bool) -> list:
    """A request as the provider reads it, flat: tools, instructions, and the blocks (to the last mark)."""
    flat = [*body["tools"], *body["system"]]
    flat += [(turn["role"], block) for turn in body["messages"] for block in turn["content"]]
    last = max(i for i, each in enumerate(flat) if "cache_control" in (each[1] if isinstance(each, tuple) else each))
    flat = flat[: last + 1] if marked else flat
    return [(each[0], without_marks(each[1])) if isinstance(each, tuple) else without_marks(each) for each in flat]


@settings(max_examples=150, deadline=None)
@given(st.lists(exchanges(), min_size=1, max_size=4))
def test_what_one_turn_marks_is_the_beginning_of_the_next(talk):
    messages = [system("Be brief."), user("begin")]
    before: list | None = None
    for exchange in talk:
        body = encode(*messages, tools=(SEARCH, NOW))
        assert len(marks(body)) <= 4
        if before is not None:
            assert prefix(body, marked=False)[: len(before)] == before
        before = prefix(body, marked=True)
        messages += exchange
