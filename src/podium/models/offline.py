"""`OfflineModel`: rules instead of a language model, so that everything can be tried without a key or a network.

It understands nothing. It picks tools and options by the words they share with the conversation (BM25), fills
arguments by their types, and answers with pieces of tool results and of the conversation, which it says plainly. The
same request always gives the same reply. Good for wiring up a team, demonstrations and tests; never for judgement.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from podium.core.errors import ContextTooLong
from podium.core.messages import AnyPart, Message, ModelRequest, Reply, Text, ToolCall, ToolSpec
from podium.core.prices import FREE_PRICE
from podium.core.usage import Usage
from podium.ports import Emitter

from .extract import Extractor
from .filling import fill
from .lexical import BM25, tokens
from .pieces import emit_reply, estimate_input, estimate_tokens
from .sources import MAX_TEXT, Sources, sentences, sources_of

MODEL = "offline-rules"
"""What replies name as their model."""
THRESHOLD = 0.35
"""A tool with required arguments is called when it scores at least this share of the best score."""
MAX_LINES = 5
"""Lines of an extract."""
MAX_INPUT = 8_000_000
"""Characters of a conversation that are accepted."""


class OfflineModel:
    """A model of deterministic rules, named `offline`. No language model, no key, no network, no cost.

    With tools: it calls, once per user message and side by side, those whose words fit the system prompt and the last
    user text and whose required arguments the text holds. Else it answers: with an output schema by a value made of
    tool results and of JSON in the user's message, without one by the most relevant lines. `Reply.model` is
    `offline-rules` in every answer. Raises ContextTooLong beyond `MAX_INPUT` characters.
    """

    name = "offline"
    price = FREE_PRICE

    def __repr__(self) -> str:
        return "OfflineModel()"

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Answer by the rules; with `emit`, in pieces."""
        reply = answer(request)
        if emit is not None:
            emit_reply(reply, emit)
        return reply


def answer(request: ModelRequest) -> Reply:
    """The reply the rules give: a pure function of the request."""
    given = estimate_input(request.messages)
    if 4 * given > MAX_INPUT:
        raise ContextTooLong(f"the offline model reads at most {MAX_INPUT} characters: shorten the conversation")
    sources = sources_of(request)
    calls = _calls(request, sources)
    parts: tuple[AnyPart, ...]
    if calls:
        parts = tuple(calls)
    elif request.output is not None:
        value = Extractor(request.output.schema, sources).value()
        parts = (Text(json.dumps(value, ensure_ascii=False)),)
    else:
        parts = (Text(_extract(sources)),)
    return Reply(
        Message("assistant", parts),
        Usage(given, estimate_tokens(parts)),
        "tool_calls" if calls else "stop",
        MODEL,
        "0",
    )


# ------------------------------------------------------------------------------------------------------------- tools


def _calls(request: ModelRequest, sources: Sources) -> list[ToolCall]:
    choice = request.settings.tool_choice
    fresh = [tool for tool in request.tools if tool.name not in sources.called]
    if choice == "none" or not fresh:
        return []
    forced = choice == "required" and not sources.called
    if choice not in (None, "auto", "required"):
        fresh, forced = [tool for tool in fresh if tool.name == choice], True
    calls: list[ToolCall] = []
    for tool, wanted in _ranked(fresh, sources):
        if not wanted and (not forced or calls):
            continue
        args = fill(tool, sources.question, sources.given)
        if args is not None:
            calls.append(ToolCall(tool.name, args))
    order = {tool.name: at for at, tool in enumerate(request.tools)}
    if request.settings.parallel_tool_calls is False:
        return calls[:1]
    return sorted(calls, key=lambda call: order[call.name])


def _ranked(tools: Sequence[ToolSpec], sources: Sources) -> list[tuple[ToolSpec, bool]]:
    """Tools, best first, and whether each fits well enough. The user's words count twice the prompt's."""
    scorer = BM25([tokens(f"{tool.name} {tool.name} {tool.description}") for tool in tools])
    asked = scorer.scores(tokens(sources.question[:MAX_TEXT]))
    told = scorer.scores(tokens(sources.instructions))
    scores = [2 * a + t for a, t in zip(asked, told, strict=True)]
    least = THRESHOLD * max(scores, default=0.0)
    # One without required arguments only has to be related: the question cannot say more about it than that.
    wanted = [
        score > 0 and (score >= least or not tool.parameters.get("required"))
        for tool, score in zip(tools, scores, strict=True)
    ]
    order = sorted(range(len(tools)), key=lambda at: -scores[at])
    return [(tools[at], wanted[at]) for at in order]


# ----------------------------------------------------------------------------------------------------------- answers


def _extract(sources: Sources) -> str:
    """The most relevant lines, in their own order, under a heading that says where they come from."""
    lines = list(sources.results)
    heading = "Offline extract from tool results (no language model):"
    query = tokens(sources.question)
    if not lines:
        heading = "Offline extract from the conversation (no language model, no tool results):"
        lines = sentences(sources.question)
        query = tokens(f"{sources.instructions} {sources.question}")
    scores = BM25([tokens(line) for line in lines]).scores(query)
    order = sorted(range(len(lines)), key=lambda at: (-scores[at], at))
    relevant = [at for at in order if scores[at] > 0] if len(lines) > MAX_LINES else order
    chosen = sorted((relevant or order)[:MAX_LINES])
    shown = [f"- {lines[at]}" for at in chosen] + [f"- {failure}" for failure in sources.failures]
    return "\n".join([heading, *(shown or ["- nothing was asked"])])
