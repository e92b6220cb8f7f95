"""What a policy says to a call: which of its parts has the word, in which order, and that its index changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import Principal, tool
from podium.core.actions import Kind
from podium.core.errors import ConfigurationError
from podium.core.labels import TRUSTED, Label, untrusted
from podium.policy import AgentTable, Chain, Grants, Policy, PolicyCheck, Rule, When, default_gate
from podium.ports import Allow, Deny, HoldFor, Proposal, Rewrite


@tool(effect="write", reach="spend", tags=["finance"], cost="0.02")
async def refund(order: str, amount: float) -> str:
    """Give money back."""
    return ""


@tool(effect="read", reach="none", capabilities=["lookup"])
async def look_up(order: str) -> str:
    """Look up."""
    return ""


TOOLS = {"refund": refund, "look_up": look_up}


def call(name: str = "refund", agent: str = "support", label: Label = TRUSTED, **more: Any) -> Proposal:
    who = more.pop("principal", Principal())
    approved = frozenset(more.pop("approved", ()))
    args = more.pop("args", more)
    return Proposal(Kind.TOOL, name, args, b"", agent, None, who, label, TOOLS.get(name), approved=approved)


def verdict(policy: dict[str, Any], proposal: Proposal) -> tuple[str, str]:
    """What was said (`allow`, `ask`, `deny`), and the rule that said it."""
    said = PolicyCheck(Policy.parse(policy))(proposal)
    assert said is not None
    return {Allow: "allow", Deny: "deny", HoldFor: "ask"}[type(said)], said.rule  # pyright: ignore[reportArgumentType]


SMALL = {"name": "small", "tools": ["refund"], "when": [{"arg": "amount", "op": "<=", "value": 100}], "then": "allow"}
HUGE = {"name": "huge", "tools": ["refund"], "when": [{"arg": "amount", "op": ">", "value": 1000}], "then": "deny"}
LARGE = {"name": "large", "tools": ["refund"], "then": "ask", "approvers": ["finance"], "expires": 60}
SUPPORT = {"support": {"tools": ["refund", "look_up"]}}
REFUNDS = {"agents": SUPPORT, "rules": [SMALL, HUGE, LARGE]}


def test_of_the_rules_the_first_that_fits_decides():
    assert verdict(REFUNDS, call(amount=100)) == ("allow", "policy:small")
    assert verdict(REFUNDS, call(amount=101)) == ("ask", "policy:large")
    assert verdict(REFUNDS, call(amount=1001)) == ("deny", "policy:huge")
    assert verdict({**REFUNDS, "rules": [LARGE, SMALL, HUGE]}, call(amount=1)) == ("ask", "policy:large")


def test_a_call_that_no_rule_fits_is_granted_or_gets_the_default():
    assert verdict(REFUNDS, call("look_up")) == ("allow", "policy:agents.support")
    assert verdict(REFUNDS, call("look_up", "other")) == ("deny", "policy:default")
    assert verdict({**REFUNDS, "default": "allow"}, call("look_up", "other")) == ("allow", "policy:default")


def test_an_agents_table_is_all_it_may_call_whatever_rules_or_the_default_say():
    policy = {"default": "allow", "agents": {"support": {"tools": ["look_up"]}}, "rules": [SMALL]}
    assert verdict(policy, call(amount=1)) == ("deny", "policy:agents.support")
    assert verdict(policy, call("invented")) == ("deny", "policy:agents.support")


def test_the_table_of_everybody_is_for_agents_without_one():
    policy = {"agents": {"support": {"tools": ["refund"]}, "*": {"tools": ["effect:read"]}}}
    assert verdict(policy, call("look_up", "other")) == ("allow", "policy:agents.*")
    assert verdict(policy, call("refund", "other")) == ("deny", "policy:agents.*")
    assert verdict(policy, call("look_up")) == ("deny", "policy:agents.support")


@pytest.mark.parametrize(
    "selector", ["refund", "ref*", "re?und", "tag:finance", "tag:fin*", "effect:write", "reach:spend", "*"]
)
def test_a_tool_is_granted_by_name_wildcard_or_what_it_says_of_itself(selector: str):
    policy = {"agents": {"support": {"tools": [selector]}}}
    assert verdict(policy, call(amount=1))[0] == "allow"
    assert verdict(policy, call("look_up"))[0] == ("allow" if selector == "*" else "deny")


def test_agents_get_the_grants_of_their_roles_and_rules_can_be_for_a_role():
    clerks = {"name": "no-clerk", "agents": ["role:clerk"], "tools": ["refund"], "then": "deny"}
    policy = {
        "roles": {"clerk": {"tools": ["refund"]}, "reader": {"tools": ["capability:lookup"]}},
        "agents": {"support": {"roles": ["reader", "clerk"]}, "boss": {"tools": ["refund"]}},
        "rules": [clerks],
    }
    assert verdict(policy, call("look_up")) == ("allow", "policy:agents.support")
    assert verdict(policy, call(amount=1)) == ("deny", "policy:no-clerk")
    assert verdict(policy, call(agent="boss", amount=1)) == ("allow", "policy:agents.boss")


def test_a_role_that_is_not_defined_grants_nothing():
    assert verdict({"agents": {"support": {"roles": ["ghost"]}}}, call())[0] == "deny"


def test_a_tools_table_asks_for_roles_limits_the_cost_and_wants_approval():
    policy = {"agents": SUPPORT, "tools": {"tag:finance": {"roles": ["manager"], "approval": "always"}}}
    manager = Principal("ann", ("manager",))
    assert verdict(policy, call(amount=1)) == ("deny", "policy:tools.tag:finance")
    assert verdict(policy, call(amount=1, principal=manager)) == ("ask", "policy:tools.tag:finance")
    approved = call(amount=1, principal=manager, approved=["policy:tools.tag:finance"])
    assert verdict(policy, approved) == ("allow", "policy:agents.support")
    for most, said in ((0.02, "allow"), (0.01, "deny"), ("0.019", "deny")):
        assert verdict({"agents": SUPPORT, "tools": {"refund": {"max_cost": most}}}, call(amount=1))[0] == said


def test_the_approval_of_a_rule_is_the_approval_of_the_tools_table_too():
    policy = {**REFUNDS, "tools": {"refund": {"approval": "always"}}}
    assert verdict(policy, call(amount=1)) == ("ask", "policy:tools.refund")  # a rule that allows does not lift it
    assert verdict(policy, call(amount=500)) == ("ask", "policy:large")
    assert verdict(policy, call(amount=500, approved=["policy:large"])) == ("allow", "policy:large")


def test_an_approval_of_a_rule_spares_no_table_that_wants_stricter_deciders():
    anybody = {"name": "look", "tools": ["refund"], "then": "ask"}
    for table in ({"approvers": ["finance"]}, {"self_approval": False}):
        policy = {"agents": SUPPORT, "rules": [anybody], "tools": {"refund": {"approval": "always", **table}}}
        assert verdict(policy, call(amount=1)) == ("ask", "policy:look")
        assert verdict(policy, call(amount=1, approved=["policy:look"])) == ("ask", "policy:tools.refund")
        both = call(amount=1, approved=["policy:look", "policy:tools.refund"])
        assert verdict(policy, both) == ("allow", "policy:look")


def test_of_several_tables_that_want_approval_each_has_its_deciders_and_the_strictest_asks_first():
    always = {"approval": "always"}
    tables: dict[str, Any] = {
        "*": always,
        "refund": {**always, "approvers": ["finance", "boss"]},
        "tag:finance": {**always, "approvers": ["boss"]},
    }
    policy = {"agents": SUPPORT, "tools": tables}
    assert verdict(policy, call(amount=1)) == ("ask", "policy:tools.tag:finance")
    assert verdict(policy, call(amount=1, approved=["policy:tools.tag:finance"]))[0] == "allow"
    tables["tag:finance"] = {**always, "self_approval": False}
    assert verdict(policy, call(amount=1)) == ("ask", "policy:tools.refund")
    assert verdict(policy, call(amount=1, approved=["policy:tools.refund"])) == ("ask", "policy:tools.tag:finance")


def test_a_policy_makes_what_a_tool_declares_stricter_only():
    policy: dict[str, Any] = {"tools": {"look_up": {"effect": "write"}, "refund": {"effect": "read", "reach": "none"}}}
    policy["agents"] = {"support": {"tools": ["effect:read", "reach:none"]}}
    check = PolicyCheck(Policy.parse(policy))
    assert (check.traits("look_up", look_up).effect, check.traits("refund", refund).effect) == ("write", "write")
    assert check.traits("refund", refund).reach == "spend"
    assert verdict(policy, call(amount=1))[0] == "deny"


@pytest.mark.parametrize("amount", [None, "much", True, float("nan"), [1], {}])
def test_what_cannot_be_compared_gets_the_stricter_of_both_readings(amount: Any):
    def of(*rules: dict[str, Any]) -> str:
        return verdict(
            {"agents": SUPPORT, "rules": list(rules)}, call(args={} if amount is None else {"amount": amount})
        )[0]

    asks = {**LARGE, "when": [{"arg": "amount", "op": ">", "value": 100}]}
    never = {"name": "never", "then": "deny"}
    always = {"name": "always", "then": "allow"}
    assert of(SMALL, LARGE) == "ask"
    assert of(SMALL, never) == "deny"
    assert of(HUGE, always) == "deny"
    assert of(asks) == "ask"
    assert of(asks, always) == "ask"
    assert of(asks, never) == "deny", "it may not have fitted, and then the next rule denies"


def test_an_approved_doubtful_hold_goes_on_to_the_next_rule():
    asks = {**LARGE, "when": [{"arg": "amount", "op": ">", "value": 100}]}
    policy = {"agents": SUPPORT, "rules": [asks, {"name": "also", "then": "ask"}]}
    assert verdict(policy, call(args={})) == ("ask", "policy:large")
    assert verdict(policy, call(args={}, approved=["policy:large"])) == ("ask", "policy:also")
    assert verdict(policy, call(args={}, approved=["policy:large", "policy:also"])) == ("allow", "policy:also")


def test_rules_look_at_who_is_behind_the_run_what_was_seen_and_what_it_costs():
    def fits(call: Proposal, **conditions: Any) -> bool:
        return verdict({"rules": [{"name": "r", "then": "allow", **conditions}]}, call)[0] == "allow"

    ann = Principal("ann", ("manager", "clerk"), "acme")
    assert fits(call(principal=ann), principal={"roles": ["manager"], "tenants": ["acme"], "ids": ["a*"]})
    assert not fits(call(principal=ann), principal={"roles": ["manager"], "tenants": ["globex"]})
    assert not fits(call(), principal={"roles": ["*"]})
    seen = untrusted("tool:fetch").join(
        Label(integrity=TRUSTED.integrity, readers=None, kinds=frozenset({"pii.email"}))
    )
    assert fits(call(label=seen), label={"untrusted": True, "kinds": ["secret", "pii.*"], "sources": ["tool:*"]})
    assert not fits(call(label=seen), label={"untrusted": False})
    assert not fits(call(label=untrusted("tool:x")), label={"kinds": ["pii.*"]})
    assert fits(call(), label={"untrusted": False})
    assert fits(call(), cost_above=0.01)
    assert not fits(call(), cost_above="0.02")


def test_a_hold_names_who_may_decide_and_until_when():
    said = PolicyCheck(Policy.parse(REFUNDS))(call(amount=200))
    assert isinstance(said, HoldFor)
    assert (said.roles, said.expires, said.self_approval) == (("finance",), 60, True)
    strict = PolicyCheck(Policy.parse({**REFUNDS, "rules": [{**LARGE, "self_approval": False}]}))(call(amount=200))
    assert isinstance(strict, HoldFor)
    assert strict.self_approval is False
    assert "support wants to call refund" in said.prompt


def test_models_and_answers_are_looked_at_only_if_a_rule_is_about_them():
    assert default_gate(policy=Policy.parse(REFUNDS)).concerns(Kind.MODEL) is False
    rules = [
        {"name": "ours", "kinds": ["model"], "models": ["ollama:*"], "then": "allow"},
        {"name": "no-other", "kinds": ["model"], "agents": ["clerk"], "then": "deny"},
        {
            "name": "no-secret",
            "kinds": ["answer"],
            "when": [{"arg": "/text", "op": "contains", "value": "key-"}],
            "then": "deny",
        },
    ]
    check = PolicyCheck(Policy.parse({"rules": rules}))

    def of(kind: Kind, name: str, args: Any = None) -> Any:
        said = check(Proposal(kind, name, args, b"", "clerk", None, Principal(), TRUSTED))
        return said and said.rule

    assert of(Kind.MODEL, "ollama:small") == "policy:ours"
    assert of(Kind.MODEL, "openai:big") == "policy:no-other"
    assert of(Kind.ANSWER, "answer", {"text": "key-1"}) == "policy:no-secret"
    assert of(Kind.ANSWER, "answer", Rule(name="x", then="deny")) == "policy:no-secret", "it cannot be said of this"
    assert of(Kind.ANSWER, "answer", {"text": "fine"}) is None


def test_equal_policies_have_one_version_and_any_change_makes_another():
    made = Policy(
        agents={"support": AgentTable(tools=("refund", "look_up"))},
        rules=(
            Rule(name="small", tools=("refund",), when=(When("amount", "<=", 100),), then="allow"),
            Rule(name="huge", tools=("refund",), when=(When("amount", ">", 1000),), then="deny"),
            Rule(name="large", tools=("refund",), then="ask", approvers=("finance",), expires=60),
        ),
    )
    first = default_gate(policy=made).version
    assert first == default_gate(policy=REFUNDS).version
    other = default_gate(policy={**REFUNDS, "rules": [SMALL, HUGE, {**LARGE, "expires": 61}]}).version
    assert len({first, other, default_gate().version, default_gate(policy={**REFUNDS, "version": "2"}).version}) == 4
    assert default_gate(policy=made).with_checks().version == first


def test_a_policy_made_in_python_is_held_to_what_a_file_is():
    with pytest.raises(ConfigurationError, match=r"rules\[0\]\.then: 'maybe' is not possible"):
        PolicyCheck(Policy(rules=(Rule(name="x", then="maybe"),)))  # pyright: ignore[reportArgumentType]


def test_a_list_of_tools_kept_elsewhere_narrows_an_agent():
    lists = {"support": frozenset({"look_up", "tag:none"})}
    gate = Chain([Grants(lists.get)])
    refused = gate.judge(call(amount=1))
    assert isinstance(refused, Deny)
    assert refused.rule == "permission:registry"
    assert "it may call: look_up, tag:none" in refused.message
    assert gate.judge(call("look_up")) == Allow()
    assert gate.judge(call(agent="other", amount=1)) == Allow()
    lists["support"] |= {"tag:finance"}
    assert gate.judge(call(amount=1)) == Allow()


# ------------------------------------------------------------------------------------------------------------ the chain


class Says:
    def __init__(self, verdict: Any) -> None:
        self.name = "says"
        self.kinds = frozenset({Kind.TOOL})
        self._verdict = verdict

    def __call__(self, proposal: Proposal) -> Any:
        return self._verdict


def test_nobody_is_asked_about_what_a_later_check_refuses():
    hold, deny, rewrite = HoldFor("h", "?"), Deny("d", "no"), Rewrite("r", {})
    assert Chain([Says(hold), Says(deny)]).judge(call()) == deny
    assert Chain([Says(hold), Says(rewrite), Says(deny)]).judge(call()) == rewrite
    assert Chain([Says(hold), Says(HoldFor("h2", "?"))]).judge(call()) == hold
    assert Chain([Says(Allow("a")), Says(hold), Says(Allow("b"))]).judge(call()) == hold


@given(
    st.lists(st.sampled_from([None, Allow("a"), Deny("d", "no"), Deny("e", "no"), Rewrite("r", {}), HoldFor("h", "?")]))
)
def test_an_explanation_ends_with_the_verdict_and_tells_what_every_check_said(said: list[Any]):
    gate = Chain([Says(one) for one in said])
    explained = gate.explain(call())
    assert explained.verdict == gate.judge(call())
    assert [cause.rule for cause in explained.causes] == ["" if one is None else one.rule for one in said]


def test_an_explanation_of_a_policy_tells_which_rules_were_asked_what():
    causes = default_gate(policy=REFUNDS).explain(call(amount=250)).causes
    [policy] = [cause for cause in causes if cause.check == "policy"]
    assert (policy.verdict, policy.rule) == ("ask", "policy:large")
    assert policy.notes == (
        "[policy.agents.support] grants it by 'refund'",
        "rule small does not fit (amount <= 100: no)",
        "rule huge does not fit (amount > 1000: no)",
        "rule large fits: ask",
    )


# ----------------------------------------------------------------------------------------------------------- the index

AGENTS = st.sampled_from(["support", "clerk", "boss"])
RULES = st.lists(
    st.fixed_dictionaries(
        {"then": st.sampled_from(["allow", "ask", "deny"])},
        optional={
            "agents": st.lists(st.sampled_from(["support", "c*", "role:r"]), min_size=1, max_size=2),
            "tools": st.lists(
                st.sampled_from(["refund", "look*", "tag:finance", "effect:read"]), min_size=1, max_size=2
            ),
            "when": st.lists(
                st.sampled_from(
                    [
                        {"arg": "amount", "op": ">", "value": 5},
                        {"arg": "amount", "op": "<=", "value": 9},
                        {"arg": "amount", "op": "==", "value": 7},
                    ]
                ),
                min_size=1,
                max_size=2,
            ),
            "label": st.just({"untrusted": True}),
        },
    ),
    max_size=6,
).map(lambda rules: [{**rule, "name": f"r{position}"} for position, rule in enumerate(rules)])
TABLES = st.dictionaries(AGENTS, st.just({"tools": ["refund"], "roles": ["r"]}), max_size=2)
MEANING = {
    "refund": {"refund"},
    "look*": {"look_up"},
    "tag:finance": {"refund"},
    "effect:read": {"look_up"},
}
ORDER = ["allow", "ask", "deny"]


def by_the_book(policy: dict[str, Any], agent: str, name: str, amount: Any, tainted: bool) -> str:
    """The documented meaning, written down once more and slowly: both readings of every doubt, and the stricter one."""
    table = policy["agents"].get(agent)
    if table is not None and name != "refund":
        return "deny"

    def reading(rules: list[dict[str, Any]]) -> str:
        if not rules:
            return "allow" if table is not None else policy["default"]
        rule, rest = rules[0], rules[1:]
        answers: list[bool | None] = []
        if "agents" in rule:
            has_role = table is not None
            answers.append(
                any(
                    agent == a or (a == "c*" and agent == "clerk") or (a == "role:r" and has_role)
                    for a in rule["agents"]
                )
            )
        if "tools" in rule:
            answers.append(any(name in MEANING[selector] for selector in rule["tools"]))
        if "label" in rule:
            answers.append(tainted)
        for when in rule.get("when", []):
            known = isinstance(amount, int)
            answers.append({">": amount > 5, "<=": amount <= 9, "==": amount == 7}[when["op"]] if known else None)
        if False in answers:
            return reading(rest)
        if None in answers:
            return max(rule["then"], reading(rest), key=ORDER.index)
        return rule["then"]

    return reading(policy["rules"])


@given(
    RULES,
    TABLES,
    st.sampled_from(["allow", "deny"]),
    st.lists(
        st.tuples(
            AGENTS, st.sampled_from(["refund", "look_up"]), st.sampled_from([None, "x", 3, 7, 12]), st.booleans()
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_the_verdict_is_the_one_of_the_book(
    rules: list[dict[str, Any]], agents: dict[str, Any], default: str, calls: list[tuple[str, str, Any, bool]]
):
    policy = {"default": default, "roles": {"r": {"tools": []}}, "agents": agents, "rules": rules}
    check = PolicyCheck(Policy.parse(policy))
    for agent, name, amount, tainted in (*calls, *calls):  # again, with what is remembered
        label = untrusted("x") if tainted else TRUSTED
        said = check(call(name, agent, label, args={} if amount is None else {"amount": amount}))
        found = {Allow: "allow", Deny: "deny", HoldFor: "ask"}[type(said)]  # pyright: ignore[reportArgumentType]
        assert found == by_the_book(policy, agent, name, amount, tainted)
        assert check.explain(call(name, agent, label, args={} if amount is None else {"amount": amount}))[0] == said
