"""`OfflineModel`: which tools it calls, what it puts into arguments, and that it answers only with what it has."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.deltas import TextDelta
from podium.core.errors import ContextTooLong
from podium.core.messages import (
    ModelRequest,
    OutputSpec,
    Settings,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    tool_results,
    user,
)
from podium.models import OfflineModel
from podium.models.filling import fill
from podium.models.lexical import BM25, stem, tokens
from podium.models.schemas import Root
from podium.models.sources import embedded_json


def tool(name: str, description: str = "", required: tuple[str, ...] | None = None, **properties: object) -> ToolSpec:
    needed = list(properties) if required is None else list(required)
    return ToolSpec(name, description, {"type": "object", "properties": properties, "required": needed})


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
SECRETS = tool("check_secrets", "Find passwords and keys in the changed lines.")
LINT = tool("lint", "Run the linter on changed Python files.", (), path=STRING)
WEATHER = tool("weather", "The forecast for a city.", city=STRING)
FIND = tool("find", "", ("query",), query=STRING, limit=INTEGER)
SEARCH = tool("search", "Search the product catalogue.", query=STRING)

FINDING = {
    "type": "object",
    "properties": {
        "file": STRING,
        "line": INTEGER,
        "severity": {"type": "string", "enum": ["high", "low"]},
        "message": STRING,
    },
    "required": ["file", "line", "severity", "message"],
}
FINDING_LIST = {"findings": {"type": "array", "items": {"$ref": "#/$defs/Finding"}}}
FINDINGS = {
    "$defs": {"Finding": FINDING},
    "type": "object",
    "properties": FINDING_LIST,
    "required": ["findings"],
}
EDITED = {
    **FINDINGS,
    "properties": {"summary": STRING, **FINDING_LIST},
    "required": ["summary", "findings"],
}


def finding(file: str, line: int = 1, severity: str = "high", message: str = "password in code") -> dict:
    return {"file": file, "line": line, "severity": severity, "message": message}


async def ask(*messages, tools=(), output=None, **options):
    request = ModelRequest(
        messages, tools, Settings(**options), None if output is None else OutputSpec("output", output)
    )
    reply = await OfflineModel().request(request)
    assert reply.model == "offline-rules"
    assert reply.cost == "0"
    assert await OfflineModel().request(request) == reply
    return reply


async def value(*messages, output, tools=()):
    found = json.loads((await ask(*messages, output=output, tools=tools)).message.text)
    assert Root(output).fits(found, output)
    return found


def called(reply) -> list[tuple[str, dict]]:
    return [(call.name, call.args) for call in reply.message.tool_calls]


def results(*contents: object, error: bool = False):
    texts = [each if isinstance(each, str) else json.dumps(each) for each in contents]
    return tool_results(*(ToolResult(f"c{n}", f"tool{n}", text, error) for n, text in enumerate(texts)))


# ------------------------------------------------------------------------------------------------------------ review


async def test_a_reviewer_calls_the_tools_of_its_duties_side_by_side_and_once():
    duties = system("You are the security reviewer. Look for secrets and unsafe code; run the linter.")
    reply = await ask(duties, user("Review: adds login"), tools=(SECRETS, LINT, WEATHER), output=FINDINGS)
    assert (called(reply), reply.finish) == ([("check_secrets", {}), ("lint", {})], "tool_calls")
    again = await ask(
        duties, user("Review: adds login"), reply.message, results([], []), tools=(SECRETS, LINT), output=FINDINGS
    )
    assert again.message.text == '{"findings": []}'


async def test_a_reviewer_merges_the_findings_of_all_results_once_each_and_in_order():
    answer = await value(
        user("Review"),
        results(
            [{**finding("a.py"), "rule": "S105"}],
            {"checked": 3, "items": [finding("a.py"), finding("b.py", 9, "low", "unused import")]},
            "No JSON here, except [1] and {braces}.",
        ),
        output=FINDINGS,
    )
    assert answer == {"findings": [finding("a.py"), finding("b.py", 9, "low", "unused import")]}


async def test_an_editor_finds_the_reviewers_json_inside_the_text_it_is_given():
    text = (
        f"Merge the reviews.\nsecurity: {json.dumps({'findings': [finding('a.py')]})}\n"
        f"```json\n{json.dumps({'findings': [finding('a.py'), finding('c.py', 2)]}, indent=2)}\n```\n"
        "Thank you {name}."
    )
    answer = await value(system("You are the editor."), user(text), output=EDITED)
    assert answer["findings"] == [finding("a.py"), finding("c.py", 2)]
    assert answer["summary"] == "Offline summary: 2 findings. The first: password in code"


async def test_items_that_do_not_fit_the_schema_are_left_out():
    bad = [finding("a.py", severity="odd"), {"file": "x"}, {**finding("b.py"), "line": "nine"}]
    assert await value(user("x"), results(bad), output=FINDINGS) == {"findings": []}


# ------------------------------------------------------------------------------------------------------------- tools


async def test_only_tools_that_share_words_with_the_conversation_are_called():
    assert called(await ask(user("What is the weather in Paris?"), tools=(SEARCH, WEATHER))) == [
        ("weather", {"city": "Paris"})
    ]
    assert called(await ask(user("Tell me a joke"), tools=(SEARCH, WEATHER))) == []


async def test_the_system_prompt_counts_too():
    reply = await ask(
        system("You help people find products."), user("Which tents do you have?"), tools=(SEARCH, WEATHER)
    )
    assert called(reply) == [("search", {"query": "Which tents do you have?"})]


async def test_a_tool_is_not_called_again_until_the_user_speaks_again():
    first = user("What is the weather in Paris?")
    reply = await ask(first, tools=(WEATHER,))
    history = (first, reply.message, results("Sunny."))
    assert called(await ask(*history, tools=(WEATHER,))) == []
    assert called(await ask(*history, user("And the weather in Rome?"), tools=(WEATHER,))) == [
        ("weather", {"city": "Rome"})
    ]


async def test_tool_choice_and_parallel_calls_are_respected():
    asked = user("Find secrets and run the linter on Python files")
    assert called(await ask(asked, tools=(SECRETS, LINT), tool_choice="none")) == []
    assert len(called(await ask(asked, tools=(SECRETS, LINT), parallel_tool_calls=False))) == 1
    assert called(await ask(user("hello"), tools=(SECRETS, LINT), tool_choice="lint")) == [("lint", {})]
    assert len(called(await ask(user("hello"), tools=(SECRETS, LINT), tool_choice="required"))) == 1


@pytest.mark.parametrize(
    ("text", "spec", "args"),
    [
        ("Refund order 1234 please", tool("refund", order_id=INTEGER), {"order_id": 1234}),
        ("Refund A-1234, amount 9.50", tool("r", order_id=STRING, amount={"type": "number"}),
         {"order_id": "A-1234", "amount": 9.5}),
        ('Say "good morning" to ann@example.org.', tool("s", email=STRING, phrase=STRING),
         {"email": "ann@example.org", "phrase": "good morning"}),
        ("Fetch https://example.org/a?b=1.", tool("f", url=STRING), {"url": "https://example.org/a?b=1"}),
        ("Lint src/app/main.py and README.md", tool("l", paths={"type": "array", "items": STRING}),
         {"paths": ["src/app/main.py", "README.md"]}),
        ("Add 2 and 3.5", tool("a", values={"type": "array", "items": {"type": "number"}}), {"values": [2, 3.5]}),
        ("Make it dark blue", tool("c", colour={"enum": ["blue", "dark_blue"]}), {"colour": "dark_blue"}),
        ("tents, limit: 3", FIND, {"query": "tents, limit: 3", "limit": 3}),
        ("tents for 4 people", FIND, {"query": "tents for 4 people"}),
        ("Book 2026-11-21", tool("b", date={"type": "string", "format": "date"}), {"date": "2026-11-21"}),
        ("Book it", tool("b", date={"type": "string", "format": "date"}), None),
        ("Refund it", tool("refund", order_id=INTEGER), None),
        ("Send it", tool("s", email=STRING), None),
        ("5000", tool("q", n={"type": "integer", "maximum": 10}), None),
        ("Set verbose=yes", tool("v", verbose={"type": "boolean"}), {"verbose": True}),
        ("", tool("q", query=STRING), None),
        ("city: New York, days = 3", tool("w", city=STRING, days=INTEGER), {"city": "New York", "days": 3}),
        ('title="Two words"; day is 4', tool("w", title=STRING, day=INTEGER), {"title": "Two words", "day": 4}),
    ],
)  # fmt: skip
def test_arguments_come_from_the_text_by_their_types_or_not_at_all(text, spec, args):
    assert fill(ToolSpec(spec.name, spec.description, spec.parameters), text) == args


async def test_an_input_that_is_json_gives_arguments_by_name():
    reply = await ask(system("Give the forecast."), user('{"city": "New York", "days": 3}'), tools=(WEATHER, SEARCH))
    assert called(reply) == [("weather", {"city": "New York"})]


# ----------------------------------------------------------------------------------------------------------- choices

ROUTES = {"type": "object", "properties": {"route": {"enum": ["billing", "shipping", "other"]}}, "required": ["route"]}
PROMPT = "Pick one:\n- billing: invoices, payments and refunds\n- `shipping`: parcels and delivery\n- other: the rest"


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("I was charged twice, refund my payment", "billing"),
        ("Where is my parcel?", "shipping"),
        ("The delivery is late", "shipping"),
        ("Good morning", "other"),
    ],
)
async def test_an_option_is_chosen_by_its_name_and_description(text, route):
    assert await value(system(PROMPT), user(text), output=ROUTES) == {"route": route}
    assert await value(user(f"{text}\n{PROMPT}"), output={"enum": ["billing", "shipping", "other"]}) == route


# ------------------------------------------------------------------------------------------------------------ values


async def test_an_object_of_a_result_that_fits_is_the_answer():
    order = {"type": "object", "properties": {"id": INTEGER, "total": {"type": "number"}}, "required": ["id", "total"]}
    orders = [{"id": 1, "total": 5.0, "item": "tent"}, {"id": 2, "total": 7.5, "item": "stove"}]
    assert await value(user("The stove, please"), results({"id": 1, "total": 5.0, "x": 1}), output=order) == {
        "id": 1, "total": 5.0,
    }  # fmt: skip
    assert (await value(user("order 2"), results(orders), output=order))["id"] in (1, 2)


async def test_scalars_are_read_near_their_names_and_what_has_no_source_is_empty():
    shape = {
        "type": "object",
        "properties": {
            "total": {"type": "number"}, "count": INTEGER, "paid": {"type": "boolean"},
            "note": {"anyOf": [STRING, {"type": "null"}]}, "tags": {"type": "array", "items": STRING},
            "currency": {"type": "string", "default": "EUR"},
        },
        "required": ["total", "count", "paid", "tags", "currency"],
    }  # fmt: skip
    answer = await value(user("?"), results("The total is 1,042.50 for a count of 3."), output=shape)
    assert answer == {"total": 1042.5, "count": 3, "paid": False, "tags": [], "currency": "EUR"}


async def test_a_plain_value_is_taken_from_the_result():
    assert await value(user("How many?"), results("42"), output=INTEGER) == 42
    assert await value(user("How many?"), results("none"), output=INTEGER) == 0
    assert await value(user("Is it so?"), results("Yes, it is."), output={"type": "boolean"}) is True
    assert await value(user("Which?"), results(["a", "b"]), output={"type": "array", "items": STRING}) == ["a", "b"]


async def test_without_a_schema_the_answer_is_an_extract_that_says_so():
    lines = ["Tents keep rain out.", "Stoves cook.", "Maps help.", "Boots walk.", "Ropes hold.", "A tent weighs 2 kg."]
    reply = await ask(user("How heavy is a tent?"), results(" ".join(lines)))
    assert reply.message.text == (
        "Offline extract from tool results (no language model):\n- Tents keep rain out.\n- A tent weighs 2 kg."
    )


async def test_without_results_the_extract_is_of_the_conversation_and_does_not_pile_up_its_headings():
    first = await ask(user("Ship it today."))
    assert first.message.text.startswith("Offline extract from the conversation")
    second = await ask(user(first.message.text))
    assert second.message.text == first.message.text


async def test_a_failed_tool_is_named_and_not_used_as_a_source():
    reply = await ask(user("x"), results("timed out", error=True))
    assert "tool0 failed: timed out" in reply.message.text
    assert await value(user("x"), results([finding("a.py")], error=True), output=FINDINGS) == {"findings": []}


async def test_results_are_shown_one_line_for_each_object():
    reply = await ask(user("tents"), results({"products": [{"name": "Alpine tent", "price": 99}]}))
    assert "- products: name: Alpine tent, price: 99" in reply.message.text


async def test_a_subscriber_gets_the_answer_in_pieces():
    deltas = []
    reply = await OfflineModel().request(ModelRequest([user("Ship it today.")]), deltas.append)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == reply.message.text


async def test_a_conversation_without_end_is_refused():
    with pytest.raises(ContextTooLong):
        await ask(user("x" * 9_000_000))


words = st.text("aZ1 .,:-/@\"'{}[]#\n", max_size=200) | st.text(max_size=60)
shapes = st.recursive(
    st.sampled_from([STRING, INTEGER, {"type": "number"}, {"type": "boolean"}, {"enum": ["a", "b"]}, {}]),
    lambda inner: (
        st.builds(
            lambda names: {"type": "object", "properties": names, "required": list(names)},
            st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
        )
        | st.builds(lambda items: {"type": "array", "items": items}, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(words, words, words, shapes)
async def test_any_conversation_gets_an_answer_that_fits_any_schema(prompt, question, result, shape):
    messages = (system(prompt), user(question), assistant("x"), results(result))
    await value(*messages, output=shape)
    await ask(*messages, tools=(SEARCH, WEATHER))


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(st.integers() | st.text() | st.booleans(), lambda v: st.dictionaries(st.text(), v, min_size=1)), words
)
def test_json_is_found_wherever_it_stands_in_a_text(data, around):
    around = around.replace("{", "").replace("[", "").replace('"', "")
    if isinstance(data, dict):
        assert embedded_json(f"a {around} {json.dumps(data)} {around} b")[0] == [data]


# ----------------------------------------------------------------------------------------------------------- lexical


def test_words_of_one_family_have_one_stem():
    for family in (("refund", "refunds", "refunded", "refunding"), ("city", "cities"), ("ship", "shipped", "shipping")):
        assert len({stem(word) for word in family}) == 1, family
    assert tokens("checkSecrets in check_secrets, HTTPServer2") == [
        "check",
        "secret",
        "check",
        "secret",
        "http",
        "serv",
        "2",
    ]


def test_the_rarer_word_weighs_more_and_a_text_without_the_word_nothing():
    scorer = BM25([["tent", "red"], ["tent", "blue"], ["stove"]])
    scores = scorer.scores(["tent", "blue"])
    assert scores[1] > scores[0] > scores[2] == 0
