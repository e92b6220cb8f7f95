"""The registry: versions live side by side, tools are found by what they say of themselves, and permissions narrow."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium import Agent, ConfigurationError, ToolExecutor, ToolRegistry, tool
from podium.core.actions import Kind
from podium.core.labels import TRUSTED
from podium.core.records import Principal
from podium.policy import Grants
from podium.ports import Proposal
from podium.tools import FunctionTool


def made(name: str = "search", version: str = "1", **options: Any) -> FunctionTool[..., Any]:
    given: Any = {"effect": "read", **options}

    @tool(name=name, version=version, **given)
    async def function(n: int = 0) -> str:
        """Do it."""
        return f"{name}@{version}"

    return function


def test_the_newest_version_is_the_default_and_the_others_stay() -> None:
    one, two = made(version="1"), made(version="2")
    registry = ToolRegistry([one])
    assert registry.register(two) is two
    assert registry["search"] is two
    assert registry.get("search", "1") is one
    assert registry.versions("search") == ("1", "2")
    assert dict(registry) == {"search": two}


def test_a_pin_holds_against_later_versions_until_it_is_taken_off() -> None:
    registry = ToolRegistry([made(version="1"), made(version="2")])
    registry.pin("search", "1")
    registry.register(made(version="3"))
    assert registry["search"].version == "1"
    registry.unpin("search")
    assert registry["search"].version == "3"


def test_a_version_may_be_registered_without_becoming_the_default_or_become_it_in_spite_of_a_pin() -> None:
    registry = ToolRegistry([made(version="1")])
    registry.register(made(version="2"), default=False)
    assert registry["search"].version == "1"
    registry.pin("search", "1")
    registry.register(made(version="3"), default=True)
    assert registry["search"].version == "3"


def test_the_same_tool_again_changes_nothing_and_another_of_the_same_version_is_refused() -> None:
    one = made()
    registry = ToolRegistry([one, one])
    assert len(registry.list_tools()) == 1
    with pytest.raises(ConfigurationError, match=r"give this one another version= or name="):
        registry.register(made())
    with pytest.raises(ConfigurationError, match=r"is not a tool: decorate the function"):
        registry.register(print)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def test_what_was_unregistered_is_gone_and_the_newest_of_the_others_is_the_default() -> None:
    registry = ToolRegistry([made(version="1"), made(version="2"), made("other")])
    registry.pin("search", "2")
    registry.unregister("search", "2")
    registry.register(made(version="3"))
    assert registry["search"].version == "3", "a pin on what is gone holds no more"
    registry.unregister("search")
    assert (registry.get("search"), list(registry)) == (None, ["other"])
    with pytest.raises(KeyError, match=r"the tools are: other"):
        registry["search"]


@pytest.mark.parametrize("call", ["pin", "deprecate", "unregister"])
def test_an_unknown_tool_or_version_is_told_with_what_there_is(call: str) -> None:
    registry = ToolRegistry([made()])
    with pytest.raises(ConfigurationError, match=r"there is no tool 'find'; the tools are: search"):
        getattr(registry, call)("find", "1")
    with pytest.raises(ConfigurationError, match=r"no version '9'; its versions are: 1"):
        getattr(registry, call)("search", "9")


async def test_a_deprecated_version_works_warns_once_and_is_listed_as_such(caplog: pytest.LogCaptureFixture) -> None:
    registry = ToolRegistry([made(version="1"), made(version="2")])
    registry.deprecate("search", "1", "it misses half", use="search 2")
    executor = ToolExecutor(registry)
    with caplog.at_level(logging.WARNING, "podium"):
        for _ in range(2):
            assert (await executor.execute("search", {}, version="1")).output == "search@1"
        await executor.execute("search", {})
    assert [record.getMessage() for record in caplog.records] == [
        'version 1 of tool "search" is deprecated: it misses half; use search 2'
    ]
    old, new = registry.list_tools()
    assert (old.deprecated, old.use, old.default) == ("it misses half", "search 2", False)
    assert (new.deprecated, new.default) == (None, True)


def test_tools_are_found_by_name_tag_capability_effect_network_and_determinism() -> None:
    web = made("web_search", tags="web", capabilities=("web-search", "news"), network=True)
    mail = made("web_mail", effect="write", tags=("web", "mail"), network=True)
    add = made("add", deterministic=True)
    registry = ToolRegistry([web, mail, add])
    assert registry.find("web_*") == registry.find(tag="web") == registry.find(network=True) == (web, mail)
    assert registry.find(capability="news") == (web,)
    assert registry.find("web_*", effect="write") == registry.find(tag="mail") == (mail,)
    assert registry.find(deterministic=True) == registry.find(network=False) == (add,)
    assert registry.find() == (web, mail, add)
    assert registry.find(tag="nothing") == ()


def test_a_listing_says_what_a_tool_declares() -> None:
    [row] = ToolRegistry(
        [made(network=True, deterministic=True, cost="0.002", tags="web", capabilities="find", cache=60, roles="staff")]
    ).list_tools()
    assert (row.name, row.version, row.description, row.effect, row.reach) == (
        "search", "1", "Do it.", "read", "external",
    )  # fmt: skip
    assert (row.requires_network, row.deterministic, row.cost, row.cache) == (True, True, "0.002", 60.0)
    assert (row.tags, row.capabilities, row.roles) == (("web",), ("find",), ("staff",))


REGISTRY = (
    made("read_file", tags="files"),
    made("write_file", effect="write", tags="files"),
    made("github_issue", capabilities="issues"),
    made("count", reach="none"),
)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], set()),
        (["count", "elsewhere"], {"count"}),
        (["tag:files"], {"read_file", "write_file"}),
        (["capability:iss*"], {"github_issue"}),
        (["effect:read"], {"read_file", "github_issue", "count"}),
        (["reach:none", "*_file"], {"count", "read_file", "write_file"}),
        (["*"], {"read_file", "write_file", "github_issue", "count"}),
    ],
)
def test_permissions_are_names_patterns_and_what_tools_say_of_themselves(words: list[str], names: set[str]) -> None:
    registry = ToolRegistry(REGISTRY)
    registry.set_tool_permissions("clerk", words)
    assert registry.permissions("clerk") == names
    assert {each.name for each in registry.tools_for("clerk")} == names


def test_permissions_are_of_one_agent_count_what_comes_later_and_can_be_taken_back() -> None:
    registry = ToolRegistry()
    agent = Agent("clerk", "offline")
    registry.set_tool_permissions(agent, "tag:files")
    assert registry.permissions(agent) == frozenset()
    registry.register(REGISTRY[0])
    assert registry.permissions("clerk") == {"read_file"}
    assert registry.permissions("somebody else") is None
    assert registry.tools_for("somebody else") == []
    registry.set_tool_permissions(agent, None)
    assert registry.permissions("clerk") is None


@pytest.mark.parametrize("word", ["", "tga:x", "effect:reed", "tag:", "a b", "x" * 300, "reach:"])
def test_a_permission_that_means_nothing_is_refused_when_it_is_set(word: str) -> None:
    with pytest.raises(ConfigurationError, match=r"permits no tool: write a name"):
        ToolRegistry().set_tool_permissions("clerk", [word])


def test_permissions_may_be_the_tools_themselves() -> None:
    search, order = made(), made("order")
    registry = ToolRegistry([search, order])
    registry.set_tool_permissions("clerk", [search, "effect:write"])
    assert registry.permissions("clerk") == {"search"}
    registry.set_tool_permissions("clerk", [order])
    assert registry.permissions("clerk") == {"order"}
    with pytest.raises(ConfigurationError, match="3 is not a tool: give its name"):
        registry.set_tool_permissions("clerk", [3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def test_a_registry_outside_an_app_says_where_its_reports_are() -> None:
    with pytest.raises(ConfigurationError, match=r"ask app\.tools"):
        await ToolRegistry([made()]).get_tool_cost_report()


def test_a_registry_may_change_while_it_is_read() -> None:
    registry = ToolRegistry([made("a"), made("b")])
    for name in registry:
        registry.register(made(f"{name}{name}"), default=True)
    assert list(registry) == ["a", "b", "aa", "bb"]


names = st.sampled_from("abc")
versions = st.sampled_from("123")
steps = st.lists(st.tuples(st.sampled_from(["register", "unregister", "pin", "unpin"]), names, versions), max_size=30)


@given(steps)
def test_whatever_is_done_each_name_has_one_default_among_its_versions(done: list[tuple[str, str, str]]) -> None:
    registry = ToolRegistry()
    model: dict[str, list[str]] = {}
    for what, name, version in done:
        known = model.get(name, [])
        if what == "register":
            if version not in known:
                model[name] = [*known, version]
                registry.register(made(name, version))
        elif version in known:
            if what == "unregister":
                registry.unregister(name, version)
                model[name] = [each for each in known if each != version]
                model = {key: value for key, value in model.items() if value}
            elif what == "pin":
                registry.pin(name, version)
                assert registry[name].version == version
            else:
                registry.unpin(name)
                assert registry[name].version == known[-1]
        rows = registry.list_tools()
        assert {row.name: row.version for row in rows if row.default} == {
            key: tool.version for key, tool in registry.items()
        }
        assert {name: list(registry.versions(name)) for name in registry} == model


async def test_an_executor_refuses_an_agent_what_the_registry_does_not_permit_and_records_it() -> None:
    registry = ToolRegistry(REGISTRY)
    registry.set_tool_permissions("clerk", ["effect:read"])
    executor = ToolExecutor(registry)
    assert (await executor.execute("read_file", {}, agent="clerk")).success
    refused = await executor.execute("write_file", {}, agent="clerk")
    assert (refused.success, refused.error_type, refused.attempts) == (False, "PermissionDenied", 0)
    assert "set_tool_permissions('clerk', [...])" in (refused.error or "")
    assert (await executor.execute("write_file", {}, agent="boss")).success
    assert [(entry.agent, entry.success) for entry in executor.log] == [
        ("clerk", True),
        ("clerk", False),
        ("boss", True),
    ]


async def test_an_executor_counts_what_it_executed() -> None:
    left = [ConnectionError("busy")]

    @tool(effect="read", cost="0.25")
    async def paid(fail: bool = False) -> int:
        if fail:
            raise ValueError("no")
        if left:
            raise left.pop()
        return 1

    executor = ToolExecutor([paid, made()], backoff=0)
    for args in ({}, {}, {"fail": True}, {"fail": "perhaps"}):
        await executor.execute("paid", args)
    await executor.execute("search", {})
    cost, stats = executor.get_tool_cost_report(), executor.get_tool_stats()
    assert (cost["paid"].executions, cost["paid"].total_cost) == (3, Decimal("1.00")), "each attempt costs"
    assert list(cost) == ["paid", "search"]
    assert (stats["paid"].failures, stats["paid"].success_rate) == (1, 1 - 1 / 3)
    assert stats["search"].p95_ms is not None
    assert stats["search"].total_cost == 0


async def test_an_executor_gives_kept_results_again_until_they_expire() -> None:
    now = [0.0]
    calls: list[int] = []

    @tool(effect="read", cache=60, cost="0.5")
    async def double(n: int) -> int:
        calls.append(n)
        if n < 0:
            raise ValueError("negative")
        return n * 2

    executor = ToolExecutor([double], clock=lambda: now[0])
    first, again = [await executor.execute("double", {"n": n}) for n in ("4", 4)]
    assert (first.output, first.cached, again.output, again.cached, again.attempts) == (8, False, 8, True, 0)
    await executor.execute("double", {"n": -1})
    await executor.execute("double", {"n": -1})
    now[0] = 60.0
    assert not (await executor.execute("double", {"n": 4})).cached
    assert calls == [4, -1, -1, 4]
    stats = executor.get_tool_stats()["double"]
    assert (stats.executions, stats.hits, stats.hit_rate) == (4, 1, 0.2)
    assert executor.get_tool_cost_report()["double"].saved == Decimal("0.5")


async def test_a_batch_runs_together_within_its_bound_and_answers_in_order() -> None:
    import asyncio

    running, most = 0, 0

    @tool(effect="read")
    async def work(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (5 - n))
        running -= 1
        if n == 2:
            raise ValueError("two")
        return n

    done = await ToolExecutor([work]).execute_batch([("work", {"n": n}) for n in range(5)], at_once=3)
    assert [execution.output for execution in done] == [0, 1, None, 3, 4]
    assert most == 3
    with pytest.raises(ConfigurationError, match=r"at least one call"):
        await ToolExecutor([work]).execute_batch([], at_once=0)


@given(
    st.sets(
        st.sampled_from(
            ["read", "re*", "*", "tag:a", "tag:[a]", "tag:*", "capability:c", "effect:read", "reach:none", "wr?te"]
        )
    ),
    st.sampled_from(["read", "write", "re"]),
    st.sets(st.sampled_from(["a", "b", "[a]"])),
    st.sampled_from(["c", "d"]),
)
def test_what_the_registry_lists_for_an_agent_is_what_the_gate_lets_it_call(
    words: set[str], name: str, tags: set[str], capability: str
) -> None:
    offered = made(name, tags=sorted(tags), capabilities=capability, reach="none")
    registry = ToolRegistry([offered])
    registry.set_tool_permissions("clerk", words)
    call = Proposal(Kind.TOOL, name, {}, b"", "clerk", None, Principal(), TRUSTED, offered)
    assert (Grants(registry.grants)(call) is None) == (registry.permissions("clerk") == {name})
    assert (registry.refusal("clerk", offered) is None) == (registry.tools_for("clerk") == [offered])
