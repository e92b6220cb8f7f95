"""`podium model`: the model of an agent, chosen by version while its code stays as it is, and back again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.core.messages import Settings
from podium.team_file import SettingsEntry

from .conftest import Done

Podium = Callable[..., Done]


def test_a_chosen_model_is_the_one_that_is_asked_until_it_is_taken_back(podium: Podium, folder: Path):
    (folder / "named.py").write_text('from podium import Agent\ntalker = Agent("talker", "openai:gpt-5.4")\n')
    assert podium("model", "set", "talker", "offline", "--note", "no key here").code == 0
    done = podium("run", "named.py:talker", "hello", "--json")
    assert done.json["models"] == ["offline"]
    assert podium("model", "rollback", "talker").code == 0
    refused = podium("run", "named.py:talker", "hello", "--json")
    assert refused.json["models"] == ["openai:gpt-5.4"]
    assert refused.json["error"]["type"] == "AuthenticationFailed"


def test_every_change_is_a_version(podium: Podium):
    podium("model", "set", "a", "openai:one", "--by", "ada", "--note", "first")
    podium("model", "set", "a", "openai:two | openai:three", "--settings", '{"reasoning_effort": "low", "stop": ["x"]}')
    assert podium("model", "rollback", "a", "--to", "1").err == (
        "podium: version 3: a uses openai:one in runs that call it first from now on\n"
    )
    cleared = podium("model", "clear", "a", "--json").json
    assert (cleared["number"], cleared["model"]) == (4, "")
    versions = podium("model", "history", "a", "--json").json
    assert [version["model"] for version in versions] == ["openai:one", "openai:two | openai:three", "openai:one", ""]
    assert (versions[0]["by"], versions[0]["note"]) == ("ada", "first")
    assert versions[1]["settings"] == {"reasoning_effort": "low", "stop": ["x"]}
    assert versions[2]["note"] == "back to version 1"
    shown = podium("model", "history", "a").out
    assert shown.splitlines()[0].split() == ["AGENT", "VERSION", "MODEL", "SETTINGS", "SINCE", "BY", "NOTE"]
    assert "(as the code says)" in shown


def test_the_list_has_what_is_in_force_for_each_agent(podium: Podium):
    for agent, model in (("a", "openai:one"), ("b", "offline"), ("a", "openai:two")):
        podium("model", "set", agent, model)
    found = {each["agent"]: each for each in podium("model", "list", "--json").json}
    assert {agent: each["model"] for agent, each in found.items()} == {"a": "openai:two", "b": "offline"}
    assert found["a"]["number"] == 2


def test_nothing_chosen_says_how_to_and_makes_no_store(podium: Podium, folder: Path):
    done = podium("model", "list")
    assert (done.code, done.out) == (0, "")
    assert done.err == "no model was chosen: `podium model set AGENT MODEL` chooses one\n"
    assert podium("model", "history", "a", "--json").json == []
    assert not (folder / ".podium").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("set", "a", "claude-sonnet-5-5"), "did you mean anthropic:claude-sonnet-5-5?"),
        (("set", "a", "openai:x", "--settings", "{"), "--settings is not JSON"),
        (("set", "a", "openai:x", "--settings", '{"warmth": 1}'), "--settings: unknown key warmth; known are"),
        (("set", "a", "openai:x", "--settings", '{"temperature": "hot"}'), "--settings: temperature: expected"),
        (("set", "a", "openai:x", "--settings", '{"prompt_cache": "2h"}'), "--settings: prompt_cache: "),
        (("set", "", "openai:x"), "whose model? Name an agent"),
        (("rollback", "a"), "no model was ever chosen for agent 'a': there is nothing to go back to"),
        (("set", "a"), "Missing argument 'MODEL'"),
        (("dance",), "No such command 'dance'"),
    ],
)
def test_what_goes_wrong_is_one_line(podium: Podium, arguments: tuple[str, ...], line: str):
    done = podium("model", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert line in done.err


@pytest.mark.parametrize("command", ["list", "set", "history", "rollback", "clear"])
def test_each_command_has_help_with_an_example_and_json(podium: Podium, command: str):
    done = podium("model", command, "--help")
    assert done.code == 0
    assert f"podium model {command}" in done.out
    assert "--json" in done.out


def test_alone_it_shows_its_commands(podium: Podium):
    done = podium("model")
    assert (done.code, done.err) == (0, "")
    assert "rollback" in done.out


def test_every_setting_of_a_request_can_be_written():
    assert SettingsEntry.__struct_fields__ == Settings.__struct_fields__
    assert SettingsEntry().settings() == Settings()
