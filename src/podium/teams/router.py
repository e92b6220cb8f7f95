"""One member out of several: a model or a function classifies the input, the member of that class answers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, cast

from podium.core.actions import CallModel
from podium.core.codec import digest_of
from podium.core.conversation import result_text
from podium.core.errors import ConfigurationError, UnknownRoute
from podium.core.messages import ModelRequest, OutputSpec, Reply, system, user
from podium.core.transcript import Transcript
from podium.ports import Context, Member, Model, Receipt
from podium.schema import output_type

from .team import Team

Classifier = Callable[[Any], str | Awaitable[str]]

_PROMPT = "Choose which of these serves the request best. Answer with its name only."


class Router(Team):
    """`Router([billing, support], model="…")` or `Router({"refund": billing, …}, classify=function)`.

    `classify` is a function of the input (its answer is journaled) or, without it, `model` is asked once, with the
    members' descriptions. A class that no member serves goes to `default`, or is an `UnknownRoute` that lists the
    known ones.
    """

    def __init__(
        self,
        members: Sequence[Member] | Mapping[str, Member],
        model: Model | str | None = None,
        *,
        classify: Classifier | None = None,
        default: Member | str | None = None,
        prompt: str = _PROMPT,
        name: str = "router",
        description: str = "",
        capabilities: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        routes = dict(members) if isinstance(members, Mapping) else {member.name: member for member in members}
        super().__init__(
            list(routes.values()), name=name, description=description, capabilities=capabilities, timeout=timeout
        )
        if not isinstance(members, Mapping) and len(routes) != len(members):
            raise ConfigurationError(f"two members of {name!r} share a name: give the router a dict of class to member")
        if model is None and classify is None:
            raise ConfigurationError(f"the router {name!r} needs a model= or a classify= function")
        if isinstance(default, str) and default not in routes:
            raise ConfigurationError(f"the default {default!r} of {name!r} is none of its classes: {', '.join(routes)}")
        self.routes = routes
        self.model = model
        self.classify = classify
        self.default = routes[default] if isinstance(default, str) else default
        self.prompt = prompt
        bind = getattr(model, "bind", None)
        if bind is not None:
            bind(name)

    async def __call__(self, ctx: Context, input: Any = None) -> Any:
        """The chosen member's output."""
        if self.classify is not None:
            chosen = await self._by_function(ctx, self.classify, input)
        else:
            chosen = await self._by_model(ctx, cast("Model | str", self.model), input)
        return await ctx.call(self._member(chosen), input)

    def _member(self, chosen: str) -> Member:
        member = self.routes.get(chosen) or self.default
        if member is None:
            raise UnknownRoute(
                f"{self.name} was sent to {chosen!r}, which no member serves; known: {', '.join(self.routes)}. "
                "Add a member for it, or a default="
            )
        return member

    async def _by_function(self, ctx: Context, classify: Classifier, input: Any) -> str:
        async def choose() -> str:
            chosen = classify(input)
            return str(await chosen if inspect.isawaitable(chosen) else chosen)

        return cast("str", await ctx.read("route", choose))

    async def _by_model(self, ctx: Context, model: Model | str, input: Any) -> str:
        kind = output_type(cast("Any", Literal)[tuple(self.routes)])
        listed = "\n".join(f"- {route}: {member.description or route}" for route, member in self.routes.items())
        transcript = Transcript()
        transcript.add(system(f"{self.prompt}\n\n{listed}"))
        transcript.add(user(result_text(input)))
        spec = cast("OutputSpec", kind.spec)
        name = model if isinstance(model, str) else model.name
        request = ModelRequest(transcript.view(), output=spec, agent=self.name)
        receipt = cast("Receipt", await ctx.perform(CallModel(model, request, transcript, digest_of((name, spec)))))
        text = cast("Reply", receipt.unwrap()).message.text
        return _route(text, kind)


def _route(text: str, kind: Any) -> str:
    """The class a reply names, however it was wrapped; the reply itself when it names none."""
    try:
        return str(kind.parse(text))
    except Exception:  # noqa: BLE001  (an answer outside the classes is looked up as it is, and named in the error)
        return text.strip().strip("\"'`. ")
