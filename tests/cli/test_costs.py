"""`podium costs` and `podium prices`: where money went, what is not known of it, and what models cost."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from podium.cli.costs import since_of
from podium.core.errors import ConfigurationError

from .conftest import Done

Podium = Callable[..., Done]

MEMBERS = '''
from podium import Agent, FallbackModel, Message, Price, Reply, ScriptedModel, Text, ToolCall, Usage, tool
from podium.core.errors import Overloaded

def price(**rates):
    return Price.parse({"input": 2, "output": 10, **rates})

@tool(effect="read")
def search(query: str) -> str:
    """Search."""
    return "found"

looks = lambda request: "done" if request.messages[-1].role == "tool" else ToolCall("search", {"query": "x"})
seeker = Agent("seeker", ScriptedModel(looks, "cheap", price=price(request="0.01")), [search])
writer = Agent("writer", ScriptedModel(lambda request: "hello", "dear", price=price(request="0.5")), cache=600)
unknown = Agent("unknown", ScriptedModel(lambda request: Reply(
    Message("assistant", (Text("hm"),)), Usage(100, 5), "stop", None, None), "mystery"))

def busy(request):
    raise Overloaded("too many requests today")

first = ScriptedModel(busy, "first", price=price(request="0.25"))
second = ScriptedModel(lambda request: "at your service", "second", price=price(request="0.125"))
chain = Agent("chain", FallbackModel(first, second, attempts=1))
cached = ScriptedModel(lambda request: Reply(
    Message("assistant", (Text("hm"),)), Usage(1_000_000, 0, 1_000_000), "stop", None, None),
    "warm", price=price(cache_read="0.5"))
warm = Agent("warm", cached)
'''


@pytest.fixture(autouse=True)
def members(folder: Path) -> None:
    (folder / "paid.py").write_text(MEMBERS)


def run(podium: Podium, *names: str) -> None:
    for name in names:
        assert podium("run", f"paid.py:{name}", "hi", "--session", f"of-{name}").code == 0


def test_a_line_for_each_agent_dearest_first_and_a_total(podium: Podium):
    run(podium, "seeker", "writer", "seeker")
    done = podium("costs")
    heads, *lines = [line.split() for line in done.out.splitlines()]
    assert heads == ["AGENT", "CALLS", "TOKENS", "IN", "OUT", "COST"]
    assert [line[:2] for line in lines] == [["writer", "1"], ["seeker", "4"], ["total", "5"]]
    document = podium("costs", "--json").json
    assert sum(Decimal(line["cost"]) for line in document["lines"]) == Decimal(document["total"]["cost"])
    assert Decimal("0.54") < Decimal(document["total"]["cost"]) < Decimal("0.55")


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("agent", {"seeker", "writer"}),
        ("model", {"cheap", "dear"}),
        ("tool", set[str]()),
        ("session", {"of-seeker", "of-writer"}),
        ("day", {f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"}),
    ],
)
def test_the_same_money_by_what_it_went_to(podium: Podium, by: str, names: set[str]):
    run(podium, "seeker", "writer")
    document = podium("costs", "--by", by, "--json").json
    assert document["by"] == by
    assert {line["name"] for line in document["lines"]} == names
    assert {run["run_id"] for run in podium("runs", "--json").json} == {
        line["name"] for line in podium("costs", "--by", "run", "--json").json["lines"]
    }


def test_an_unknown_price_is_said_and_never_zero(podium: Podium):
    run(podium, "unknown", "writer")
    done = podium("costs")
    line = next(line for line in done.out.splitlines() if line.startswith("unknown"))
    assert line.split() == ["unknown", "1", "100", "5", "unpriced", "1"]
    assert "+ unpriced" in next(line for line in done.out.splitlines() if line.startswith("total"))
    assert "what 1 call cost is not known, and in no sum" in done.out
    assert podium("costs", "--json").json["total"]["unpriced"] == 1
    assert "unpriced" in podium("runs").out


def test_replies_from_the_cache_cost_nothing_and_tell_what_they_saved(podium: Podium):
    podium("run", "paid.py:writer", "hi")
    podium("run", "paid.py:writer", "hi", "--run-id", "r2")
    line = podium("costs", "--json").json["lines"][0]
    assert (line["calls"], line["hits"], line["saved"]) == (1, 1, line["cost"])
    assert "HITS" in podium("costs").out
    shown = podium("show", "r2")
    assert "from the cache" in shown.out
    steps = {step["key"]: step for step in podium("show", "r2", "--json").json["steps"]}
    assert steps["writer.1/turn.1/model.1"]["cached"] is True
    assert steps["writer.1"]["cached"] is False


def test_what_a_prompt_cache_saved_is_known_by_the_price(podium: Podium, folder: Path):
    (folder / "podium.toml").write_text('[prices]\n"warm" = { input = 2, output = 10, cache_read = 0.5 }\n')
    run(podium, "warm")
    line = podium("costs", "--json").json["lines"][0]
    assert (line["cost"], line["saved"]) == ("0.5", "1.5")
    assert "1,000,000" in podium("costs").out


def test_attempts_on_other_models_are_shown_with_what_they_may_have_cost(podium: Podium):
    assert podium("run", "paid.py:chain", "hi", "--run-id", "r1", "--budget", "5").code == 0
    shown = podium("show", "r1")
    assert "second" in shown.out
    assert "attempt 2 after first" in shown.out
    step = podium("show", "r1", "--step", "chain.1/turn.1/model.1")
    assert "failed attempts" in step.out
    assert "too many requests today" in step.out
    document = next(each for each in podium("show", "r1", "--json").json["steps"] if each["kind"] == "model")
    assert [(each["number"], each["name"]) for each in document["attempts"]] == [(1, "first")]
    assert document["reserved"] == "0"
    whole = podium("show", "r1", "--json").json
    assert document["uncertain"] == whole["uncertain_cost"]
    if Decimal(whole["uncertain_cost"]):
        assert "uncertain" in shown.out
        assert "UNCERTAIN" in podium("costs").out


def test_budgets_stand_below_with_what_is_used_of_them(podium: Podium, folder: Path):
    (folder / "podium.toml").write_text('[budgets]\n"agent:*" = 2\nall = { usd = 1, calls = 10, per = "month" }\n')
    run(podium, "writer", "seeker")
    done = podium("costs")
    assert "budgets\nSCOPE" in done.out
    uses = podium("costs", "--json").json["budgets"]
    by_scope = {(use["scope"].partition("/")[0], use["unit"]): use for use in uses}
    assert set(by_scope) == {("agent:seeker", "usd"), ("agent:writer", "usd"), ("all", "usd"), ("all", "calls")}
    calls = by_scope["all", "calls"]
    assert (calls["limit"], calls["spent"], calls["reserved"], calls["fraction"]) == ("10", "3", "0", 0.3)
    assert any(line.split()[:1] and line.split()[-1] == "30%" for line in done.out.splitlines())


def test_an_empty_store_says_what_to_do_and_is_not_made(podium: Podium, folder: Path):
    done = podium("costs")
    assert (done.code, done.out) == (0, "")
    assert done.err == "nothing was spent yet: `podium run TARGET` makes a run, --store names another store\n"
    assert podium("costs", "--json").json == {
        "by": "agent",
        "since": 0.0,
        "lines": [],
        "total": json.loads(podium("costs", "--json").out)["total"],
        "budgets": [],
    }
    assert not (folder / ".podium").exists()


def test_since_leaves_out_what_was_before(podium: Podium):
    run(podium, "writer")
    assert podium("costs", "--since", "today").out.startswith("since 2")
    assert len(podium("costs", "--since", "today", "--json").json["lines"]) == 1
    later = podium("costs", "--since", "2999-01-01")
    assert "nothing was spent yet since then" in later.err


NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-03", "2026-11-03"),
        ("2026-11-03T23:30-05:00", "2026-11-04"),
        ("today", "2026-11-21"),
        ("Yesterday", "2026-11-20"),
        ("1d", "2026-11-21"),
        ("7d", "2026-11-15"),
        ("2w", "2026-11-08"),
        ("24h", "2026-11-20"),
        ("11h", "2026-11-21"),
        ("0d", "2026-11-21"),
    ],
)
def test_since_is_the_beginning_of_a_day(text: str, day: str):
    found = datetime.datetime.fromtimestamp(since_of(text, NOON), datetime.UTC)
    assert found == datetime.datetime.fromisoformat(f"{day}T00:00+00:00")


@pytest.mark.parametrize("text", ["", "soon", "7", "7x", "2026-13-01", "999999w", "-3d"])
def test_what_is_no_day_is_said_with_the_ways_to_write_one(text: str):
    with pytest.raises(ConfigurationError, match=r"is no day: write a date \(2026-11-21\), today"):
        since_of(text, NOON)


def test_another_by_is_one_line(podium: Podium):
    done = podium("costs", "--by", "colour")
    assert done.code == 2
    assert done.err == "podium: --by is one of agent, model, tool, session, run, day, not 'colour'\n"


# ------------------------------------------------------------------------------------------------------------- prices


def test_prices_are_of_a_day_and_a_source(podium: Podium):
    done = podium("prices")
    assert done.code == 0
    assert "from genai-prices" in done.out
    assert "[prices]" in done.out


def test_a_model_has_its_rates_and_sizes(podium: Podium):
    document = podium("prices", "anthropic:claude-sonnet-4-5", "--json").json
    assert Decimal(document["price"]["input"]) < Decimal(document["price"]["output"])
    assert document["known"]["context"] == 200_000
    assert "US dollars per million tokens" in podium("prices", "anthropic:claude-sonnet-4-5").out


def test_a_price_of_the_settings_wins_and_is_named(podium: Podium, folder: Path):
    (folder / "podium.toml").write_text('[prices]\n"openai:gpt-5.4" = { input = 7, output = 70 }\n')
    done = podium("prices", "openai:gpt-5.4")
    assert "[prices] of podium.toml" in done.out
    assert "$70" in done.out
    assert podium("prices", "openai:gpt-5.4", "--json").json["own"] is True
    assert "own prices (podium.toml): openai:gpt-5.4" in podium("prices").out


def test_an_unknown_price_says_so_and_what_it_means(podium: Podium):
    done = podium("prices", "openai:nobody-knows-this")
    assert done.code == 1
    assert "the price is not known" in done.out
    assert podium("prices", "openai:nobody-knows-this", "--json").json["price"] is None


def test_a_name_without_its_provider_is_met_with_the_whole_one(podium: Podium):
    done = podium("prices", "gpt-5.4")
    assert done.code == 2
    assert done.err == "podium: 'gpt-5.4' names no provider: did you mean openai:gpt-5.4?\n"
