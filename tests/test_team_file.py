"""A team in a file: what it says is what runs, its runs go on elsewhere, and what is wrong in it is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from podium import Agent, Parallel, Podium, Principal, Router, ScriptedModel, Sequential, Supervisor, ToolCall
from podium.cli import main
from podium.core.errors import ConfigurationError, MissingExtra
from podium.targets import load

SHOP = '''
from pathlib import Path
from podium import tool

HERE = Path(__file__).parent

@tool(effect="read")
async def stock(item: str = "tent") -> str:
    """How many tents are in stock."""
    return "7 red tents"

@tool(effect="write", approval="always")
async def refund(order: str = "A-1") -> str:
    """Refund an order."""
    with (HERE / "refunds.txt").open("a") as file:
        file.write(order + "\\n")
    return f"refunded {order}"

def plain():
    """No tool."""
'''

TOML = """
main = "support"

[agents.researcher]
model = "offline"
prompt = "Find facts."
description = "Finds facts about tents."
tools = ["shop.py:stock"]
max_iterations = 10

[agents.writer]
model = "offline"
prompt = "Write one sentence."

[agents.editor]
model = "offline"

[teams.pair]
kind = "parallel"
members = ["researcher", "writer"]
join = "editor"
description = "Two at once."

[teams.support]
kind = "sequential"
members = ["pair", "writer"]

[teams.desk]
kind = "router"
model = "offline"
members = ["researcher", "support"]
default = "writer"

[teams.lead]
kind = "supervisor"
prompt = "Lead."
members = ["researcher", "desk"]
"""

YAML = """
main: support
agents:
  researcher: {model: offline, prompt: Find facts., tools: ["shop.py:stock"], max_iterations: 10}
  writer:
    model: offline
    prompt: Write one sentence.
teams:
  support:
    kind: sequential
    members: [researcher, writer]
"""

TWO = "[agents.a]\n[agents.b]\n"


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("PODIUM_STORE", "PODIUM_MODEL", "PODIUM_BASE_URL", "PODIUM_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "team.toml").write_text(TOML)
    return tmp_path


@pytest.fixture
def podium(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    def call(*arguments: str) -> Done:
        capfd.readouterr()
        code = int(main(list(arguments)))
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return call


def process(folder: Path, *arguments: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "podium", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def agents_of(podium: Callable[..., Done], *arguments: str) -> Any:
    done = podium("run", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["agents"]


# ------------------------------------------------------------------------------------------------------- what is built


def test_main_runs_with_the_teams_nested_in_it(podium: Callable[..., Done]):
    done = podium("run", "team.toml", "How many tents are in stock?")
    assert done.code == 0, done.err
    keys = [step["key"] for step in json.loads(podium("show", "last", "--json").out)["steps"]]
    assert "support.1/pair.1/researcher.1/turn.1/stock.1" in keys
    assert "support.1/pair.1/editor.1/turn.1/model.1" in keys
    assert "support.1/writer.1/turn.1/model.1" in keys


def test_a_name_after_the_file_chooses_another_member(podium: Callable[..., Done]):
    assert agents_of(podium, "team.toml:writer", "Write.") == ["writer"]


def test_the_same_team_in_yaml_runs(podium: Callable[..., Done], folder: Path):
    pytest.importorskip("yaml")
    for name in ("team.yaml", "team.yml"):
        (folder / name).write_text(YAML)
        assert agents_of(podium, name, "How many tents?") == ["researcher", "writer"]


def test_yaml_without_its_extra_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "team.yaml").write_text(YAML)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtra, match=r'team\.yaml needs the extra "yaml": pip install "podium\[yaml\]"'):
        load("team.yaml")


def test_every_value_reaches_its_member(folder: Path):
    researcher = load("team.toml:researcher")
    assert isinstance(researcher, Agent)
    assert (researcher.name, researcher.model, researcher.system_prompt, researcher.description) == (
        *("researcher", "offline", "Find facts."),
        "Finds facts about tents.",
    )
    assert (list(researcher.tools), researcher.max_iterations) == (["stock"], 10)
    pair = load("team.toml:pair")
    assert isinstance(pair, Parallel)
    assert [one.name for one in pair.members] == ["researcher", "writer"]
    assert (pair.join.name, pair.description) == ("editor", "Two at once.")  # pyright: ignore[reportOptionalMemberAccess, reportFunctionMemberAccess]
    desk = load("team.toml:desk")
    assert isinstance(desk, Router)
    assert (desk.model, list(desk.routes)) == ("offline", ["researcher", "support"])
    assert desk.default is not None
    assert desk.default.name == "writer"
    lead = load("team.toml:lead")
    assert isinstance(lead, Supervisor)
    assert (lead.system_prompt, list(lead.workers)) == ("Lead.", ["researcher", "desk"])


def test_a_member_of_two_teams_is_the_same_member(folder: Path):
    support = load("team.toml")
    assert isinstance(support, Sequential)
    assert isinstance(support.members[0], Parallel)
    assert support.members[1] is support.members[0].members[1]


def test_the_only_member_needs_no_main(folder: Path):
    (folder / "one.toml").write_text("[agents.alone]\n")
    assert load("one.toml").name == "alone"


def test_members_without_a_model_have_that_of_the_app(podium: Callable[..., Done], folder: Path):
    (folder / "bare.toml").write_text(
        f'main = "r"\n{TWO}[teams.r]\nkind = "router"\nmembers = ["a", "b"]\ndefault = "b"\n'
    )
    assert agents_of(podium, "bare.toml", "Ask a", "--model", "offline")[-1] in {"a", "b"}


def test_tools_are_found_beside_the_file_wherever_one_works(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "beside_the_team.py").write_text(SHOP)
    (folder / "team.toml").write_text('[agents.a]\ntools = ["shop.py:stock", "beside_the_team:refund"]\n')
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before = list(sys.path)
    found = load("../team.toml")
    assert isinstance(found, Agent)
    assert list(found.tools) == ["stock", "refund"]
    assert sys.path == before
    del sys.modules["beside_the_team"]


# ---------------------------------------------------------------------------------------------------------- going on

WAITS = """
main = "shop"
[agents.cashier]
model = "offline"
prompt = "Refund the order."
tools = ["shop.py:refund"]
[agents.writer]
model = "offline"
[teams.shop]
kind = "sequential"
members = ["cashier", "writer"]
"""


def test_a_suspended_run_goes_on_in_a_new_process(podium: Callable[..., Done], folder: Path):
    (folder / "waits.toml").write_text(WAITS)
    waiting = podium("run", "waits.toml", "Refund order A-1", "--run-id", "w1")
    assert (waiting.code, (folder / "refunds.txt").exists()) == (3, False), waiting.err
    assert process(folder, "approve", "w1", "--no-resume").code == 0
    resumed = process(folder, "resume", "w1", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["agents"] == ["cashier", "writer"]
    assert (folder / "refunds.txt").read_text() == "A-1\n"


async def test_another_app_finds_the_chosen_member_by_the_recorded_target(folder: Path):
    (folder / "waits.toml").write_text(WAITS.replace('main = "shop"', 'main = "writer"'))
    async with Podium("runs.db") as app:
        waiting = await app.start(load("waits.toml:shop"), "Refund order A-1", run_id="w2")
        assert (await waiting.settled()).status == "suspended"
    async with Podium("runs.db") as app:
        row = await app.row("w2")
        assert row is not None
        assert row.target == "waits.toml:shop"
        await app.handle("w2").approve()
        assert (await app.resume("w2")).agents_invoked == ["cashier", "writer"]


GRADED = """
main = "writer"

[agents.writer]
model = "offline"

[agents.writer.review]
confidence = "CONFIDENCE"
threshold = 0.8
rounds = 0
roles = "editor"
expires = 60
self_approval = false
"""
GRADERS = """
from podium import member

def sure(answer):
    return 0.9 if "sure" in answer else 0.3

@member
async def grader(ctx, answer):
    return {"confidence": 0.5}
"""


@pytest.mark.parametrize(
    ("confidence", "more", "said"),
    [
        ("grades.py:sure", "", "0.3"),
        ("grades.py:grader", "", "0.5"),
        ("critic", '\n[agents.critic]\nmodel = "offline"\nprompt = "Grade it."\n', "0"),
    ],
    ids=["a function", "a member in code", "an agent of the file"],
)
async def test_an_answer_below_the_threshold_of_its_review_waits_for_whoever_may_decide(
    folder: Path, confidence: str, more: str, said: str
):
    (folder / "grades.py").write_text(GRADERS)
    (folder / "graded.toml").write_text(GRADED.replace("CONFIDENCE", confidence) + more)
    async with Podium() as app:
        handle = await app.start(load("graded.toml"), "Perhaps tents")
        [item] = (await handle.settled()).pending
        assert (item.why, item.roles, item.choices) == ("review", ("editor",), ("approve", "edit", "reject"))
        assert f"writer answers with confidence {said}, below 0.8" in item.prompt
        await handle.approve(edit="Two tents.", by=Principal("ann", ("editor",)))
        assert (await handle.result()).output == "Two tents."


async def test_a_sure_answer_waits_for_nobody_and_yaml_says_the_same(folder: Path):
    (folder / "grades.py").write_text(GRADERS)
    (folder / "graded.yaml").write_text(
        "agents:\n  writer:\n    model: offline\n    review: {confidence: 'grades.py:sure', threshold: 0.8}\n"
    )
    async with Podium() as app:
        assert (await app.run(load("graded.yaml"), "I am sure of tents")).status == "succeeded"
        assert (await app.run(load("graded.yaml"), "Perhaps tents")).status == "suspended"


# ------------------------------------------------------------------------------------------------------------ errors

A_TEAM = f'main = "t"\n{TWO}[teams.t]\n'

ERRORS = {
    "unknown key at the top": ("mian = 'a'\n[agents.a]", "unknown key mian; known are main, agents, teams"),
    "unknown key of an agent": ("[agents.a]\nmodle = 'x'", "unknown key agents.a.modle; known are model, prompt, desc"),
    "key of another kind": (
        f"{A_TEAM}kind = 'sequential'\nmembers = ['a']\njoin = 'b'",
        "unknown key teams.t.join; known are kind, members, description",
    ),
    "wrong type": ("[agents.a]\nmax_iterations = 'x'", "agents.a.max_iterations: expected int, got a text"),
    "wrong type in a list": ("[agents.a]\ntools = [1]", "agents.a.tools[0]: expected a text or a table, got int"),
    "unknown key of settings": (
        "[agents.a.settings]\nheat = 1",
        "unknown key agents.a.settings.heat; known are max_output_tokens, temperature",
    ),
    "unknown key of an approval": (
        "[[agents.a.approvals]]\ntool = 'pay'",
        "unknown key agents.a.approvals[0].tool; known are tools, when, cost_above",
    ),
    "wrong type in an approval": (
        "[[agents.a.approvals]]\nexpires = 'soon'",
        "agents.a.approvals[0].expires: expected float or null, got a text",
    ),
    "bad value in an approval": (
        "[[agents.a.approvals]]\nexpires = -1",
        "agents.a.approvals[0]: expires is in seconds and more than 0, not -1",
    ),
    "a review without a grader": ("[agents.a.review]\nthreshold = 0.5", "agents.a.review.confidence is missing"),
    "unknown key of a review": (
        "[agents.a.review]\nconfidence = 'a'\nlimit = 1",
        "unknown key agents.a.review.limit; known are confidence, threshold, roles, expires",
    ),
    "bad value in a review": (
        "main = 'a'\n[agents.b]\n[agents.a.review]\nconfidence = 'b'\nthreshold = 7",
        "agents.a.review: the threshold of a review is between 0 and 1, not 7",
    ),
    "wrong word in a review": (
        "[agents.a.review]\nconfidence = 'a:b'\non_expiry = 'wait'",
        "agents.a.review.on_expiry: invalid enum value 'wait'",
    ),
    "unknown grader": (
        "[agents.a.review]\nconfidence = 'b'",
        "agents.a.review.confidence: there is no member 'b'; members found there: a",
    ),
    "a grader of itself": (
        "main = 'a'\n[agents.a.review]\nconfidence = 'b'\n[agents.b.review]\nconfidence = 'a'",
        "agents.a.review.confidence: an agent cannot grade its own answers: a -> b -> a",
    ),
    "no such function": (
        "[agents.a.review]\nconfidence = 'shop.py:sure'",
        "agents.a.review.confidence: shop.py has no 'sure'; functions found there: ",
    ),
    "no function": (
        "[agents.a.review]\nconfidence = 'shop.py:refund'",
        "agents.a.review.confidence: shop.py:refund is no function of an answer, and no member that grades one",
    ),
    "nothing that makes tools": (
        "[agents.a]\ntools = [{root = 'x'}]",
        'agents.a.tools[0]: a table makes tools: write { make = "module:function", … } with its arguments',
    ),
    "tools made with a wrong argument": (
        "[agents.a]\ntools = [{make = 'podium.tools.builtin:file_tools', rot = 'x'}]",
        "agents.a.tools[0]: making tools with podium.tools.builtin:file_tools failed: TypeError: file_tools() got an",
    ),
    "tools made of nothing there": (
        "[agents.a]\ntools = [{make = 'podium.tools.builtin:file_tools', root = 'no such folder'}]",
        "agents.a.tools[0]: podium.tools.builtin:file_tools: ",
    ),
    "tools made by a tool": (
        "[agents.a]\ntools = [{make = 'shop.py:stock'}]",
        "agents.a.tools[0]: shop.py:stock makes no tools: write it as a text, without make",
    ),
    "no tools made": (
        "[agents.a]\ntools = [{make = 'shop.py:plain'}]",
        "agents.a.tools[0]: shop.py:plain made NoneType, not tools: return a tool, or a list of them",
    ),
    "bad value": ("[agents.a]\nmax_iterations = 0", "agents.a: max_iterations of agent 'a' must be at least 1, not 0"),
    "agents no table": ("agents = 3", "agents must be a table of names, each with its values"),
    "an agent no table": ("[agents]\na = 3", "agents.a: expected a table, got int"),
    "a team no table": ("[teams]\na = 3", "teams.a: expected a table, got int"),
    "a name that is empty": ("[agents.'']", "agents has a name that is no text (''): put it in quotes"),
    "kind missing": (f"{A_TEAM}members = ['a']", "teams.t.kind is missing; kinds are sequential, parallel, router, s"),
    "kind unknown": (f"{A_TEAM}kind = 'chain'", "teams.t.kind is 'chain'; kinds are sequential, parallel, router, sup"),
    "kind no text": (f"{A_TEAM}kind = 3", "teams.t.kind is int; kinds are"),
    "members missing": (f"{A_TEAM}kind = 'router'", "teams.t.members is missing"),
    "members empty": (f"{A_TEAM}kind = 'router'\nmembers = []", "teams.t: the team 't' has no members"),
    "a worker twice": (
        f"{A_TEAM}kind = 'supervisor'\nmembers = ['a', 'a']",
        "teams.t: two workers of 't' share a name",
    ),
    "unknown member": (
        f"{A_TEAM}kind = 'parallel'\nmembers = ['a', 'c']",
        "teams.t.members[1]: there is no member 'c'; members found there: a, b, t",
    ),
    "unknown join": (f"{A_TEAM}kind = 'parallel'\nmembers = ['a']\njoin = 'c'", "teams.t.join: there is no member 'c'"),
    "unknown default": (
        f"{A_TEAM}kind = 'router'\nmembers = ['a']\ndefault = 'c'",
        "teams.t.default: there is no member 'c'",
    ),
    "unknown main": ("main = 'c'\n[agents.a]", "main: there is no member 'c'; members found there: a"),
    "main missing": (
        TWO,
        'main is missing: write which member runs, as in main = "b", or name it: bad.toml:b; members',
    ),
    "a name twice": (f"{TWO}[teams.a]\nkind = 'router'\nmembers = ['b']", "teams.a: there is an agent of that name"),
    "a team in itself": (
        f"{A_TEAM}kind = 'sequential'\nmembers = ['a', 't']",
        "teams.t.members[1]: a team cannot contain itself: t -> t",
    ),
    "no tool file": ("[agents.a]\ntools = ['none.py:x']", "agents.a.tools[0]: there is no file none.py"),
    "no tool module": (
        "[agents.a]\ntools = ['no_such_module:x']",
        "agents.a.tools[0]: there is no module 'no_such_mod",
    ),
    "no such tool": (
        "[agents.a]\ntools = ['shop.py:stok']",
        "agents.a.tools[0]: shop.py has no 'stok'; tools found there: refund, stock",
    ),
    "not a tool": (
        "[agents.a]\ntools = ['shop.py:plain']",
        "agents.a.tools[0]: shop.py:plain is function, not a tool: decorate the function with @tool(effect=...)",
    ),
    "no reference": (
        "[agents.a]\ntools = ['shop.stock']",
        "agents.a.tools[0]: 'shop.stock' is no tool: write module:attribute or file.py:attribute, or the name",
    ),
    "a tool twice": (
        "[agents.a]\ntools = ['shop.py:stock', 'shop.py:stock']",
        "agents.a: agent 'a' has two tools named",
    ),
    "error outside the chosen part": (
        "main = 'a'\n[agents.a]\n[agents.b]\ntools = ['none.py:x']",
        "agents.b.tools[0]: ",
    ),
}


@pytest.mark.parametrize(("text", "said"), ERRORS.values(), ids=ERRORS.keys())
def test_what_is_wrong_is_one_line_with_the_file_and_the_key(folder: Path, text: str, said: str):
    (folder / "bad.toml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load("bad.toml")
    assert str(raised.value).startswith(f"bad.toml: {said}")
    assert "\n" not in str(raised.value)


def test_a_longer_circle_is_named_from_team_to_team(folder: Path):
    kind = 'kind = "parallel"'
    (folder / "bad.toml").write_text(
        f'main = "x"\n[agents.a]\n[teams.x]\n{kind}\nmembers = ["y"]\n'
        f'[teams.y]\n{kind}\nmembers = ["a"]\njoin = "z"\n[teams.z]\n{kind}\nmembers = ["x"]\n'
    )
    with pytest.raises(ConfigurationError, match="a team cannot contain itself") as raised:
        load("bad.toml")
    key, _, circle = str(raised.value).removeprefix("bad.toml: ").partition(": a team cannot contain itself: ")
    names = circle.split(" -> ")
    assert names[0] == names[-1]
    assert sorted(names[1:]) == ["x", "y", "z"]
    assert "".join(names) in "xyzxyzx"
    assert key == {"x": "teams.x.members[0]", "y": "teams.y.join", "z": "teams.z.members[0]"}[names[0]]


WHOLE = {
    "not there": (None, "there is no file bad.toml"),
    "empty": (b"", "bad.toml has no members"),
    "not TOML": (b"main =", "bad.toml is not valid TOML: "),
    "not text": (b"\xff\xfe", "bad.toml is not UTF-8 text: "),
    "too large": (b"#" * ((1 << 20) + 1), "bad.toml is larger than 1 MiB"),
    "too deep": (b"a = " + b"[" * 100_000, "bad.toml is nested too deeply"),
}


@pytest.mark.parametrize(("data", "said"), WHOLE.values(), ids=WHOLE.keys())
def test_a_file_that_cannot_be_a_team_says_why(
    podium: Callable[..., Done], folder: Path, data: bytes | None, said: str
):
    if data is not None:
        (folder / "bad.toml").write_bytes(data)
    done = podium("run", "bad.toml", "x")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"podium: {said}")
    assert len(done.err.splitlines()) == 1


def test_a_member_that_the_file_does_not_have_is_named_with_those_it_has(folder: Path):
    with pytest.raises(
        ConfigurationError, match=r"team\.toml has no member 'boss'; members found there: researcher, wri"
    ):
        load("team.toml:boss")


NO_TEAM_IN_YAML = {
    "syntax": ("agents: [", "bad.yaml is not valid YAML: "),
    "a date that is none": ("agents: 2024-13-45", "bad.yaml is not valid YAML: "),
    "a text": ("hello", "bad.yaml has no members"),
    "objects": (
        "agents: !!python/object/apply:os.getcwd []",
        "bad.yaml is not valid YAML: could not determine a constr",
    ),
    "a name that is no text": ("agents: {on: {}}", "bad.yaml: agents has a name that is no text (True)"),
    "a key that is no text": ("agents: {a: {1: x}}", "bad.yaml: agents.a has a key that is no text"),
    "a file key that is no text": ("1: x", "bad.yaml: the file has a key that is no text"),
    "itself": ("agents: &a {b: *a}", "bad.yaml: unknown key agents.b.b"),
    "null": ("agents:", "bad.yaml: agents must be a table"),
}


@pytest.mark.parametrize(("text", "said"), NO_TEAM_IN_YAML.values(), ids=NO_TEAM_IN_YAML.keys())
def test_what_is_wrong_in_yaml_is_one_line_too(folder: Path, text: str, said: str):
    pytest.importorskip("yaml")
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load("bad.yaml")
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_an_agent_of_a_file_has_settings_a_chain_of_models_and_a_cache(tmp_path: Path):
    from podium import Settings

    (tmp_path / "team.toml").write_text(
        """
[agents.writer]
model = "anthropic:a | openai:b"
cache = 3600
[agents.writer.settings]
max_output_tokens = 500
reasoning_effort = "low"
stop = ["END"]
prompt_cache = "1h"
[agents.writer.settings.extra]
service_tier = "flex"
"""
    )
    writer = load(str(tmp_path / "team.toml"))
    assert isinstance(writer, Agent)
    assert (writer.model, writer.cache) == ("anthropic:a | openai:b", 3600)
    assert writer.settings == Settings(
        max_output_tokens=500,
        reasoning_effort="low",
        stop=("END",),
        prompt_cache="1h",
        extra={"service_tier": "flex"},
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("settings = 1", "agents.writer.settings: expected a table, got int"),
        ("settings.temprature = 1", "unknown"),
        ("settings.max_output_tokens = 0", "agents.writer.settings.max_output_tokens: expected int >= 1"),
        ("cache = 0", "agents.writer.cache: expected float > 0"),
    ],
)
def test_settings_of_a_file_that_are_wrong_are_one_line(tmp_path: Path, line: str, said: str):
    (tmp_path / "team.toml").write_text(f"[agents.writer]\n{line}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(str(tmp_path / "team.toml"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------- tools that are made


BUILTIN = """
[agents.clerk]
model = "offline"
tools = [
    "podium.tools.builtin:calculator",
    "shop.py:BOTH",
    { make = "podium.tools.builtin:file_tools", root = "notes", write = true },
]

[[agents.clerk.approvals]]
tools = "effect:write"
when = { arg = "order", op = "!=", value = "A-1" }
roles = "finance"
name = "foreign orders"
"""


def test_an_agent_of_a_file_has_built_in_tools_lists_and_what_a_function_makes(folder: Path):
    (folder / "notes").mkdir()
    (folder / "shop.py").write_text(SHOP + "\nBOTH = [stock, refund]\n")
    (folder / "clerk.toml").write_text(BUILTIN)
    clerk = load("clerk.toml")
    assert isinstance(clerk, Agent)
    assert list(clerk.tools) == [
        "calculator", "stock", "refund", "list_files", "find_in_files", "read_file", "write_file", "edit_file",
        "delete_file",
    ]  # fmt: skip


async def test_calls_of_an_agent_of_a_file_wait_for_the_person_it_says(folder: Path):
    (folder / "notes").mkdir()
    shop = SHOP.replace(', approval="always"', "")
    (folder / "shop.py").write_text(shop + "\nBOTH = [stock, refund]\n")
    (folder / "clerk.toml").write_text(BUILTIN)
    clerk = load("clerk.toml")
    assert isinstance(clerk, Agent)
    calls = [ToolCall("refund", {"order": "A-1"}), ToolCall("refund", {"order": "B-2"})]
    clerk.model = ScriptedModel([calls, "Done."])
    async with Podium() as app:
        handle = await app.start(clerk, "Refund both")
        [item] = (await handle.settled()).pending
        assert (item.args, item.roles, item.rule) == (
            {"order": "B-2"},
            ("finance",),
            "approval:foreign orders for finance",
        )
        await handle.approve(by=Principal("ada", ("finance",)))
        assert (await handle.result()).status == "succeeded"
    assert (folder / "refunds.txt").read_text().split() == ["A-1", "B-2"]


def test_a_tool_is_no_target_and_says_what_to_do(folder: Path):
    with pytest.raises(ConfigurationError, match=r"shop.py:stock is a tool: give it to an agent"):
        load("shop.py:stock")
    with pytest.raises(ConfigurationError, match=r"shop.py has no 'stok': did you mean 'stock'"):
        load("shop.py:stok")
