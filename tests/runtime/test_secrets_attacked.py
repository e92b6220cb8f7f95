"""Ways by which a secret could still get out: beside the journal, through decisions, through what a tool repeats."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import pytest

from podium import Agent, Approval, Podium, Principal, ToolCall, member, tool
from podium.core.deltas import Progress
from podium.core.errors import RequestError
from podium.core.messages import user
from podium.core.redaction import is_sensitive
from podium.models import ScriptedModel
from podium.runtime.vault import Vault

ENVIRONMENT = "planted-env-5d41402abc4b2a76"
KEY = "sk-planted0argument1234567890"
PASSWORD = "correct horse 42"
PLANTED = (ENVIRONMENT, KEY, PASSWORD)

seen: list[Any] = []


@tool(effect="write", approval="always")
def send(to: str, api_key: str = "", password: str = "", note: str = "") -> str:
    """Send something."""
    seen.append((to, api_key, password, note))
    return "sent"


@tool(effect="write")
def lose(password: str) -> Any:
    """Get lost, telling why."""
    raise RuntimeError(f"no such login: {password}, and {KEY}")


@tool(effect="read")
def lookup(password: str) -> dict[str, Any]:
    """Say what it was told."""
    if password == PASSWORD:
        return {"text": f"you are in as {password} now", "rows": [password, "next"], password: 1}
    raise ValueError(f"the login {password} is wrong")


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen.clear()
    monkeypatch.setenv("PLANTED_API_KEY", ENVIRONMENT)


def planted_in(folder: Path, *more: str) -> list[str]:
    data = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    return [secret for secret in (*PLANTED, *more) if secret.encode() in data]


# ------------------------------------------------------------------------------------------------ beside the journal


@member
async def child(_ctx: Any, input: str) -> str:
    return f"it was given {input} and found {os.environ['PLANTED_API_KEY']}"


@member
async def spawns(ctx: Any, _input: Any) -> Any:
    return await ctx.spawn(child, f"use {os.environ['PLANTED_API_KEY']}")


@member
async def remembers(ctx: Any, _input: Any) -> Any:
    await ctx.remember([user(os.environ["PLANTED_API_KEY"])], session="s")
    return "kept"


@member
async def waits(ctx: Any, _input: Any) -> Any:
    return await ctx.wait("word")


async def _spawned(app: Podium) -> Any:
    return await spawns.run("go", app=app)


async def _remembered(app: Podium) -> Any:
    return await remembers.run("go", app=app, session="s")


async def _prompted(app: Podium) -> Any:
    agent = Agent("a", ScriptedModel(["ok"]), system_prompt=f"the key is {os.environ['PLANTED_API_KEY']}")
    return await agent.run("go", app=app)


async def _signalled(app: Podium) -> Any:
    handle = await app.start(waits, "go")
    await handle.signal("word", {"key": ENVIRONMENT})
    return await handle.result()


@pytest.mark.parametrize("go", [_spawned, _remembered, _prompted, _signalled])
async def test_a_secret_of_the_environment_is_masked_wherever_a_run_writes(
    tmp_path: Path, go: Callable[[Podium], Awaitable[Any]]
) -> None:
    async with Podium(tmp_path / "runs.db", members=[child]) as app:
        assert (await go(app)).status == "succeeded"
        assert planted_in(tmp_path) == []
    assert planted_in(tmp_path) == []


async def test_progress_that_a_tool_reports_is_cleaned(tmp_path: Path) -> None:
    @tool(effect="read")
    async def working(ctx: Any) -> str:
        """Work, telling too much."""
        ctx.report(f"with {ENVIRONMENT} and {KEY}")
        await asyncio.sleep(0)
        return "done"

    agent = Agent("a", ScriptedModel([ToolCall("working"), "done"]), [working])
    async with Podium(tmp_path / "runs.db") as app:
        told = "".join([str(event) async for event in app.stream(agent, "go")])
    assert "with [redacted]" in told
    assert [secret for secret in PLANTED if secret in told] == []


async def test_progress_tells_no_secret_that_a_tool_was_given(tmp_path: Path) -> None:
    @tool(effect="read")
    async def working(password: str, ctx: Any) -> str:
        """Work, telling too much."""
        ctx.report(f"logging in with {password}")
        await asyncio.sleep(0)
        return "done"

    agent = Agent("a", ScriptedModel([ToolCall("working", {"password": "correct horse 42"}), "done"]), [working])
    async with Podium(tmp_path / "runs.db") as app:
        events = [event async for event in app.stream(agent, "go")]
    assert [event.message for event in events if isinstance(event, Progress)] == ["logging in with [redacted]"]


WAYS: list[Callable[[str], str]] = [
    lambda secret: quote(secret, safe=""),
    quote,
    quote_plus,
    lambda secret: repr({"key": secret}),
    json.dumps,
    lambda secret: json.dumps(secret, ensure_ascii=False).replace("/", "\\/"),
    lambda secret: json.dumps(secret).replace("/", "\\/"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_secret_of_the_environment_is_known_in_an_address_and_in_quotes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[str], str]
) -> None:
    secret = "Zq9+weird/s\u00e9cret 77'x\"y"
    monkeypatch.setenv("SHOP_API_KEY", secret)

    @tool(effect="read", retries=0)
    def fetch() -> str:
        """Fetch, and fail with the address."""
        raise RuntimeError(f"403 for https://shop.example/orders?k={way(secret)}")

    async with Podium(tmp_path / "runs.db") as app:
        result = await Agent("a", ScriptedModel([ToolCall("fetch"), "done"]), [fetch]).run("go", app=app)
    [error] = [step.error for step in result.steps if step.name == "fetch"]
    assert way(secret).strip('"') not in error
    assert "Zq9" not in error


def test_the_audit_key_is_a_secret_too() -> None:
    assert is_sensitive("PODIUM_AUDIT_KEY")


# --------------------------------------------------------------------------------------- secrets of the environment


async def test_a_result_cannot_make_a_secret_of_the_environment_one_that_a_model_may_pass_on(tmp_path: Path) -> None:
    @tool(effect="read")
    def leak() -> dict[str, Any]:
        """Give away the environment, under keys that are sealed."""
        return {"api_key": ENVIRONMENT, "credentials": {"for": [f"Bearer {ENVIRONMENT}"]}}

    @tool(effect="read")
    def echo(text: str) -> str:
        """Take anything."""
        seen.append(text)
        return text[::-1]

    def passes(request: Any) -> Any:
        last = request.messages[-1]
        if last.role == "user":
            return ToolCall("leak")
        said = str(last.parts[0].content)
        if len(request.messages) > 3:
            return "done"
        return [ToolCall("echo", {"text": said}), ToolCall("echo", {"text": "nothing"})]

    async with Podium(tmp_path / "runs.db") as app:
        assert (await Agent("a", ScriptedModel(passes), [leak, echo]).run("go", app=app)).output == "done"
    assert len(seen) == 2
    assert ENVIRONMENT not in str(seen)
    assert planted_in(tmp_path) == []


async def test_a_model_hands_no_secret_of_the_environment_to_a_tool_under_any_name(tmp_path: Path) -> None:
    @tool(effect="read")
    def use(api_key: str) -> str:
        """Take a key."""
        seen.append(api_key)
        return "used"

    async with Podium(tmp_path / "runs.db") as app:
        await Agent("a", ScriptedModel([ToolCall("use", {"api_key": ENVIRONMENT}), "x"]), [use]).run("go", app=app)
    assert seen == ["[redacted]".ljust(len(ENVIRONMENT), "*")]


def test_a_secret_that_begins_like_a_mask_is_sealed_all_the_same() -> None:
    vault = Vault(lambda: b"k" * 32)
    sealed = vault.seal({"password": "[redacted]and more"})
    assert sealed["password"].startswith("[sealed:")
    assert vault.open(sealed) == {"password": "[redacted]and more"}


# --------------------------------------------------------------------------------------------- decisions of a person


@pytest.mark.parametrize("edit", [{"note": f"with {KEY}"}, {"password": PASSWORD}])
async def test_what_an_approver_puts_in_is_sealed_and_reaches_the_tool_in_another_process(
    tmp_path: Path, edit: dict[str, str]
) -> None:
    agent = Agent("a", ScriptedModel([ToolCall("send", {"to": "x", "api_key": KEY}), "went on"]), [send])
    async with Podium(tmp_path / "runs.db") as app:
        handle = await app.start(agent, "go")
        await handle.settled()
    async with Podium(tmp_path / "runs.db") as desk_only:
        await desk_only.desk.approve(handle.run_id, edit=edit)
    assert planted_in(tmp_path) == []
    async with Podium(tmp_path / "runs.db") as app:
        assert (await app.resume(handle.run_id, agent)).output == "went on"
    assert seen == [("x", KEY, edit.get("password", ""), edit.get("note", ""))]
    assert planted_in(tmp_path) == []


async def test_an_edit_with_a_secret_of_the_environment_is_refused_instead_of_made_into_a_mask(tmp_path: Path) -> None:
    agent = Agent("a", ScriptedModel([ToolCall("send", {"to": "x"}), "went on"]), [send])
    async with Podium(tmp_path / "runs.db") as app:
        handle = await app.start(agent, "go")
        await handle.settled()
        with pytest.raises(RequestError, match="secret of the environment"):
            await handle.approve(edit={"note": ENVIRONMENT})
        assert planted_in(tmp_path) == []


async def test_a_doubt_and_the_result_that_settles_it_tell_no_secret(tmp_path: Path) -> None:
    agent = Agent("a", ScriptedModel([ToolCall("lose", {"password": PASSWORD}), "went on"]), [lose])
    async with Podium(tmp_path / "runs.db") as app:
        handle = await app.start(agent, "go")
        [doubt] = (await handle.settled()).pending
        assert "no such login: [redacted], and [redacted]" in doubt.prompt
        await handle.answer(value="happened", result={"token": PASSWORD, "text": f"with {KEY}"})
        result = await handle.result()
        assert "[sealed:" in str(result.messages)
    assert planted_in(tmp_path) == []


async def test_the_prompt_of_an_approval_tells_no_secret(tmp_path: Path) -> None:
    asks = Approval(tools="send", prompt=lambda args: f"send {args['to']} with {KEY} {ENVIRONMENT}?")
    agent = Agent("a", ScriptedModel([ToolCall("send", {"to": "x"}), "went on"]), [send], approvals=[asks])
    async with Podium(tmp_path / "runs.db") as app:
        handle = await app.start(agent, "go")
        [item] = (await handle.settled()).pending
    assert item.prompt.startswith("send x with [redacted] [redacted]")
    assert planted_in(tmp_path) == []


# ------------------------------------------------------------------------------------------------ what tools repeat


@pytest.mark.parametrize("password", [PASSWORD, "another horse 77"])
async def test_a_tool_that_repeats_its_secret_in_words_tells_nobody(tmp_path: Path, password: str) -> None:
    agent = Agent("a", ScriptedModel([ToolCall("lookup", {"password": password}), "done"]), [lookup])
    async with Podium(tmp_path / "runs.db") as app:
        result = await agent.run("log in", app=app)
    told = str(result.messages[-2])
    assert "in as [redacted] now" in told or "the login [redacted] is wrong" in told
    assert password not in planted_in(tmp_path, password)


async def test_a_message_about_arguments_that_do_not_fit_tells_no_secret(tmp_path: Path) -> None:
    @tool(effect="read")
    def choose(password: Literal["a", "b"], size: int) -> str:
        """Choose."""
        return "chosen"

    def fails(args: dict[str, Any]) -> bool:
        return float(args["password"]) > 3

    @tool(effect="read", approval=fails)
    def weigh(password: str) -> str:
        """Weigh."""
        return "weighed"

    calls = [ToolCall("choose", {"password": PASSWORD, "size": "large"}), ToolCall("weigh", {"password": PASSWORD})]
    async with Podium(tmp_path / "runs.db") as app:
        result = await Agent("a", ScriptedModel([calls, "done"]), [choose, weigh]).run("go", app=app)
    assert result.output == "done"
    assert "could not convert string to float" in str(result.messages)
    assert planted_in(tmp_path) == []


async def test_an_error_keeps_its_kind_when_a_secret_is_taken_out_of_it(tmp_path: Path) -> None:
    from podium.core.errors import NotDone

    class Busy(NotDone):
        def __init__(self, password: str, queue: int) -> None:
            super().__init__(f"no place for {password}")
            self.queue = queue

    @tool(effect="write", retries=1)
    def enter(password: str) -> str:
        """Enter, the second time."""
        seen.append(password)
        if len(seen) < 2:
            raise Busy(password, 3)
        return "in"

    async with Podium(tmp_path / "runs.db") as app:
        result = await Agent("a", ScriptedModel([ToolCall("enter", {"password": PASSWORD}), "x"]), [enter]).run(
            "go", app=app
        )
    assert (result.output, seen) == ("x", [PASSWORD, PASSWORD]), "it was retried, as what says that nothing happened is"
    assert planted_in(tmp_path) == []


async def test_a_token_is_of_no_use_to_another_principal(tmp_path: Path) -> None:
    tokens: list[str] = []

    @tool(effect="read")
    def take(text: str = "", password: str = "") -> str:
        """Take something."""
        seen.append((text, password))
        return "taken"

    def asks(request: Any) -> Any:
        if request.messages[-1].role == "user":
            return ToolCall("take", {"password": PASSWORD})
        tokens.extend(call.args["password"] for message in request.messages for call in message.tool_calls)
        return "done"

    async with Podium(tmp_path / "runs.db") as app:
        await Agent("a", ScriptedModel(asks), [take]).run("go", app=app, principal=Principal("ann"))
        steals = ScriptedModel([ToolCall("take", {"text": f"x{tokens[0]}"}), "done"])
        result = await Agent("b", steals, [take]).run("go", app=app, principal=Principal("bob"))
    assert seen == [("", PASSWORD)]
    assert "ask for it again" in str(result.messages)
