"""What a call cost is known, or said not to be: never taken as nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from harness import Machine

from podium import Agent, Price, Reply, ScriptedModel, Usage
from podium.core.errors import ModelError, ModelTimeout, Overloaded, RateLimited
from podium.core.messages import ModelRequest, assistant
from podium.core.prices import FREE_PRICE


class Provider:
    """A model whose price is known and which answers what it is given."""

    name = "provider:x"

    def __init__(self, answer: Reply | ModelError, price: Price | None) -> None:
        self.answer, self.price = answer, price

    async def request(self, request: ModelRequest, emit: object = None) -> Reply:
        if isinstance(self.answer, ModelError):
            raise type(self.answer)(str(self.answer), **self.answer.data)
        return self.answer


DEAR = Price.parse({"input": 1, "output": 2})
COUNTED = Reply(assistant("hi"), Usage(1_000_000, 1_000_000))
UNCOUNTED = Reply(assistant("hi"))


@pytest.mark.parametrize(
    ("reply", "price", "cost", "unpriced"),
    [
        (COUNTED, DEAR, "3", 0),
        (COUNTED, None, "0", 1),
        (UNCOUNTED, DEAR, "0", 1),
        (UNCOUNTED, FREE_PRICE, "0", 0),
        (COUNTED, FREE_PRICE, "0", 0),
    ],
)
async def test_a_reply_is_priced_if_its_tokens_and_its_price_are_known(
    machine: Machine, reply: Reply, price: Price | None, cost: str, unpriced: int
) -> None:
    async with machine.app() as app:
        result = await app.run(Agent("a", model=Provider(reply, price)), "hi")
    assert (result.cost, result.unpriced) == (Decimal(cost), unpriced)


@pytest.mark.parametrize(
    ("error", "unpriced"),
    [
        (RateLimited("429", status=429), 0),
        (Overloaded("529", status=529), 0),
        (Overloaded("cannot connect", sent=False), 0),
        (Overloaded("the connection broke off"), 1),
        (ModelTimeout("late"), 1),
    ],
)
async def test_an_attempt_that_may_have_been_billed_is_not_taken_as_free(
    machine: Machine, error: ModelError, unpriced: int
) -> None:
    from podium import Retry

    async with machine.app() as app:
        result = await app.run(Agent("a", model=Provider(error, DEAR), retry=Retry(attempts=1)), "hi")
    assert (result.cost, result.unpriced) == (0, unpriced)


async def test_an_own_price_wins_over_the_models(machine: Machine) -> None:
    async with machine.app(prices={"provider:x": {"input": "10", "output": 0}}) as app:
        assert (await app.run(Agent("a", model=Provider(COUNTED, DEAR)), "hi")).cost == 10
        scripted = ScriptedModel(["one"])
        assert (await app.run(Agent("b", model=scripted), "hi")).cost == 0
