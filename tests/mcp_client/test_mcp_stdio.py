"""A server that is a program: what it is shown, what it may do wrong, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from podium.core.errors import ConfigurationError, NotDone, ToolError, ToolTimeoutError, ToolValidationError
from podium.core.labels import untrusted
from podium.ports import ToolContext
from podium.tools.mcp import MCPTools, together
from podium.tools.mcp.options import Http, Stdio, secrets_of

RAW = Path(__file__).parent / "raw_server.py"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


def raw(log: Path, *faults: str, **options: Any) -> MCPTools:
    given: dict[str, Any] = {"name": "raw", "protocol": "legacy", **options}
    return MCPTools.stdio(sys.executable, [str(RAW), str(log), *faults], **given)


async def call(server: MCPTools, name: str, text: str = "", ctx: ToolContext | None = None) -> Any:
    tool = {tool.name: tool for tool in server.tools}[name]
    return await tool.invoke(tool.resolve({"text": text}), ctx or ToolContext(run_id="r", key="k"))


def received(log: Path, method: str) -> list[dict[str, Any]]:
    return [message for row in log.read_text().splitlines() if (message := json.loads(row))["method"] == method]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  (what is waited for is a file or a process)
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


# ------------------------------------------------------------------------------------------------------------ offering


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_servers_of_every_earlier_revision_are_spoken_to(log: Path, revision: str):
    async with raw(log, f"--revision={revision}", protocol="auto") as server:
        assert server.protocol_version == revision
        assert await call(server, "echo", "hello") == "hello"
        await server.ping()


async def test_a_tool_is_an_untrusted_write_that_reaches_outside_unless_the_user_says_otherwise(log: Path):
    async with raw(log, effects={"echo": "read"}, reach={"echo": "none"}) as server:
        tools = {tool.name: tool for tool in server.tools}
    assert (tools["echo"].effect, tools["echo"].reach) == ("read", "none")
    assert (tools["look"].effect, tools["look"].reach) == ("write", "external")
    assert (tools["set"].effect, tools["wipe"].reach) == ("write", "destructive")
    assert {tool.label for tool in tools.values()} == {untrusted("mcp:raw")}


async def test_hints_relax_only_for_a_server_that_is_trusted(log: Path):
    async with raw(log, trust_hints=True) as server:
        tools = {tool.name: tool for tool in server.tools}
    assert (tools["look"].effect, tools["look"].reach) == ("read", "local")
    assert (tools["set"].effect, tools["wipe"].reach) == ("idempotent", "destructive")
    assert tools["echo"].effect == "write"


async def test_names_are_prefixed_made_to_fit_and_mapped_back(log: Path):
    async with raw(log, prefix="box", include=["echo", "odd.name/übung"]) as server:
        echo, odd = [tool.name for tool in server.tools]
        assert echo == "box_echo"
        assert odd.startswith("box_odd_name_bung-")
        assert server.original(odd) == "odd.name/übung"
        assert await call(server, odd, "ü") == "ü"
    assert received(log, "tools/call")[0]["params"]["name"] == "odd.name/übung"


@pytest.mark.parametrize("option", [{"effects": {"ecko": "read"}}, {"approval": {"ecko": "always"}}])
async def test_an_option_that_names_no_tool_is_an_error_with_the_name_that_was_meant(log: Path, option: dict[str, Any]):
    with pytest.raises(ConfigurationError, match="= names 'ecko', which it does not offer; did you mean echo"):
        async with raw(log, **option):
            pass


async def test_two_servers_with_one_name_for_a_tool_are_told_apart_by_a_prefix(log: Path, tmp_path: Path):
    async with raw(log, name="one", include=["echo"]) as one, raw(log, name="two", include=["echo"]) as two:
        with pytest.raises(ConfigurationError, match="'one' and 'two' both offer 'echo': give one of them a prefix="):
            together(one, two)
    async with raw(log, include=["echo"]) as one, raw(log, include=["echo"], prefix="two") as two:
        assert [tool.name for tool in together(one, two)] == ["echo", "two_echo"]


async def test_definitions_no_model_should_read_are_left_out_with_the_reason(
    log: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "podium"):
        async with raw(log, "--deep") as server:
            assert set(server.skipped) == {"deep", "broken", "long"}
            assert not {tool.name for tool in server.tools} & {"deep", "broken", "long"}
            assert await call(server, "echo", "others work") == "others work"
    assert "the tool 'long' is left out: its definition has 100" in caplog.text


async def test_a_list_that_cannot_be_read_is_said_and_not_waited_for(log: Path):
    with pytest.raises(ConfigurationError, match=r"the list of tools: .*its answer cannot be read"):
        async with raw(log, "--abyss"):
            pass


@pytest.mark.parametrize("fault", ["--paged", "--endless"])
async def test_lists_of_many_pages_are_read_to_their_end_or_ours(log: Path, fault: str):
    async with raw(log, fault) as server:
        assert len(server.tools) == 16


# -------------------------------------------------------------------------------------------------- changing its mind


async def test_a_tool_whose_definition_changed_is_refused_until_the_agent_is_built_anew(log: Path):
    async with raw(log) as server:
        before = {tool.name: tool for tool in server.tools}["echo"]
        await call(server, "change")
        with pytest.raises(ToolValidationError, match="raw changed the definition of echo since"):
            await before.invoke({"text": "secret"}, ToolContext(run_id="r", key="k"))
        await until(lambda: {tool.name: tool for tool in server.tools}["echo"] is not before)
        after = {tool.name: tool for tool in server.tools}["echo"]
        assert after.version != before.version
        assert await after.invoke({"text": "read it"}, ToolContext(run_id="r", key="k")) == "read it"
    assert [sent["params"]["arguments"].get("text") for sent in received(log, "tools/call")] == ["", "read it"]


async def test_a_tool_that_vanished_says_so_to_the_model(log: Path):
    async with raw(log) as server:
        before = {tool.name: tool for tool in server.tools}["echo"]
        await call(server, "vanish")
        with pytest.raises(ToolValidationError, match="raw no longer offers echo"):
            await before.invoke({"text": ""}, ToolContext(run_id="r", key="k"))
        assert "echo" not in {tool.name for tool in await server.refresh()}


async def test_only_pinned_definitions_are_offered(log: Path):
    async with raw(log) as server:
        read = server.definitions
    async with raw(log, pins={"echo": read["echo"], "look": "0000000000000000"}) as server:
        assert [tool.name for tool in server.tools] == ["echo"]
        assert "not the one pinned" in server.skipped["look"]


# -------------------------------------------------------------------------------------------------------------- failing


async def test_an_error_the_tool_answers_with_is_told_to_the_model_without_hidden_characters(log: Path):
    async with raw(log) as server:
        with pytest.raises(ToolValidationError, match=r"^raw: fail answered with an error: out of stock$"):
            await call(server, "fail")


async def test_an_error_answer_of_a_doubtful_tool_leaves_open_whether_it_happened(log: Path):
    async with raw(log, doubtful=["fail"]) as server:
        with pytest.raises(ToolError) as caught:
            await call(server, "fail")
    assert type(caught.value) is ToolError


async def test_refused_arguments_did_not_happen_and_a_broken_server_is_unknown(log: Path):
    async with raw(log) as server:
        with pytest.raises(ToolValidationError, match="refuse was refused by the server: text must be short"):
            await call(server, "refuse")
        with pytest.raises(ToolError, match="the server reports an error: it broke in the middle") as caught:
            await call(server, "boom")
    assert type(caught.value) is ToolError


async def test_a_server_that_dies_in_a_call_leaves_it_unknown_and_the_next_call_reaches_a_new_one(log: Path):
    async with raw(log) as server:
        with pytest.raises(
            ToolError, match=r"the connection was lost while .* in flight.*exit code 7.*disk on fire"
        ) as caught:
            await call(server, "die")
        assert not isinstance(caught.value, NotDone)
        assert await call(server, "echo", "again") == "again"
    assert len(received(log, "initialize")) == 2


async def test_a_call_that_could_not_be_sent_did_not_happen(log: Path, tmp_path: Path):
    program = tmp_path / "once.sh"
    program.write_text(f'#!/bin/sh\n[ -e {log}.started ] && exit 9\ntouch {log}.started\nexec "$@"\n')
    program.chmod(0o755)
    server = MCPTools.stdio(str(program), [sys.executable, str(RAW), str(log)], name="raw", protocol="legacy")
    async with server:
        with pytest.raises(ToolError, match="in flight"):
            await call(server, "die")
        with pytest.raises(NotDone, match=r"raw: echo was not sent: .*cannot be reached.*exit code 9"):
            await call(server, "echo")


async def test_a_server_that_comes_back_mute_leaves_time_to_say_that_nothing_was_sent(log: Path, tmp_path: Path):
    program = tmp_path / "once.sh"
    program.write_text(f'#!/bin/sh\n[ -e {log}.started ] && set -- "$@" --mute\ntouch {log}.started\nexec "$@"\n')
    program.chmod(0o755)
    args = [sys.executable, str(RAW), str(log)]
    async with MCPTools.stdio(str(program), args, name="raw", protocol="legacy", timeout=1.0) as server:
        with pytest.raises(ToolError, match="in flight"):
            await call(server, "die")
        with pytest.raises(NotDone, match=r"raw: echo was not sent: no connection in 0\.5 s"):
            await call(server, "echo")


async def test_cancelling_a_call_tells_the_server(log: Path):
    async with raw(log) as server:
        waiting = asyncio.create_task(call(server, "slow"))
        await until(lambda: received(log, "tools/call"))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: received(log, "notifications/cancelled"))
        sent, cancelled = received(log, "tools/call")[0], received(log, "notifications/cancelled")[0]
        assert cancelled["params"]["requestId"] == sent["id"]
        assert await call(server, "echo", "still here") == "still here"


async def test_closing_ends_calls_in_flight_as_unknown(log: Path):
    server = raw(log)
    async with server:
        waiting = asyncio.create_task(call(server, "slow"))
        await until(lambda: received(log, "tools/call"))
    with pytest.raises(ToolError, match="the connection was closed while the call was in flight"):
        await waiting
    with pytest.raises(ConfigurationError, match="not connected"):
        _ = server.tools


async def test_lines_that_are_no_messages_are_passed_over(log: Path):
    async with raw(log, "--garbage") as server:
        assert await call(server, "echo", "heard") == "heard"


async def test_a_long_result_is_cut_and_says_so(log: Path):
    async with raw(log, output_limit=1000) as server:
        assert await call(server, "huge", "900") == "x" * 900
        assert await call(server, "huge", "5000") == "x" * 1000 + "\n[cut: 1000 of 5000 characters]"


@pytest.mark.slow
async def test_a_message_beyond_the_limit_ends_the_connection_and_not_the_program(log: Path):
    async with raw(log, message_limit=100_000) as server:
        with pytest.raises(ToolError, match="beyond message_limit="):
            await call(server, "huge", "500000")
        assert await call(server, "echo", "after") == "after"


async def test_a_result_that_does_not_fit_the_tools_own_schema_is_refused_after_the_fact(log: Path):
    async with raw(log) as server:
        tool = {tool.name: tool for tool in server.tools}["shape"]
        assert await tool.invoke({}, ToolContext(run_id="r", key="k")) == {"n": 3}
        with pytest.raises(ToolValidationError) as caught:
            await call(server, "shape", "not a number")
    assert caught.value.data["where"] == "result"


# ------------------------------------------------------------------------------------------ the process of a server


async def test_a_server_sees_no_variable_of_ours_that_was_not_given(log: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHOP_API_KEY", "do not tell")
    async with raw(log, env={"SHOP_REGION": "north"}) as server:
        seen = json.loads(await call(server, "env"))
    assert seen["SHOP_REGION"] == "north"
    assert "PATH" in seen
    assert not {"SHOP_API_KEY", "PYTEST_CURRENT_TEST"} & set(seen)


async def test_leaving_ends_the_program_and_what_it_started(log: Path):
    async with raw(log) as server:
        child = int(await call(server, "fork"))
        assert alive(child)
    await until(lambda: not alive(child))


@pytest.mark.slow
async def test_a_program_that_does_not_end_by_itself_is_made_to(log: Path):
    async with raw(log, "--lingers") as server:
        child = int(await call(server, "fork"))
    await until(lambda: not alive(child))


async def test_a_program_that_cannot_start_says_why():
    with pytest.raises(ConfigurationError, match="there is no program 'no-such-program': install it or give its path"):
        async with MCPTools.stdio("no-such-program"):
            pass


async def test_a_program_that_gives_up_is_quoted(log: Path):
    with pytest.raises(ConfigurationError, match=r"cannot be reached.*exit code 3.*no licence found"):
        async with raw(log, "--refuses-to-start"):
            pass


@pytest.mark.slow
async def test_a_program_that_says_nothing_is_not_waited_for_for_ever(log: Path):
    with pytest.raises(ConfigurationError, match=r"no answer in 0.5 s"):
        async with raw(log, "--mute", connect_timeout=0.5):
            pass


async def test_a_list_that_is_never_answered_is_a_timeout(log: Path):
    async with raw(log, request_timeout=0.3) as server:
        stopped = server.pid
        assert stopped is not None
        os.kill(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(ToolTimeoutError, match=r"the list of tools took longer than 0.3 s"):
                await server.refresh()
        finally:
            os.kill(stopped, signal.SIGCONT)


async def test_calls_may_come_from_another_loop(log: Path):
    async with raw(log) as server:
        said = await asyncio.to_thread(lambda: asyncio.run(call(server, "echo", "from a thread")))
    assert said == "from a thread"


async def test_many_calls_share_a_connection(log: Path):
    async with raw(log) as server:
        said = await asyncio.gather(*(call(server, "echo", str(number)) for number in range(100)))
    assert said == [str(number) for number in range(100)]
    assert len(received(log, "initialize")) == 1


async def test_a_server_is_entered_once_at_a_time_and_may_be_entered_again(log: Path):
    server = raw(log)
    async with server:
        with pytest.raises(ConfigurationError, match="entered already"):
            await server.__aenter__()
    async with server:
        assert await call(server, "echo", "twice") == "twice"


@pytest.mark.slow
async def test_however_often_a_server_is_killed_no_call_arrives_twice_and_none_that_arrived_is_denied(log: Path):
    said: dict[str, str] = {}
    done = asyncio.Event()

    async def kill(server: MCPTools) -> None:
        chance = random.Random(7)
        while not done.is_set():
            await asyncio.sleep(chance.uniform(0.02, 0.3))
            with contextlib.suppress(ProcessLookupError):
                if server.pid:
                    os.kill(server.pid, signal.SIGKILL)

    async def work(server: MCPTools, worker: int) -> None:
        for number in range(100):
            text = f"{worker}.{number}"
            try:
                said[text] = await call(server, "echo", text)
            except ToolError as error:
                said[text] = type(error).__name__
            await asyncio.sleep(0.005)

    async with raw(log) as server, asyncio.timeout(120):
        killer = asyncio.create_task(kill(server))
        await asyncio.gather(*(work(server, worker) for worker in range(8)))
        done.set()
        await killer
    arrived = [sent["params"]["arguments"]["text"] for sent in received(log, "tools/call")]
    assert len(arrived) == len(set(arrived))
    assert len(said) == 800
    assert set(said.values()) - set(said) <= {"ToolError", "ToolUnavailable", "NotDone"}
    assert all(answer in {text, "ToolError", "ToolUnavailable", "NotDone"} for text, answer in said.items())
    assert not {text for text, answer in said.items() if answer == "NotDone"} & set(arrived)
    assert len(received(log, "initialize")) > 3


async def test_a_server_that_repeats_the_secret_it_was_given_tells_nobody(log: Path):
    secret = "rosebud/in the snow 9"
    async with raw(log, env={"RAW_PASSPHRASE": secret}) as server:
        told = [str(await call(server, "env"))]
        for name in ("fail", "boom", "die"):
            with pytest.raises(ToolError) as raised:
                await call(server, name)
            told.append(str(raised.value))
        told.append(server.stderr)
    assert [text for text in told if "rosebud" in text] == []
    assert all("[redacted]" in text for text in told[:4]), "and what else it said is there"


async def test_the_secrets_of_a_server_are_known_by_the_names_they_were_given_under():
    there = Http(
        url="https://ada:pass-word-17@mcp.example/v1?x=1",
        headers={"Authorization": "Bearer tok-of-the-server", "X-Trace": "abcdefgh1"},
        auth="another-token-1",
    )
    assert set(secrets_of(there)) == {
        "pass-word-17", "Bearer tok-of-the-server", "Bearer%20tok-of-the-server", "Bearer+tok-of-the-server",
        "tok-of-the-server", "another-token-1",
    }  # fmt: skip
    assert secrets_of(Stdio(command="x", env={"MODE": "not so secret", "LEVEL_KEY": "1"})) == ()
