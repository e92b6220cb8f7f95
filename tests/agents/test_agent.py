"""The agent loop, through the public door."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, Literal

import msgspec
import pydantic
import pytest
from harness import Machine

import podium
from podium import (
    Agent,
    ConfigurationError,
    ModelRequest,
    Podium,
    Role,
    ScriptedModel,
    Settings,
    ToolCall,
    ToolResult,
    member,
    tool,
)


@tool(effect="read")
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def results_in(request: ModelRequest) -> list[ToolResult]:
    return [part for part in request.messages[-1].parts if isinstance(part, ToolResult)]


async def test_an_agent_answers_in_four_lines() -> None:
    agent = Agent("shop", model=ScriptedModel(["hello"]))
    assert (await agent.run("hi")).output == "hello"


async def test_a_model_sees_the_prompt_the_input_and_the_tools(machine: Machine) -> None:
    model = ScriptedModel(["3"])
    settings = Settings(temperature=0.1)
    async with machine.app() as app:
        await Agent("calc", model, [add], "Count.", settings=settings).run("1+2?", app=app)
    [request] = model.requests
    assert [(message.role, message.text) for message in request.messages] == [("system", "Count."), ("user", "1+2?")]
    assert [(spec.name, spec.description) for spec in request.tools] == [("add", "Add two numbers.")]
    assert request.settings == settings
    assert request.agent == "calc"


async def test_several_tool_calls_of_one_reply_are_answered_in_call_order_good_or_bad(machine: Machine) -> None:
    @tool(effect="read", retries=0)
    async def breaks() -> str:
        """Break."""
        raise RuntimeError("out of paper")

    model = ScriptedModel(
        [
            [
                ToolCall("add", {"a": 1, "b": 2}, "c1"),
                ToolCall("missing", {}, "c2"),
                ToolCall("add", {"a": "one"}, "c3"),
                ToolCall("breaks", {}, "c4"),
                ToolCall("add", {"a": 3, "b": 4}, "c5"),
                ToolCall("add", {}, "c6", "not a JSON object"),
            ],
            "done",
        ]
    )
    async with machine.app() as app:
        result = await Agent("calc", model, [add, breaks]).run("go", app=app)
    assert result.output == "done"
    parts = results_in(model.requests[1])
    assert [part.call_id for part in parts] == ["c1", "c2", "c3", "c4", "c5", "c6"]
    assert [part.is_error for part in parts] == [False, True, True, True, False, True]
    assert (parts[0].content, parts[4].content) == ("3", "7")
    assert "add" in parts[1].content
    assert "a" in parts[2].content
    assert "out of paper" in parts[3].content
    assert "not a JSON object" in parts[5].content


async def test_calls_without_an_id_are_given_one_that_their_result_carries(machine: Machine) -> None:
    model = ScriptedModel([[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4})], "done"])
    async with machine.app() as app:
        result = await Agent("calc", model, [add]).run("go", app=app)
    calls = [part.id for message in result.messages for part in message.parts if isinstance(part, ToolCall)]
    assert None not in calls
    assert len(set(calls)) == 2
    assert [part.call_id for part in results_in(model.requests[1])] == calls


async def test_an_agent_that_does_not_come_to_an_end_is_exhausted_with_what_it_reached(machine: Machine) -> None:
    from podium.core.messages import Text

    model = ScriptedModel(lambda _: [Text("still thinking"), ToolCall("add", {"a": 1, "b": 1})])
    async with machine.app() as app:
        result = await Agent("calc", model, [add], max_iterations=3).run("go", app=app)
    assert result.status == "exhausted"
    assert result.output == "still thinking"
    assert result.error is not None
    assert result.error.type == "Exhausted"
    assert len(model.requests) == 3


# ------------------------------------------------------------------------------------------------ structured output


class Weather(pydantic.BaseModel):
    city: str
    degrees: float


async def test_an_answer_becomes_the_declared_type(any_machine: Machine) -> None:
    model = ScriptedModel(['{"city": "Rome", "degrees": 31.5}'])
    agent = Agent("weather", model, output=Weather)
    async with any_machine.app() as app:
        result = await agent.run("Rome?", app=app, run_id="r1")
        assert result.output == Weather(city="Rome", degrees=31.5)
    async with any_machine.app() as app:
        assert (await app.resume("r1", agent)).output == Weather(city="Rome", degrees=31.5)
    spec = model.requests[0].output
    assert spec is not None
    assert set(spec.schema["properties"]) == {"city", "degrees"}


async def test_an_answer_that_does_not_fit_is_sent_back_with_the_reason(machine: Machine) -> None:
    model = ScriptedModel(["sunny", '{"city": "Rome"}', '{"city": "Rome", "degrees": 20}'])
    async with machine.app() as app:
        result = await Agent("weather", model, output=Weather, output_retries=2).run("Rome?", app=app)
    assert result.output == Weather(city="Rome", degrees=20)
    assert model.requests[2].messages[-1].role == "user"
    assert "degrees" in model.requests[2].messages[-1].text


async def test_asking_again_is_bounded(machine: Machine) -> None:
    model = ScriptedModel(lambda _: "sunny")
    async with machine.app() as app:
        result = await Agent("weather", model, output=Weather, output_retries=2).run("Rome?", app=app)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.type == "InvalidOutput"
    assert len(model.requests) == 3


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (int, "42", 42),
        (list[int], "[1, 2]", [1, 2]),
        (Literal["yes", "no"], "yes", "yes"),
        (bool, "true", True),
        (dict[str, int], '{"a": 1}', {"a": 1}),
    ],
)
async def test_an_output_may_be_any_type(machine: Machine, output: Any, text: str, value: Any) -> None:
    async with machine.app() as app:
        assert (await Agent("any", ScriptedModel([text]), output=output).run("go", app=app)).output == value


async def test_a_member_that_calls_an_agent_gets_the_type_live_and_after_a_resume(machine: Machine) -> None:
    seen: list[Any] = []

    def program() -> Any:
        agent = Agent("weather", ScriptedModel(['{"city": "Rome", "degrees": 20}']), output=Weather)

        @member(name="outer")
        async def outer(ctx: Any) -> Any:
            seen.append(await ctx.call(agent, "Rome?"))
            return await ctx.ask("go on?")

        return outer

    async with machine.app() as app:
        result = await app.run(program())
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        await app.resume(result.run_id, program())
    assert seen == [Weather(city="Rome", degrees=20)] * 2


# ---------------------------------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize(
    ("input", "texts"),
    [
        ("hi", ["hi"]),
        ({"q": 1}, ['{"q":1}']),
        ([1, 2], ["[1,2]"]),
        (None, []),
        (podium.Message("user", (podium.Text("m"),)), ["m"]),
        ([podium.Message("user", (podium.Text("a"),)), podium.Message("user", (podium.Text("b"),))], ["a", "b"]),
    ],
)
async def test_an_input_may_be_text_messages_or_any_plain_value(machine: Machine, input: Any, texts: list[str]) -> None:
    model = ScriptedModel(["ok"])
    async with machine.app() as app:
        result = await Agent("any", model).run(input, app=app)
    assert result.unwrap() == "ok"
    assert [message.text for message in model.requests[0].messages] == texts


# ----------------------------------------------------------------------------------------------------------- making


async def test_the_role_and_its_context_reach_the_prompt(machine: Machine) -> None:
    model = ScriptedModel(["ok"])
    role = Role("clerk", "You are a clerk.", {"shop": "Tents & Co", "open": [9, 17]})
    async with machine.app() as app:
        await Agent("clerk", model, system_prompt="Be brief.", role=role).run("hi", app=app)
    prompt = model.requests[0].messages[0].text
    assert prompt.index("You are a clerk.") < prompt.index("- shop: Tents & Co") < prompt.index("Be brief.")
    assert "- open: [9,17]" in prompt


def test_a_tool_that_is_a_plain_function_is_refused_with_the_decorator_to_use() -> None:
    async def plain() -> None: ...

    with pytest.raises(ConfigurationError, match="@tool"):
        Agent("shop", tools=[plain])  # pyright: ignore[reportArgumentType]


def test_tools_that_are_no_list_and_a_review_that_is_none_are_refused_with_what_to_write() -> None:
    given: Any = add
    many: Any = [[add]]
    with pytest.raises(ConfigurationError, match=r"the tools of agent 'shop' are a list: write \[add\]"):
        Agent("shop", tools=given)
    with pytest.raises(ConfigurationError, match="is not a tool: unpack it"):
        Agent("shop", tools=[*many, add])
    threshold: Any = 0.7
    with pytest.raises(ConfigurationError, match=r"write review=Review\(0.7\)"):
        Agent("shop", review=threshold)


def test_two_tools_of_one_name_a_nameless_agent_and_no_iterations_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two tools named 'add'"):
        Agent("shop", tools=[add, add])
    with pytest.raises(ConfigurationError, match="name"):
        Agent("")
    with pytest.raises(ConfigurationError, match="max_iterations"):
        Agent("shop", max_iterations=0)


async def test_an_agent_without_a_model_says_where_to_name_one(machine: Machine) -> None:
    async with machine.app() as app:
        with pytest.raises(ConfigurationError, match="model="):
            (await Agent("shop").run("hi", app=app)).unwrap()


async def test_the_apps_model_serves_agents_without_one(machine: Machine) -> None:
    async with machine.app(model=ScriptedModel(["from the app"])) as app:
        assert (await Agent("shop").run("hi", app=app)).output == "from the app"


async def test_a_replaced_agent_is_another_and_the_first_is_unchanged(machine: Machine) -> None:
    one = Agent("shop", ScriptedModel(lambda r: r.messages[0].text), system_prompt="one")
    two = one.replace(system_prompt="two")
    async with machine.app() as app:
        assert (await one.run("hi", app=app)).output == "one"
        assert (await two.run("hi", app=app)).output == "two"


async def test_an_agent_that_takes_too_long_fails(machine: Machine) -> None:
    async def hangs(_: Any) -> str:
        await asyncio.Event().wait()
        return ""

    @member
    async def outer(ctx: Any) -> str:
        try:
            return await ctx.call(Agent("slow", ScriptedModel(hangs), timeout=5), "hi")
        except podium.StepFailed as error:
            return type(error).__name__

    async with machine.app() as app:
        handle = await app.start(outer)
        await machine.clock.advance(6)
        assert (await handle.result()).output == "DeadlineExceeded"


# --------------------------------------------------------------------------------------------------------- members


async def test_a_function_becomes_a_member_with_its_name_and_docstring() -> None:
    @member
    async def greets(ctx: Any, name: str) -> str:
        """Greets people.

        At length.
        """
        return f"hello {name}"

    assert (greets.name, greets.description) == ("greets", "Greets people.")
    assert (await greets.run("Ada")).output == "hello Ada"


def test_what_cannot_be_a_member_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="async def"):
        member(lambda ctx: None)  # pyright: ignore[reportCallIssue, reportArgumentType]

    with pytest.raises(ConfigurationError, match="must take"):

        @member
        async def three(ctx: Any, a: Any, b: Any) -> None: ...


async def test_calling_something_that_is_no_member_or_tool_names_the_decorator(machine: Machine) -> None:
    async def plain(ctx: Any) -> None: ...

    @member
    async def outer(ctx: Any) -> Any:
        said: list[str] = []
        for attempt in (lambda: ctx.call(plain), lambda: ctx.tool(plain)):
            try:
                await attempt()
            except ConfigurationError as error:
                said.append(str(error))
        return said

    async with machine.app() as app:
        one, two = (await app.run(outer)).output
    assert "@member" in one
    assert "@tool" in two


async def test_tools_of_the_app_can_be_called_by_name(machine: Machine) -> None:
    @member
    async def outer(ctx: Any) -> Any:
        return await ctx.tool("add", a=1, b=2)

    async with machine.app(tools=[add]) as app:
        assert (await app.run(outer)).output == 3


async def test_a_session_agent_below_a_team_keeps_a_conversation_of_its_own(machine: Machine) -> None:
    agent = Agent("helper", ScriptedModel(lambda request: f"{len(request.messages)}"))

    @member
    async def outer(ctx: Any) -> Any:
        return await ctx.call(agent, "hi")

    async with machine.app() as app:
        assert [(await outer.run(app=app, session="s")).output for _ in range(2)] == ["1", "3"]


# ------------------------------------------------------------------------------------------------------ the surface


@pytest.mark.parametrize(
    "name", ["RoleDefinition", "StateGraph", "ToolSandbox", "Crew", "Task", "Runner", "function_tool"]
)
def test_names_of_other_libraries_are_answered_with_ours(name: str) -> None:
    with pytest.raises(AttributeError, match="in Podium it is"):
        getattr(podium, name)


@pytest.mark.parametrize("name", ["ToolSandbox", "HumanApproval", "MCPClient", "calculator"])
def test_importing_a_name_of_another_library_is_answered_with_ours(name: str) -> None:
    with pytest.raises(ImportError, match=f"podium has no '{name}'; in Podium it is"):
        exec(f"from podium import {name}")  # noqa: S102  (the statement itself is what is tried)
    assert not hasattr(podium, name)


@pytest.mark.parametrize(
    "name",
    ["query_external_resource", "set_tool_permissions", "get_tool_cost_report", "inbox", "approve", "ModelRetry"],
)
def test_names_of_methods_are_answered_with_where_they_are(name: str) -> None:
    with pytest.raises(AttributeError, match="in Podium it is"):
        getattr(podium, name)


def test_where_a_name_is_said_to_be_it_is() -> None:
    told = [words.split()[0].rstrip(",;") for words in podium._SPELLED.values()]  # pyright: ignore[reportPrivateUsage]
    places = [place for place in told if place.startswith("podium.")]
    assert len(places) > 8
    for place in places:
        module, _, name = place.rpartition(".")
        assert hasattr(importlib.import_module(module), name), place


def test_every_public_name_can_be_had_and_no_other() -> None:
    for name in podium.__all__:
        assert getattr(podium, name) is not None
    assert sorted(podium.__all__) == sorted(set(podium.__all__))
    with pytest.raises(AttributeError):
        _ = podium.no_such_name  # pyright: ignore[reportAttributeAccessIssue]


def test_an_app_for_an_unknown_store_says_which_there_are() -> None:
    async def opens() -> None:
        async with Podium("mysql://here"):
            pass

    with pytest.raises(ConfigurationError, match="sqlite:///"):
        asyncio.run(opens())
    assert msgspec.json.encode({"ok": True}) == b'{"ok":true}'


async def test_a_turn_that_the_provider_paused_goes_on(machine: Machine) -> None:
    from podium.core.messages import Reply, assistant
    from podium.core.usage import Usage

    model = ScriptedModel([Reply(assistant("Searching"), Usage(), "pause_turn", None, "0"), "Found it."])
    async with machine.app() as app:
        result = await app.run(Agent("shop", model=model), "find it")
    assert result.output == "Found it."
    assert [message.text for message in model.requests[1].messages][-1] == "Searching"
