"""`@tool(sandbox=...)`: a tool's function runs in a box of its own, which imports it anew."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podium import Agent, ModelRequest, ScriptedModel, ToolCall, ToolExecutor, tool
from podium.tools import ToolExecution

pytestmark = pytest.mark.usefixtures("box_here")

SOURCE = '''
import datetime, os, pathlib

import shop_prices
from podium import Sandbox, tool
from podium.ports import ToolContext
from pydantic import BaseModel

IMPORTED_BY = os.getpid()

class Order(BaseModel):
    sku: str
    day: datetime.date

@tool(effect="read", sandbox=True)
def total(sku: str, count: int = 1) -> float:
    """The price of some."""
    return shop_prices.PRICES[sku] * count

@tool(effect="read", sandbox=Sandbox(timeout=20, memory_mb=300))
def moved(order: Order, days: int) -> Order:
    """An order some days later."""
    return Order(sku=order.sku, day=order.day + datetime.timedelta(days))

@tool(effect="read", sandbox=True)
async def slow(sku: str) -> str:
    """Asynchronous."""
    return sku.upper()

@tool(effect="read", sandbox=True)
def spy() -> list[str]:
    """What it can read beside itself."""
    here = pathlib.Path(__file__).parent
    return sorted(path.name for path in here.iterdir() if path.name != "__pycache__") + list(os.environ)

@tool(effect="read", sandbox=True)
def lying() -> int:
    """Not what it says."""
    return "many"

@tool(effect="read", sandbox=True, timeout=1)
def endless() -> int:
    """Never ends."""
    while True:
        pass

@tool(effect="read", sandbox=True)
def with_context(ctx: ToolContext) -> int:
    """Wants what stays outside."""
    return 1
'''


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A project with a secret and a store beside its code."""
    (tmp_path / "shop_tools.py").write_text(SOURCE)
    (tmp_path / "shop_prices.py").write_text("PRICES = {'tent': 99.5}\n")
    (tmp_path / ".env").write_text("KEY=secret")
    (tmp_path / "podium.db").write_text("store")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SHOP_KEY", "secret")
    yield importlib.import_module("shop_tools")
    del sys.modules["shop_tools"], sys.modules["shop_prices"]


async def execute(tool: Any, **arguments: Any) -> ToolExecution:
    return await ToolExecutor([tool]).execute(tool.name, arguments)


async def test_a_tool_runs_in_a_box_with_the_modules_beside_it(shop: Any) -> None:
    done = await execute(shop.total, sku="tent", count=2)
    assert (done.error, done.output) == (None, 199.0)


async def test_typed_arguments_and_results_are_read_on_both_sides(shop: Any) -> None:
    done = await execute(shop.moved, order={"sku": "tent", "day": "2026-11-21"}, days=10)
    assert (done.error, done.output) == (None, {"sku": "tent", "day": "2026-12-01"})


async def test_an_async_tool_runs_too(shop: Any) -> None:
    assert (await execute(shop.slow, sku="tent")).output == "TENT"


async def test_a_tool_sees_code_beside_it_and_neither_settings_nor_stores_nor_the_environment(shop: Any) -> None:
    done = await execute(shop.spy)
    assert {"shop_prices.py", "shop_tools.py"} <= set(done.output)
    assert not {".env", "podium.db", "SHOP_KEY"} & set(done.output)


async def test_what_a_tool_gives_back_is_checked_outside(shop: Any) -> None:
    done = await execute(shop.lying)
    assert (done.success, done.error_type) == (False, "ToolValidationError")


async def test_a_tool_that_fails_says_its_own_last_words(shop: Any) -> None:
    done = await execute(shop.total, sku="boat")
    assert done.error_type == "ToolError"
    assert "KeyError: 'boat'" in (done.error or "")


async def test_an_endless_tool_is_ended(shop: Any) -> None:
    assert not (await execute(shop.endless)).success


async def test_what_cannot_be_imported_anew_is_refused_with_a_reason(shop: Any) -> None:
    @tool(effect="read", sandbox=True)
    def local() -> int:
        return 1

    assert "write it at the top level" in ((await execute(local)).error or "")
    assert "'ctx', which stays outside" in ((await execute(shop.with_context)).error or "")


async def test_an_agent_uses_a_sandboxed_tool(shop: Any) -> None:
    said: list[object] = []

    def model(request: ModelRequest) -> Any:
        said.append(request.messages[-1])
        return ToolCall("total", {"sku": "tent"}) if len(said) == 1 else "done"

    result = await Agent("clerk", ScriptedModel(model), [shop.total]).run("What is a tent?")
    assert result.output == "done"
    assert "99.5" in str(said[-1])
