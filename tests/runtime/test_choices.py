"""An agent's model is chosen by version, without its code, and can be put back."""

from __future__ import annotations

import pytest
from harness import Machine

from podium import Agent, ScriptedModel, Settings, ToolCall, member, tool
from podium.core.errors import ConfigurationError
from podium.ports import Context


async def test_a_chosen_model_takes_the_place_of_the_agents_own_from_the_next_run_on(any_machine: Machine) -> None:
    agent = Agent("a", model=ScriptedModel(["one", "two", "three"]))
    async with any_machine.app() as app:
        assert (await app.run(agent, "x")).output == "one"
        version = await app.choices.set("a", "offline", note="trying")
        result = await app.run(agent, "The tent is red. Which colour is the tent?")
        assert version.number == 1
        assert result.models == ["offline"]
    async with any_machine.app() as later:
        assert (await later.run(agent, "The tent is red.")).models == ["offline"]
        back = await later.choices.rollback("a")
        assert (back.number, back.model) == (2, "")
        assert (await later.run(agent, "x")).output == "one"
        history = await later.choices.history("a")
    assert [(each.number, each.model, each.note) for each in history] == [
        (1, "offline", "trying"),
        (2, "", "back to what the code says"),
    ]
    assert all(each.by and each.at for each in history)


async def test_another_process_sees_the_choice_with_its_next_run(tmp_path: object) -> None:
    from podium import Podium

    url = f"{tmp_path}/shared.db"
    agent = Agent("a", model=ScriptedModel(["mine"]))
    async with Podium(url) as one, Podium(url) as other:
        await one.choices.set("a", "offline")
        assert (await other.run(agent, "The tent is red.")).models == ["offline"]


async def test_a_run_keeps_the_model_it_began_with(any_machine: Machine) -> None:
    @tool(effect="read")
    async def look() -> str:
        """Look."""
        return "seen"

    agent = Agent("a", model=ScriptedModel([ToolCall("look", {}), "done"]), tools=[look])

    @member
    async def twice(ctx: Context, input: str) -> list[str]:
        first = await ctx.call(agent, input)
        await ctx.wait("go")
        return [first, await ctx.call(Agent("a", model=ScriptedModel(["again"] * 3), tools=[look]), input)]

    async with any_machine.app() as app:
        handle = await app.start(twice, "hi")
        result = await app.settled(handle.run_id, over=False)
        await app.choices.set("a", "offline")
        await handle.signal("go", None)
        result = await handle.result()
    assert "offline" not in result.models


async def test_settings_come_with_the_choice_and_going_back_names_a_version(machine: Machine) -> None:
    async with machine.app() as app:
        await app.choices.set("a", "offline", settings=Settings(max_output_tokens=5))
        await app.choices.set("a", "openai:gpt-6-sol", by="ada")
        await app.choices.rollback("a", to=1)
        current = app.choices.current("a")
        assert current is not None
        assert (current.number, current.model.model) == (3, "offline")
        assert current.model.settings == Settings(max_output_tokens=5)
        await app.choices.clear("a")
        assert app.choices.current("a") is None
        assert [each.by for each in await app.choices.history("a")][1] == "ada"


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda app: app.choices.set("a", "nobody:x"), "unknown provider"),
        (lambda app: app.choices.set("", "offline"), "Name an agent"),
        (lambda app: app.choices.rollback("a"), "nothing to go back to"),
    ],
)
async def test_what_cannot_be_chosen_is_one_clear_line(machine: Machine, act: object, says: str) -> None:
    async with machine.app() as app:
        with pytest.raises(ConfigurationError, match=says):
            await act(app)  # type: ignore[operator]


async def test_there_is_no_going_back_to_a_version_that_never_was(machine: Machine) -> None:
    async with machine.app() as app:
        await app.choices.set("a", "offline")
        for to in (1, 2, -1):
            with pytest.raises(ConfigurationError, match="no going back"):
                await app.choices.rollback("a", to=to)
