"""`podium policy`: mistakes before a policy is in force, and why a call is allowed, asked about or denied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Done

Podium = Callable[..., Done]

POLICY = """
[policy]
version = "1"

[policy.agents.support]
tools = ["look_up", "refund"]

[[policy.rules]]
name = "huge"
tools = ["refund"]
when = [{ arg = "amount", op = ">", value = 1000 }]
then = "deny"

[[policy.rules]]
name = "tainted"
tools = ["effect:write"]
label = { untrusted = true }
then = "ask"

[[policy.rules]]
name = "large"
tools = ["refund"]
when = [{ arg = "amount", op = ">", value = 100 }]
then = "ask"
approvers = ["finance"]
"""


@pytest.fixture
def policy(folder: Path) -> Path:
    file = folder / "podium.toml"
    file.write_text(POLICY)
    return file


def test_a_policy_without_mistakes_exits_with_0(podium: Podium, policy: Path):
    (policy.parent / "shop.py").write_text(SHOP)
    policy.write_text(POLICY.replace('"refund"]\n\n', '"refund", "audit"]\n\n', 1))
    done = podium("policy", "check", "--target", "shop.py:support")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("podium.toml: no findings (1 agent, 0 tools, 3 rules; ")


def test_a_mistake_is_told_with_its_line_and_remedy_and_exits_with_1(podium: Podium, policy: Path):
    policy.write_text(POLICY.replace('["look_up", "refund"]', '["look_up", "refnd"]'))
    done = podium("policy", "check", "--target", "team.py:support")
    assert done.code == 1
    first, remedy = done.out.splitlines()[:2]
    assert first.startswith("podium.toml:6 policy.agents.support.tools: error: there is no tool 'refnd'")
    assert first.endswith("did you mean 'refund'? (unknown-tool)")
    assert remedy.strip() == "rename or remove it"
    found = podium("policy", "check", "--target", "team.py:support", "--json")
    assert (found.code, found.json["ok"]) == (1, False)
    finding = found.json["findings"][0]
    assert (finding["code"], finding["severity"], finding["line"]) == ("unknown-tool", "error", 6)
    assert finding["where"] == "policy.agents.support.tools"


def test_warnings_alone_fail_only_when_asked_to(podium: Podium, folder: Path):
    (folder / "own.toml").write_text('[policy]\ndefault = "allow"\n')
    assert podium("policy", "check", "own.toml").code == 0
    strict = podium("policy", "check", "own.toml", "--strict")
    assert strict.code == 1
    assert "allows-everything" in strict.out


def test_a_policy_that_cannot_be_read_is_one_line_and_exits_with_2(podium: Podium, policy: Path):
    policy.write_text(POLICY.replace('then = "deny"', 'then = "denny"'))
    for command in (("check",), ("explain", "support", "refund"), ("check", str(policy))):
        done = podium("policy", *command)
        assert (done.code, done.out) == (2, "")
        [line] = done.err.splitlines()
        assert line.endswith("policy.rules[0].then: 'denny' is not possible: did you mean 'deny'?")
    assert podium("run", "team.py:echo", "x").code == 2, "no run begins under a policy that cannot be read"


def test_without_a_policy_there_is_nothing_to_check(podium: Podium):
    done = podium("policy", "check")
    assert done.code == 2
    assert "there is no policy: write [policy] into podium.toml" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "verdict"),
    [
        (['{"order": "A", "amount": 5}'], 0, "allow by policy:agents.support"),
        (['{"order": "A", "amount": 500}'], 3, "ask by policy:large, of finance, within 7 d 0 h"),
        (['{"order": "A", "amount": 5000}'], 1, "deny by policy:huge"),
        (['{"order": "A", "amount": 5}', "--tainted"], 3, "ask by policy:tainted, of anybody, within 7 d 0 h"),
        ([], 1, "deny by policy:huge"),
    ],
)
def test_explain_tells_the_verdict_and_exits_by_it(
    podium: Podium, policy: Path, arguments: list[str], code: int, verdict: str
):
    (policy.parent / "shop.py").write_text(SHOP)
    done = podium("policy", "explain", "support", "refund", *arguments, "--target", "shop.py:support")
    assert done.code == code
    assert f"verdict: {verdict}\n" in done.out


SHOP = """
from podium import Agent, tool

@tool(effect="read")
def look_up(order: str) -> str:
    "Look up."
    return order

@tool(effect="write", roles=["clerk"])
def audit(order: str) -> str:
    "Look closely."
    return order

@tool(effect="write")
def refund(order: str, amount: float, note: str = "-") -> str:
    "Give money back."
    raise SystemExit("explaining must call nothing")

support = Agent("support", "offline", [look_up, refund, audit])
"""


def test_explain_tells_the_chain_of_causes(podium: Podium, policy: Path):
    (policy.parent / "shop.py").write_text(SHOP)
    line = ("policy", "explain", "support", "refund", '{"order": "A", "amount": 500}', "--target", "shop.py:support")
    done = podium(*line)
    assert '"note":"-"' in done.out, "the gate sees arguments with their defaults"
    for told in (
        "permission: nothing to say",
        "policy: ask by policy:large",
        "rule huge does not fit (amount > 1000: no)",
        "rule tainted does not fit (it has seen untrusted text: no)",
        "rule large fits: ask (amount > 100: yes)",
        "after approval: allow by policy:large",
    ):
        assert told in done.out
    document = podium(*line, "--json").json
    assert (document["verdict"], document["rule"], document["approvers"]) == ("ask", "policy:large", ["finance"])
    assert document["causes"][0]["check"] == "permission"
    assert document["after_approval"][0]["verdict"] == "allow"


def test_explain_knows_the_approvals_that_an_agent_has_of_its_own(podium: Podium, policy: Path):
    shop = SHOP.replace("import Agent, tool", "import Agent, Approval, tool")
    shop = shop.replace("refund, audit])", "refund, audit], approvals=[Approval(tools='look_up', roles='boss')])")
    (policy.parent / "shop.py").write_text(shop)
    done = podium("policy", "explain", "support", "look_up", '{"order": "A"}', "--target", "shop.py:support")
    assert done.code == 3
    assert "verdict: ask by approval:look_up for boss, of boss, within 7 d 0 h\n" in done.out
    assert "after approval: allow by policy:agents.support\n" in done.out


def test_explain_asks_for_whom(podium: Podium, policy: Path):
    (policy.parent / "shop.py").write_text(SHOP)
    policy.write_text(POLICY.replace('"refund"]\n\n', '"refund", "audit"]\n\n', 1))
    line = ("policy", "explain", "support", "audit", '{"order": "A"}', "--target", "shop.py:support")
    assert "deny by permission:role" in podium(*line).out
    assert podium(*line, "--role", "clerk").code == 0


def test_explain_without_a_target_says_what_it_does_not_know(podium: Podium, policy: Path):
    done = podium("policy", "explain", "support", "refund", '{"amount": 5}')
    assert done.code == 0
    assert "nothing is known of refund but its name" in done.out
    for arguments, line in (
        (("support", "refund", "[1]"), "ARGS must be a JSON object"),
        (("support", "refund", "{"), "ARGS is not JSON"),
        (("suport", "refund", "{}", "--target", "team.py:support"), "did you mean 'support'?"),
        (("support", "refund", '{"amount": "x"}', "--target", "team.py:support"), "amount"),
    ):
        refused = podium("policy", "explain", *arguments)
        assert refused.code in (1, 2)
        assert line in refused.err


def test_the_members_of_a_team_are_looked_at_too(podium: Podium, policy: Path):
    (policy.parent / "teams.py").write_text(
        SHOP + "from podium import Router, Supervisor, Sequential\n"
        'clerk = Agent("clerk", "offline", [look_up])\n'
        'team = Sequential(Supervisor([support], model="offline"), Router({"x": clerk}, classify=lambda text: "x"))\n'
    )
    done = podium("policy", "check", "--target", "teams.py:team", "--json")
    said = " ".join(finding["message"] for finding in done.json["findings"])
    assert "support has audit, which the policy never lets it call" in said
    assert "clerk has look_up, which the policy never lets it call" in said


def test_a_run_of_the_command_line_is_held_to_the_policy(podium: Podium, policy: Path, folder: Path):
    policy.write_text('[policy.agents.support]\ntools = ["look_up"]\n')
    done = podium("run", "team.py:support", "refund A-1", "--run-id", "s1")
    assert done.code == 0
    assert not (folder / "refunds.txt").exists()
    shown = podium("show", "s1", "--step", "support.1/turn.2/refund.1", "--json").json
    assert "policy:agents.support" in str(shown)
