"""Settings of money: budgets as a command line writes them, and tables of the file, checked where they stand."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.config import budget_of, load
from podium.core.budgets import Budget
from podium.core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("0.50", Budget(usd="0.50")),
        ("$2", Budget(usd="2")),
        (".5usd", Budget(usd=".5")),
        ("20000tokens", Budget(tokens=20_000)),
        ("20_000 tokens", Budget(tokens=20_000)),
        ("10calls", Budget(calls=10)),
        ("1call", Budget(calls=1)),
        ("60s", Budget(seconds=60)),
        ("1.5min", Budget(seconds=90)),
        ("2h", Budget(seconds=7200)),
        ("0.50, 10calls", Budget(usd="0.50", calls=10)),
        (["0.50", "10calls,5min"], Budget(usd="0.50", calls=10, seconds=300)),
        ("0", Budget(usd="0")),
    ],
)
def test_a_budget_is_written_as_limits_with_their_units(text: Any, budget: Budget):
    assert budget_of(text, "--budget") == budget


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "--budget: '' is no limit: write US dollars (0.50), 20000tokens, 10calls or 60s"),
        ("ten", "--budget: 'ten' is no limit"),
        ("-1", "--budget: '-1' is no limit"),
        ("nan", "--budget: 'nan' is no limit"),
        ("1e9999", "--budget: '1e9999' is no limit"),
        ("10 beers", "--budget: '10 beers' is no limit"),
        ("1.5calls", "--budget: '1.5calls' is no limit"),
        ("0.50,", "--budget: '' is no limit"),
        ("1,2", "--budget limits usd twice"),
        ("10s,1min", "--budget limits seconds twice"),
        ("9" * 30 + "tokens", "--budget: a budget's tokens must be a whole number"),
    ],
)
def test_what_is_no_budget_is_said_with_the_ways_to_write_one(text: str, line: str):
    with pytest.raises(ConfigurationError) as caught:
        budget_of(text, "--budget")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@given(st.decimals(0, 10**6, places=4), st.integers(0, 10**12), st.integers(0, 10**9))
def test_every_limit_that_is_written_is_read(usd: Decimal, tokens: int, calls: int):
    found = budget_of(f"{usd:f},{tokens:_}tokens,{calls}calls", "--budget")
    assert Decimal(str(found.usd)) == usd
    assert (found.tokens, found.calls, found.seconds) == (tokens, calls, None)


@given(st.text(max_size=20))
def test_any_text_is_a_budget_or_a_configuration_error(text: str):
    try:
        found = budget_of(text, "--budget")
    except ConfigurationError as error:
        assert str(error).startswith("--budget")  # noqa: PT017  (either outcome is right, each with its form)
    else:
        assert isinstance(found, Budget)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[budgets]\nagents = 1", "[budgets]: there is no budget for 'agents'"),
        ('[budgets]\n"agent:support" = "much"', "[budgets]: the budget 'agent:support': a budget's usd must be"),
        ("[budgets]\nall = { dollars = 1 }", "[budgets]: the budget 'all': unknown 'dollars'; known are usd,"),
        ("[budgets]\nall = { seconds = 1 }", "[budgets]: the budget 'all' cannot limit seconds"),
        ("[budgets]\nall = { usd = 1, alert = 2 }", "[budgets]: the budget 'all': a budget's alert must be above 0"),
        ("[budgets]\nall = { usd = 1, alert = 'x' }", "[budgets]: the budget 'all': a budget's alert must be above 0"),
        ("[budgets]\nall = [1]", "[budgets]: the budget 'all': a budget's usd must be"),
        ('[prices]\n"openai:x" = { input = 1 }', "[prices]: the price of 'openai:x' needs output"),
        ('[prices]\n"openai:x" = { input = "a", output = 1 }', "[prices]: the price of 'openai:x': input must be"),
        ('[prices]\n"openai:x" = 3', "[prices]: the price of 'openai:x' must be a table"),
        (
            '[prices]\n"gpt-5.4" = { input = 1, output = 1 }',
            "[prices]: 'gpt-5.4' matches no model of a provider: write",
        ),
        ('[rates]\n"anthropic" = { requests = 5 }', "[rates]: rates: 'anthropic' is a provider"),
        ('[rates]\n"anthropic:*" = { requests = 0 }', "[rates]: rates: 'anthropic:*':"),
        ('[rates]\n"anthropic:*" = 5', "[rates]: rates: 'anthropic:*' must be a table"),
        ("budgets = 5", "budgets is a table: write [budgets]"),
    ],
)
def test_a_mistake_in_the_tables_of_money_is_a_line_with_the_file_and_the_key(tmp_path: Path, text: str, line: str):
    file = tmp_path / "podium.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(file, environ={})
    assert str(caught.value).startswith(f"{file}: {line}")
    assert "\n" not in str(caught.value)


def test_the_environment_wins_over_the_budget_of_runs_in_the_file_and_leaves_the_others(tmp_path: Path):
    file = tmp_path / "podium.toml"
    file.write_text("[budgets]\nrun = 1\nall = 9\n")
    assert load(file, environ={}).budgets == {"run": 1, "all": 9}
    found = load(file, environ={"PODIUM_BUDGET": "0.25,3calls"})
    assert found.budgets == {"run": Budget(usd="0.25", calls=3), "all": 9}
    with pytest.raises(ConfigurationError, match="PODIUM_BUDGET: 'lots' is no limit"):
        load(file, environ={"PODIUM_BUDGET": "lots"})


def test_what_the_template_of_init_shows_is_valid(tmp_path: Path):
    from podium.cli.init import CONFIG

    settings = ("# [", '# "', "# run =", "# all =", "# url =", "# auth =")
    shown = [line[2:] if line.startswith(settings) else line for line in CONFIG.split("\n")]
    (tmp_path / "podium.toml").write_text("\n".join(shown).replace("# tool_timeout", "tool_timeout"))
    found = load(tmp_path / "podium.toml", environ={})
    assert found.budgets["run"] == 0.5
    assert found.budgets["agent:support"] == 5
    assert "openai:my-model" in found.prices
    assert "openai:*" in found.rates
    assert [server.name for server in found.mcp] == ["docs"]


def test_the_settings_that_the_page_on_money_shows_are_valid(tmp_path: Path):
    page = (Path(__file__).parent.parent / "docs/how-to/money.md").read_text()
    shown = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(shown) >= 3
    for text in shown:
        (tmp_path / "podium.toml").write_text(text)
        found = load(tmp_path / "podium.toml", environ={})
        assert found.budgets or found.prices or found.rates
