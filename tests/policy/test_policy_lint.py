"""Mistakes in a policy: each kind is found where it is, and a good policy has none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import Principal, tool
from podium.core.actions import Kind
from podium.core.labels import TRUSTED
from podium.policy import Policy, PolicyCheck
from podium.policy.lint import Finding, Known, lint
from podium.ports import Proposal


@tool(effect="read", reach="none")
async def look_up(order: str) -> str:
    """Look up."""
    return ""


@tool(effect="write", reach="spend", tags=["finance"])
async def refund(order: str, amount: float) -> str:
    """Give money back."""
    return ""


@tool(effect="write", approval="always")
async def mail(to: str) -> str:
    """Send."""
    return ""


@tool
async def undeclared(x: int) -> str:
    """Nobody knows."""
    return ""


KNOWN = Known({"support": {"look_up": look_up, "refund": refund}, "clerk": {"look_up": look_up, "mail": mail}})
AMOUNT = {"arg": "amount", "op": ">", "value": 100}
ALLOWED = {"support": {"tools": ["look_up", "refund"]}, "clerk": {"tools": ["look_up", "mail"]}}


def found(policy: dict[str, Any], known: Known | None = KNOWN) -> dict[str, Finding]:
    """The findings by code; of a code that comes twice, the first."""
    return {finding.code: finding for finding in reversed(lint(Policy.parse(policy), known))}


def rule(name: str = "r", then: str = "deny", **more: Any) -> dict[str, Any]:
    return {"name": name, "then": then, **more}


def test_a_good_policy_has_no_findings():
    policy = {
        "principal_roles": ["finance"],
        "roles": {"reader": {"tools": ["look_up"]}},
        "agents": {
            "support": {"roles": ["reader"], "tools": ["refund"]},
            "clerk": {"roles": ["reader"], "tools": ["mail"]},
        },
        "tools": {"tag:finance": {"max_cost": 1}},
        "rules": [
            rule("huge", tools=["refund"], when=[{**AMOUNT, "value": 1000}]),
            rule("large", "ask", tools=["refund"], when=[AMOUNT], approvers=["finance"]),
            rule("no-mail-out", tools=["mail"], when=[{"arg": "to", "op": "not endswith", "value": "@ours.org"}]),
        ],
    }
    assert lint(Policy.parse(policy), KNOWN) == []
    assert lint(Policy.parse(policy)) == []


@pytest.mark.parametrize(
    ("code", "severity", "place", "policy"),
    [
        ("unknown-agent", "error", "policy.agents.suport", {"agents": {**ALLOWED, "suport": {"tools": ["refund"]}}}),
        ("unknown-agent", "error", "policy.rules[0].agents", {"agents": ALLOWED, "rules": [rule(agents=["x*"])]}),
        ("unknown-tool", "error", "policy.agents.support.tools", {"agents": {"support": {"tools": ["refnd"]}}}),
        ("unknown-tool", "error", "policy.tools.refnd", {"agents": ALLOWED, "tools": {"refnd": {"max_cost": 1}}}),
        ("unknown-role", "error", "policy.agents.clerk.roles", {"agents": {**ALLOWED, "clerk": {"roles": ["x"]}}}),
        ("unknown-role", "error", "policy.rules[0].agents", {"agents": ALLOWED, "rules": [rule(agents=["role:x"])]}),
        ("unused-role", "warning", "policy.roles.r", {"agents": ALLOWED, "roles": {"r": {"tools": ["look_up"]}}}),
        (
            "selects-nothing",
            "warning",
            "policy.rules[0].tools",
            {"agents": ALLOWED, "rules": [rule(tools=["tag:fin", "mail"])]},
        ),
        ("never-matches", "error", "policy.rules[0]", {"agents": ALLOWED, "rules": [rule(tools=["tag:fin"])]}),
        (
            "never-matches",
            "error",
            "policy.rules[0]",
            {"agents": ALLOWED, "rules": [rule(agents=["clerk"], tools=["refund"])]},
        ),
        (
            "grants-everything",
            "warning",
            "policy.agents.clerk.tools",
            {"agents": {**ALLOWED, "clerk": {"tools": ["*"]}}},
        ),
        ("broad-grant", "error", "policy.agents.clerk.tools", {"agents": {**ALLOWED, "clerk": {"tools": ["re*"]}}}),
        (
            "broad-grant",
            "error",
            "policy.roles.r.tools",
            {"agents": {"clerk": {"roles": ["r"]}}, "roles": {"r": {"tools": ["effect:write"]}}},
        ),
        ("broad-grant", "error", "policy.rules[0].tools", {"rules": [rule(then="allow", tools=["re*"])]}),
        ("write-for-everyone", "warning", "policy.agents.*", {"agents": {"*": {"tools": ["refund"]}}}),
        (
            "grant-without-tool",
            "warning",
            "policy.agents.clerk.tools",
            {"agents": {"clerk": {"tools": ["look_up", "refund"]}}},
        ),
        (
            "looser-override",
            "warning",
            "policy.tools.refund.reach",
            {"agents": ALLOWED, "tools": {"refund": {"reach": "none"}}},
        ),
        (
            "unreachable-rule",
            "error",
            "policy.rules[1]",
            {"agents": ALLOWED, "rules": [rule("a", tools=["refund"]), rule("b", tools=["refund"], when=[AMOUNT])]},
        ),
        (
            "unknown-argument",
            "error",
            "policy.rules[0].when[0]",
            {"agents": ALLOWED, "rules": [rule(tools=["mail"], when=[AMOUNT])]},
        ),
        (
            "stricter-for-others",
            "warning",
            "policy.rules[0].when[0]",
            {"agents": ALLOWED, "rules": [rule(when=[AMOUNT])]},
        ),
        (
            "asks-anyway",
            "warning",
            "policy.rules[0]",
            {"agents": ALLOWED, "rules": [rule(then="allow", tools=["mail"])]},
        ),
        ("asks-anyway", "warning", "policy.rules[0]", {"agents": ALLOWED, "rules": [rule(then="ask", tools=["mail"])]}),
        ("contradictory-default", "error", "policy.rules[0]", {"agents": ALLOWED, "rules": [rule(then="allow")]}),
        ("contradictory-default", "warning", "policy.rules[0]", {"default": "allow", "rules": [rule()]}),
        ("allows-everything", "warning", "policy", {"default": "allow"}),
        ("denies-everything", "error", "policy", {"rules": [rule(tools=["mail"])]}),
        ("never-allowed", "warning", "policy.agents.clerk", {"agents": {**ALLOWED, "clerk": {"tools": ["look_up"]}}}),
        ("never-allowed", "warning", "policy", {"rules": [rule(then="allow", agents=["support"], tools=["refund"])]}),
        (
            "unknown-principal-role",
            "error",
            "policy.rules[0].approvers",
            {
                "principal_roles": ["boss"],
                "agents": ALLOWED,
                "rules": [rule(then="ask", tools=["mail"], approvers=["bos"])],
            },
        ),
        (
            "unknown-principal-role",
            "error",
            "policy.tools.mail.roles",
            {"principal_roles": ["boss"], "agents": ALLOWED, "tools": {"mail": {"roles": ["bos"]}}},
        ),
    ],
)
def test_a_mistake_is_found_where_it_is(code: str, severity: str, place: str, policy: dict[str, Any]):
    finding = found(policy)[code]
    assert (finding.severity, finding.place) == (severity, place)
    assert finding.remedy


def test_a_tool_without_an_effect_is_named():
    known = Known({"clerk": {"undeclared": undeclared}})
    finding = found({"agents": {"clerk": {"tools": ["undeclared"]}}}, known)["undeclared-effect"]
    assert "undeclared has no declared effect" in finding.message


def test_what_was_probably_meant_is_said():
    assert "did you mean 'refund'?" in found({"agents": {"support": {"tools": ["refnd"]}}})["unknown-tool"].message
    finding = found({"agents": ALLOWED, "rules": [rule(tools=["refund"], when=[{**AMOUNT, "arg": "amout"}])]})
    assert "did you mean 'amount'?" in finding["unknown-argument"].message


def test_without_knowing_agents_and_tools_only_the_policy_itself_is_looked_at():
    policy = {"agents": {"anybody": {"tools": ["anything", "tag:x"]}}, "rules": [rule(tools=["other"], when=[AMOUNT])]}
    assert lint(Policy.parse(policy)) == []
    assert "unreachable-rule" in found({**policy, "rules": [rule("a"), rule("b")]}, None)


@pytest.mark.parametrize(
    ("earlier", "later", "shadowed"),
    [
        ({}, {"tools": ["refund"]}, True),
        ({"tools": ["re*"]}, {"tools": ["refund"]}, True),
        ({"tools": ["refund"]}, {"tools": ["re*"]}, False),
        ({"tools": ["tag:a"]}, {"tools": ["tag:a"]}, True),
        ({"tools": ["tag:a"]}, {"tools": ["capability:a"]}, False),
        ({"agents": ["a"]}, {"agents": ["a", "b"]}, False),
        ({"agents": ["a", "b"]}, {"agents": ["a"]}, True),
        ({"when": [AMOUNT]}, {}, False),
        ({"when": [AMOUNT]}, {"when": [{**AMOUNT, "value": 200}]}, True),
        ({"when": [AMOUNT]}, {"when": [{**AMOUNT, "op": ">="}]}, False),
        ({"when": [{**AMOUNT, "op": ">="}]}, {"when": [AMOUNT]}, True),
        ({"when": [AMOUNT]}, {"when": [{**AMOUNT, "op": "==", "value": 101}]}, True),
        ({"when": [AMOUNT]}, {"when": [{**AMOUNT, "op": "<", "value": 500}]}, False),
        ({"when": [AMOUNT]}, {"when": [{**AMOUNT, "missing": "holds"}]}, False),
        ({"when": [{"arg": "x", "op": "in", "value": ["a", "b"]}]}, {"when": [{"arg": "x", "value": "a"}]}, True),
        (
            {"when": [{"arg": "x", "op": "in", "value": ["a"]}]},
            {"when": [{"arg": "x", "op": "in", "value": ["a", "b"]}]},
            False,
        ),
        (
            {"when": [{"arg": "x", "op": "startswith", "value": "/etc"}]},
            {"when": [{"arg": "x", "value": "/etc/passwd"}]},
            True,
        ),
        ({"when": [{"arg": "x", "op": "present"}]}, {"when": [{"arg": "x", "value": "a"}]}, True),
        ({"label": {"untrusted": True}}, {}, False),
        ({"label": {"untrusted": True}}, {"label": {"untrusted": True, "kinds": ["pii.email"]}}, True),
        ({"principal": {"roles": ["a", "b"]}}, {"principal": {"roles": ["a"], "tenants": ["t"]}}, True),
        ({"cost_above": 1}, {"cost_above": 2}, True),
        ({"cost_above": 2}, {"cost_above": 1}, False),
        ({"kinds": ["answer"]}, {"kinds": ["tool"]}, False),
    ],
)
def test_a_rule_is_unreachable_behind_one_that_fits_all_it_fits(earlier: Any, later: Any, shadowed: bool):
    policy = {"agents": {"a": {"tools": ["x"]}}, "rules": [rule("earlier", **earlier), rule("later", **later)]}
    assert ("unreachable-rule" in found(policy, None)) is shadowed


def test_a_star_of_a_rule_that_allows_is_another_star():
    when = [{"arg": "/to/*", "op": "endswith", "value": "@ours.org"}]
    policy = {
        "agents": {"a": {"tools": ["x"]}},
        "rules": [rule("all", "allow", when=when), rule("some", "deny", when=when)],
    }
    assert "unreachable-rule" not in found(policy, None)


WHENS = st.lists(
    st.builds(
        lambda op, value: {"arg": "amount", "op": op, "value": value},
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.integers(0, 4),
    ),
    max_size=2,
)


@given(st.lists(st.tuples(st.sampled_from([[], ["refund"], ["look_up"], ["re*"]]), WHENS), min_size=2, max_size=4))
def test_a_rule_called_unreachable_decides_no_call(rules: list[tuple[list[str], list[dict[str, Any]]]]):
    policy = Policy.parse(
        {
            "default": "allow",
            "rules": [
                {"name": f"r{position}", "then": "deny", **({"tools": tools} if tools else {}), "when": when}
                for position, (tools, when) in enumerate(rules)
            ],
        }
    )
    check = PolicyCheck(policy)
    decided = set[str]()
    for name in ("refund", "look_up", "other"):
        for amount in (-1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5):
            said = check(Proposal(Kind.TOOL, name, {"amount": amount}, b"", "a", None, Principal(), TRUSTED))
            decided.add("" if said is None else said.rule)
    for finding in lint(policy):
        if finding.code == "unreachable-rule":
            assert f"policy:r{finding.where[1]}" not in decided
