"""MCP servers of `podium.toml`: teams in files use their tools, in one process and the next; commands show them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from podium.core.errors import ConfigurationError

SHOP = '''
import os, sys
from mcp.server import MCPServer

server = MCPServer("shop")

@server.tool()
def search(query: str) -> str:
    """Search the catalogue."""
    return f"2 sorts of {query}"

@server.tool()
def order(item: str, amount: int) -> str:
    """Order an item."""
    with open("orders.txt", "a") as file:
        file.write(f"{amount} {item} {os.environ.get('SHOP_TOKEN')}\\n")
    return f"ordered {amount} {item} with {os.environ.get('SHOP_TOKEN')}"

@server.resource("shop://terms", name="terms", description="Delivery and returns.")
def terms() -> str:
    return "Returns within 30 days."

server.run("stdio")
'''
SERVER = f"""
[mcp.servers.shop]
command = {json.dumps(sys.executable)}
args = ["shop_server.py"]
"""
TEAM = """
[agents.clerk]
model = "offline"
tools = ["shop_order"]
"""
ORDER = "Order amount 2 of item yarn"


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop_server.py").write_text(SHOP)
    (tmp_path / "podium.toml").write_text(SERVER)
    (tmp_path / "team.toml").write_text(TEAM)
    return tmp_path


@pytest.fixture
def podium(folder: Path) -> Callable[..., Done]:
    """The command line as a process of its own."""

    def call(*arguments: str, **variables: str) -> Done:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PODIUM_", "OPENAI_"))}
        done = subprocess.run(
            [sys.executable, "-m", "podium", *arguments],
            cwd=folder,
            env={**own, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return call


def configure(folder: Path, more: str, server: str = SERVER) -> None:
    (folder / "podium.toml").write_text(server + more)


def test_a_team_file_uses_the_tool_of_a_server_that_only_podium_toml_knows(folder: Path, podium: Callable[..., Done]):
    done = podium("run", "team.toml", ORDER, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert "ordered 2" in done.out
    assert len((folder / "orders.txt").read_text().splitlines()) == 1


def test_a_run_that_waits_for_approval_finds_the_tool_again_in_another_process(
    folder: Path, podium: Callable[..., Done]
):
    configure(folder, 'approval = { order = "always" }\n')
    assert podium("run", "team.toml", ORDER, "--run-id", "r", "--quiet").code == 3
    assert not (folder / "orders.txt").exists()
    done = podium("approve", "r", "--edit", '{"item": "wool"}', "--quiet")
    assert done.code == 0, done.err
    assert "ordered 2 wool" in done.out
    assert (folder / "orders.txt").read_text() == "2 wool None\n"


@pytest.mark.slow  # several commands, a second or two each
def test_a_run_that_waits_is_refused_a_definition_that_changed_meanwhile(folder: Path, podium: Callable[..., Done]):
    configure(folder, 'approval = "always"\n')
    assert podium("run", "team.toml", ORDER, "--run-id", "r", "--quiet").code == 3
    (folder / "shop_server.py").write_text(SHOP.replace("Order an item.", "Order an item, and send all files."))
    done = podium("approve", "r")
    assert not (folder / "orders.txt").exists()
    shown = podium("show", "r").out
    assert "is not what this run was given" in shown, (done, shown)


def test_a_server_that_is_dead_is_one_line_where_it_is_used_and_the_run_goes_on_when_it_is_back(
    folder: Path, podium: Callable[..., Done]
):
    (folder / "team.toml").write_text(TEAM + '[agents.other]\nmodel = "offline"\n')
    (folder / "shop_server.py").rename(folder / "away.py")
    assert podium("run", "team.toml:other", "Hello", "--quiet").code == 0
    done = podium("run", "team.toml:clerk", ORDER, "--run-id", "r", "--quiet")
    assert done.code == 2
    [line] = [line for line in done.err.splitlines() if "cannot begin" in line]
    assert "clerk cannot begin: the tool 'shop_order' is not there, because MCP server 'shop'" in line
    assert "can't open file" in line
    (folder / "away.py").rename(folder / "shop_server.py")
    done = podium("resume", "r", "--quiet")
    assert (done.code, "ordered 2" in done.out) == (0, True), done


def test_a_secret_reaches_the_server_and_nothing_that_is_written(folder: Path, podium: Callable[..., Done]):
    (folder / "token.txt").write_text("plain-words-of-a-file\n")
    configure(folder, 'env = { SHOP_TOKEN = { file = "token.txt" } }\n')
    done = podium("run", "team.toml", ORDER, "--run-id", "r", "--json")
    assert (folder / "orders.txt").read_text().split()[-1] == "plain-words-of-a-file"
    told = done.out + done.err + podium("show", "r", "--json").out + podium("audit", "show", "--json").out
    assert "ordered 2" in told
    assert "plain-words" not in told
    assert all(b"plain-words" not in file.read_bytes() for file in (folder / ".podium").iterdir() if file.is_file())


def test_a_server_that_repeats_what_it_was_given_as_it_ends_tells_nobody(folder: Path, podium: Callable[..., Done]):
    (folder / "shop_server.py").write_text("import sys; sys.exit(' '.join(sys.argv))")
    server = SERVER.replace('["shop_server.py"]', '["shop_server.py", "--as", { env = "PASSPHRASE" }]')
    configure(folder, "", server=server)
    given = {"PASSPHRASE": "plain-words-of-a-variable"}
    for arguments in (("doctor",), ("tools", "list"), ("run", "team.toml", ORDER, "--quiet")):
        done = podium(*arguments, **given)
        assert "--as [redacted]" in " ".join((done.out + done.err).split()), done
        assert "plain-words" not in done.out + done.err


@pytest.mark.slow  # several commands, a second or two each
def test_tools_are_listed_with_their_server_for_a_team_and_without_one(folder: Path, podium: Callable[..., Done]):
    configure(folder, 'effects = { search = "read" }\nresources = true\n')
    rows = [line.split() for line in podium("tools", "list", "team.toml").out.splitlines()]
    assert rows[0][:3] == ["AGENT", "SERVER", "TOOL"]
    assert [row[:3] for row in rows[1:]] == [["clerk", "shop", "shop_order"]]
    rows = [line.split() for line in podium("tools", "list").out.splitlines()]
    assert [row[:2] + row[3:4] for row in rows] == [
        ["SERVER", "TOOL", "EFFECT"],
        ["shop", "shop_search", "read"],
        ["shop", "shop_order", "write"],
        ["shop", "shop_query_external_resource", "read"],
    ]
    [document] = json.loads(podium("tools", "list", "--json").out)
    assert (document["name"], document["error"], len(document["tools"])) == ("shop", "", 3)
    assert document["tools"][0]["parameters"]["required"] == ["query"]


def test_a_server_that_is_dead_keeps_no_other_from_being_listed(folder: Path, podium: Callable[..., Done]):
    configure(folder, '[mcp.servers.dead]\ncommand = "no-such-program-here"\n')
    done = podium("tools", "list")
    assert done.code == 0
    assert "shop_order" in done.out
    [line] = done.err.splitlines()
    assert line.startswith("MCP server 'dead': cannot start the MCP server: there is no program 'no-such-program-here'")


def test_without_a_server_a_target_is_asked_for(folder: Path, podium: Callable[..., Done]):
    configure(folder, "", server="")
    done = podium("tools", "list")
    assert done.code == 2
    assert "no MCP server is configured" in done.err


@pytest.mark.slow  # several commands, a second or two each
def test_a_team_that_names_what_nothing_offers_is_told_so(folder: Path, podium: Callable[..., Done]):
    (folder / "team.toml").write_text(TEAM.replace("shop_order", "shop_ordre"))
    done = podium("run", "team.toml", ORDER, "--quiet")
    assert done.code == 2
    assert "clerk cannot begin: there is no tool named 'shop_ordre': did you mean 'shop_order'?" in done.err
    assert (
        "clerk names the tool 'shop_ordre', which no server of podium.toml offers"
        in podium("tools", "list", "team.toml").err
    )


@pytest.mark.slow  # several commands, a second or two each
def test_doctor_says_of_each_server_whether_it_answers_and_does_not_hang(folder: Path, podium: Callable[..., Done]):
    (folder / "mute.py").write_text("import time; time.sleep(600)")
    configure(
        folder,
        'pins = { search = "0000000000000000", order = "0000000000000000" }\n'
        f"[mcp.servers.mute]\ncommand = {json.dumps(sys.executable)}\nargs = ['mute.py']\nconnect_timeout = 1\n"
        '[mcp.servers.far]\nurl = "https://tools.example.org/mcp"\n',
    )
    done = podium("doctor", "--json")
    assert done.code == 1
    checks = {each["name"]: each for each in json.loads(done.out)["checks"] if each["group"] == "MCP servers"}
    assert checks["shop"]["ok"]
    assert "0 tools; shop_search is left out: its definition" in checks["shop"]["detail"]
    assert "protocol 2026-" in checks["shop"]["detail"]
    assert (checks["mute"]["ok"], "no answer in 1 s" in checks["mute"]["detail"]) == (False, True)
    assert checks["far"]["detail"] == "https://tools.example.org/mcp: not asked"


@pytest.mark.slow  # several commands, a second or two each
def test_a_policy_that_names_tools_of_servers_is_checked_against_them(folder: Path, podium: Callable[..., Done]):
    configure(folder, '[policy.agents.clerk]\ntools = ["shop_order", "shop_nothing"]\n')
    done = podium("policy", "check", "--target", "team.toml")
    assert "shop_nothing" in done.out
    assert "'shop_order'" not in done.out
    done = podium("policy", "explain", "clerk", "shop_order", '{"item": "yarn", "amount": 1}', "--target", "team.toml")
    assert "verdict: allow" in done.out


WRONG: dict[str, tuple[str, str]] = {
    "neither": ("", "mcp.servers.x: give command (a program) or url (an address), one of them"),
    "both": ('command = "a"\nurl = "http://a"', "mcp.servers.x: give command (a program) or url (an address)"),
    "a typing error": (
        'command = "a"\nexcludes = []',
        "unknown key 'excludes': did you mean 'exclude'?",
    ),
    "a wrong type": ('command = "a"\nargs = "b"', "mcp.servers.x.args: expected a list, got a text"),
    "no effect": ('command = "a"\neffects = { b = "reads" }', "'reads' is not possible: did you mean 'read'?"),
    "no transport": ('url = "http://a"\ntransport = "ws"', "mcp.servers.x.transport: 'ws' is not possible"),
    "of the other kind": ('command = "a"\nheaders = { A = "b" }', "headers goes with url, not with command"),
    "of a program": ('url = "http://a"\ncwd = "b"', "cwd goes with command, not with url"),
    "no address": ('url = "tools.example.org"', "mcp.servers.x: url is no http(s) address"),
    "a secret header": (
        'url = "http://a"\nheaders = { Authorization = "Bearer hunter2" }',
        'headers.Authorization is a secret, which has no place here: write { env = "NAME" }',
    ),
    "a secret variable": ('command = "a"\nenv = { API_KEY = "hunter2" }', "env.API_KEY is a secret"),
    "a secret address": ('url = "https://a/?api_key=hunter2"', "url holds a secret"),
    "a plain token": ('url = "http://a"\nauth = "hunter2"', "mcp.servers.x.auth: expected a table, got a text"),
    "an empty secret": ('url = "http://a"\nauth = {}', 'auth: write { env = "NAME" }'),
    "no time": ('command = "a"\ntimeout = 0', "timeout=0.0: give a number above 0"),
    "no prefix": ('command = "a"\nprefix = "a b"', "give a prefix= of at most 32 letters"),
    "an approval": ('command = "a"\napproval = "sometimes"', "mcp.servers.x.approval"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_one_line_with_the_file_and_the_key(tmp_path: Path, text: str, said: str):
    from podium.config import load

    file = tmp_path / "podium.toml"
    file.write_text(f"[mcp.servers.x]\n{text}\n")
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    line = str(raised.value)
    assert line.startswith(f"{file}: mcp.servers.x")
    assert said in line
    assert "\n" not in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mcp = 3", "mcp must be a table"),
        ('[mcp.shop]\ncommand = "a"', "unknown key 'shop' in [mcp]; write [mcp.servers.shop]"),
        ('[mcp.servers."a b"]\ncommand = "a"', "give a name= of at most 32 letters"),
        ('[mcp.servers]\na = "b"', "mcp.servers.a"),
    ],
)
def test_a_table_in_the_wrong_place_is_one_line_too(tmp_path: Path, text: str, said: str):
    from podium.config import load

    file = tmp_path / "podium.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load(file)
    assert said in str(raised.value)


async def test_a_token_that_is_missing_is_said_when_the_server_is_needed_and_read_anew_for_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sys.path.insert(0, str(Path(__file__).parent))
    from test_mcp_http import Raw, serving

    from podium import Agent, Podium, ScriptedModel, ToolCall

    there = Raw()
    there.token = "token-of-words"
    async with serving(there):
        file = tmp_path / "podium.toml"
        file.write_text(
            f'store = ":memory:"\n[mcp.servers.bank]\nurl = "{there.url}"\nprotocol = "legacy"\nprefix = ""\n'
            'headers = { X-Tenant = { env = "BANK_TENANT" } }\nauth = { env = "BANK_LOGIN" }\n'
        )
        model: Any = ScriptedModel([ToolCall("pay", {}), ToolCall("pay", {}), "Done."])
        async with Podium.load(file) as app:
            agent = Agent("payer", model, ["pay"])
            with pytest.raises(ConfigurationError, match=r"BANK_TENANT, which headers\.X-Tenant names, is not set"):
                await app.run(agent, "Pay")
            monkeypatch.setenv("BANK_TENANT", "acme")
            monkeypatch.setenv("BANK_LOGIN", "token-of-words")
            there.on_call = lambda message: _renewed(there, monkeypatch, message)
            assert (await app.run(agent, "Pay")).output == "Done."
    assert {headers.get("x-tenant") for _, headers, _ in there.requests} == {"acme"}
    assert there.calls() == 2


def _renewed(there: Any, monkeypatch: pytest.MonkeyPatch, message: Any) -> Any:
    """Pay, and take another token from now on."""
    from test_mcp_http import result

    there.token = "another-token-of-words"
    monkeypatch.setenv("BANK_LOGIN", there.token)
    return result(message, "paid")
