"""Policies in files: an error is one line with the file, the key, and what was probably meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import config
from podium.core.errors import ConfigurationError
from podium.policy import Policy
from podium.policy.file import line_of, lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rulez = []", "policy: unknown key 'rulez': did you mean 'rules'?"),
        ("default = 'maybe'", "policy.default: 'maybe' is not possible; known are allow, deny"),
        ("version = 2", "policy.version: expected a text, got a number"),
        ("rules = 3", "policy.rules must be a list: write [[policy.rules]] above each rule"),
        ("agents = 3", "policy.agents must be a table, not 3"),
        ("agents.support = 3", "policy.agents.support: expected a table, got a number"),
        ("agents.support.tool = ['x']", "policy.agents.support: unknown key 'tool': did you mean 'tools'?"),
        ("agents.support.tools = 'x'", "policy.agents.support.tools: expected a list, got a text"),
        ("agents.support.tools = [3]", "policy.agents.support.tools[0]: expected a text, got a number"),
        (
            "agents.support.tools = ['tga:x']",
            "policy.agents.support.tools: 'tga:x': unknown 'tga': did you mean 'tag'?",
        ),
        ("agents.support.tools = ['effect:reed']", "there is no effect 'reed': did you mean 'read'?"),
        ("agents.support.tools = ['a b']", "'a b' is no name of a tool"),
        ("agents.'s*'.tools = []", 'policy.agents.s*: use a name, or "*" for every agent without a table'),
        ("roles.r.tols = []", "policy.roles.r: unknown key 'tols': did you mean 'tools'?"),
        ("tools.x.effect = 'wirte'", "policy.tools.x.effect: 'wirte' is not possible: did you mean 'write'?"),
        ("tools.x.max_cost = -1", "policy.tools.x.max_cost must be a sum of US dollars"),
        (
            "tools.x.expires = 9",
            'policy.tools.x: approvers, expires and self_approval say how a person is asked: say approval = "always"',
        ),
        ("rules = [{ then = 'deny' }]", "policy.rules[0]: name is missing"),
        ("rules = [{ name = 'a b', then = 'deny' }]", "policy.rules[0].name: 'a b' is no name of a rule"),
        ("rules = [{ name = 'default', then = 'deny' }]", "'default' is no name of a rule"),
        (
            "rules = [{ name = 'a', then = 'deny' }, { name = 'a', then = 'ask' }]",
            "policy.rules[1].name: there is a rule named",
        ),
        (
            "rules = [{ name = 'a', then = 'alow' }]",
            "policy.rules[0].then: 'alow' is not possible: did you mean 'allow'?",
        ),
        (
            "rules = [{ name = 'a', then = 'deny', expires = 5 }]",
            "policy.rules[0]: approvers, expires and self_approval say how",
        ),
        (
            "rules = [{ name = 'a', then = 'ask', expires = -5 }]",
            "policy.rules[0].expires: must be a number of seconds",
        ),
        ("rules = [{ name = 'a', then = 'ask', kinds = ['answer'] }]", "only tool calls can wait for a person"),
        (
            "rules = [{ name = 'a', then = 'deny', kinds = ['toool'] }]",
            "policy.rules[0].kinds[0]: 'toool' is not possible",
        ),
        ("rules = [{ name = 'a', then = 'deny', models = ['x'] }]", 'is about model calls: say kinds = ["model"]'),
        (
            "rules = [{ name = 'a', then = 'deny', label = { kind = ['x'] } }]",
            "rules[0].label: unknown key 'kind': did you mean",
        ),
        (
            "rules = [{ name = 'a', then = 'deny', when = [{ agr = 'x' }] }]",
            "rules[0].when[0]: unknown key 'agr': did you",
        ),
        (
            "rules = [{ name = 'a', then = 'deny', when = [{ arg = 'x', op = '=>', value = 1 }] }]",
            "there is no op '=>'",
        ),
        ("x = ", "is not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_the_key_and_what_was_meant(tmp_path: Path, text: str, line: str):
    for name, content in (("policy.toml", f"[policy]\n{text}\n"), ("podium.toml", f"[policy]\n{text}\n")):
        file = tmp_path / name
        file.write_text(content)
        with pytest.raises(ConfigurationError) as caught:
            Policy.load(file) if name == "policy.toml" else config.load(file)
        assert str(caught.value).startswith(str(file))
        assert line in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_without_a_policy_is_not_an_empty_policy(tmp_path: Path):
    (tmp_path / "p.toml").write_text("[agents.x]\ntools = []\n")
    with pytest.raises(ConfigurationError, match=r"p.toml has no \[policy\] table"):
        Policy.load(tmp_path / "p.toml")
    with pytest.raises(ConfigurationError, match="there is no policy file"):
        Policy.load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Policy.load(tmp_path)


def test_the_environment_names_another_policy(tmp_path: Path):
    (tmp_path / "podium.toml").write_text("[policy]\ndefault = 'allow'\n")
    (tmp_path / "strict.toml").write_text("[policy]\ndefault = 'deny'\n")
    found = config.load(tmp_path / "podium.toml", environ={"PODIUM_POLICY": str(tmp_path / "strict.toml")})
    assert found.policy is not None
    assert (found.policy.default, found.policy_file) == ("deny", str(tmp_path / "strict.toml"))
    assert config.load(tmp_path / "podium.toml", environ={}).policy == Policy(default="allow")
    (tmp_path / "podium.toml").write_text("policy = 3\n")
    with pytest.raises(ConfigurationError, match="policy is a table, or the name of a file"):
        config.load(tmp_path / "podium.toml", environ={})


TEXT = """
store = "x.db"   # a comment
[policy]
version = "1"
[policy.agents."the boss"]
tools = [
  "a",
  "b",
]
[policy.agents]
clerk = { tools = ["a"] }
clerks.tools = ["b"]

[[policy.rules]]
name = "one"
then = "deny"
[[policy.rules.when]]
arg = "x"
[[policy.rules.when]]
arg = "y"

[[policy.rules]]
name = "two"
when = [
  { arg = "z" },
]
[policy.rules.label]
untrusted = true
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("policy",), 3),
        (("policy", "version"), 4),
        (("policy", "agents", "the boss"), 5),
        (("policy", "agents", "the boss", "tools"), 6),
        (("policy", "agents", "clerk", "tools"), 11),
        (("policy", "agents", "clerks", "tools"), 12),
        (("policy", "rules", 0, "then"), 16),
        (("policy", "rules", 0, "when", 1), 19),
        (("policy", "rules", 1), 22),
        (("policy", "rules", 1, "when", 0), 24),
        (("policy", "rules", 1, "label", "untrusted"), 28),
        (("nothing", "there"), None),
    ],
)
def test_a_path_leads_to_its_line(path: tuple[str | int, ...], line: int | None):
    assert line_of(path, lines(TEXT)) == line


@given(st.text(alphabet="[]\"'=.# \nab1,{}", max_size=80))
def test_looking_for_lines_never_fails(text: str):
    found = lines(text)
    assert all(1 <= number <= len(text.splitlines()) for number in found.values())


NAMES = st.sampled_from(["name", "then", "tools", "when", "agents", "x", "version", "rules", "label", "default"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["allow", "deny", "ask", "*"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_any_values_are_a_policy_or_a_configuration_error(table: dict[str, Any]):
    try:
        policy = Policy.parse(table)
    except ConfigurationError as error:
        assert str(error).startswith("policy")  # noqa: PT017  (either outcome is right, each with its form)
    else:
        assert isinstance(policy.digest, str)
