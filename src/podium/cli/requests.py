"""One step in full: what was asked, and what came of it. For a model call, the real messages and tools.

The journal holds references; here they are followed, to receipts, pinned configurations, sessions and blobs. What was
erased is left out and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from podium.agents.agent import AgentConfig
from podium.core.codec import is_erased, readable
from podium.core.conversation import Conversation
from podium.core.errors import ConfigurationError, Erased
from podium.core.messages import Message, system
from podium.core.records import Began, Ended, Record
from podium.core.state import History, StepState, fold
from podium.core.transcript import FromSession
from podium.ports import Store
from podium.runtime.results import StepView, all_began, view_of

from .attempts import Attempts, document


class Shown(msgspec.Struct, frozen=True):
    """A step, its request and its receipt, as plain data."""

    view: StepView
    request: dict[str, Any]
    receipt: dict[str, Any] | None
    """None while the step is not over."""
    missing: tuple[str, ...] = ()
    """What could not be shown."""
    paid: dict[str, Any] = {}
    """What is reserved or uncertain, and the attempts before the last (`attempts.document`)."""


async def read(store: Store, run_id: str, key: str) -> Shown:
    """The step `key` of a run. Raises ConfigurationError when there is none, RunNotFound, StoreError."""
    records = await store.read(run_id)
    history = fold(records)
    step = history.steps.get(key)
    if step is None:
        raise ConfigurationError(f"run {run_id} has no step {key!r}: {_near(history, key)}")
    material = _Material(store)
    request = await _request(step, history, records, material)
    receipt = None if step.ended is None else await _receipt(step, step.ended, material)
    paid = document(step, Attempts(records).of(key))
    return Shown(view_of(step, history), request, receipt, tuple(material.missing), paid)


def _near(history: History, key: str) -> str:
    near = [each for each in history.steps if key in each] or list(history.steps)
    more = ", …" if len(near) > 8 else ""
    return f"its steps are {', '.join(near[:8])}{more} (see `podium show RUN`)"


class _Material:
    """What stands apart from the records, fetched once and named when it is gone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.blobs: dict[str, bytes] = {}
        self.sessions: dict[tuple[str, int, int], Sequence[Message]] = {}
        self.missing: list[str] = []

    async def blob(self, address: str, what: str) -> bytes | None:
        if address and address not in self.blobs:
            try:
                self.blobs[address] = await self._store.blob(address)
            except Erased as error:
                self.missing.append(f"{what}: {error}")
        return self.blobs.get(address)

    async def session(self, origin: FromSession) -> None:
        wanted = (origin.session, origin.start, origin.stop)
        self.sessions[wanted] = await self._store.history(*wanted)
        if len(self.sessions[wanted]) < origin.stop - origin.start:
            self.missing.append(f"messages {origin.start} to {origin.stop} of session {origin.session}")


async def _request(step: StepState, history: History, records: Sequence[Record], material: _Material) -> dict[str, Any]:
    began = step.began
    if began is not None and step.kind == "model":
        return await _model_request(began, history, records, material)
    found: dict[str, Any] = {"name": step.name}
    if began is not None and began.args:
        found["args"] = readable(began.args)
    for hold in (step.held.hold if step.held is not None else None, began.hold if began is not None else None):
        if hold is None:
            continue
        detail = readable(hold.detail)
        if isinstance(detail, dict):
            found.setdefault("args", cast("dict[str, Any]", detail).get("args"))
        held: dict[str, Any] = {"request": hold.request, "why": hold.why, "prompt": hold.prompt, "due": hold.due}
        decision = history.decisions.get(hold.request)
        if decision is not None:
            held["decision"] = {
                "kind": decision.kind,
                "by": decision.by.id,
                "at": decision.at,
                "data": readable(decision.data),
            }
        found["hold"] = held
    return found


async def _model_request(
    began: Began, history: History, records: Sequence[Record], material: _Material
) -> dict[str, Any]:
    every = all_began(records)
    config = await _pinned(history.facts.pins.get(began.agent, ""), began.agent, material)
    link: Began | None = began
    while link is not None:
        for origin in link.added:
            if isinstance(origin, FromSession):
                await material.session(origin)
        link = every.get(link.previous) if link.previous else None
    for step in history.steps.values():
        if step.ended is not None and step.ended.blob and step.kind in {"model", "tool"}:
            await material.blob(step.ended.blob, step.key)
    talk = Conversation(
        history,
        pinned=lambda _: system(config.system) if config is not None and config.system else None,
        session=lambda name, start, stop: material.sessions.get((name, start, stop), ()),
        blob=lambda address: material.blobs.get(address, b"\xc0"),
    )
    found: dict[str, Any] = {
        "model": began.version,
        "agent": began.agent,
        "messages": [message(each) for each in talk.of(began, every)],
    }
    if config is not None:
        found["tools"] = [readable(tool) for tool in config.tools]
        found["settings"] = {
            name: value for name, value in readable(config.settings).items() if value not in (None, [], {})
        }
        if config.output is not None:
            found["output"] = readable(config.output)
    return found


async def _pinned(address: str, agent: str, material: _Material) -> AgentConfig | None:
    content = await material.blob(address, f"the configuration of {agent}")
    return None if content is None else msgspec.msgpack.decode(content, type=AgentConfig)


def message(each: Message) -> dict[str, Any]:
    """A message with the names of its fields."""
    named: dict[str, Any] = {"role": each.role, "parts": [_part(part) for part in each.parts]}
    return {**named, "name": each.name} if each.name else named


def _part(part: msgspec.Struct) -> dict[str, Any]:
    named: dict[str, Any] = readable(part)
    data = named.get("data")
    if isinstance(data, str) and named.get("type") == "media":
        named["data"] = f"{len(data) // 2} bytes"
    return {name: value for name, value in named.items() if value is not None}


async def _receipt(step: StepState, ended: Ended, material: _Material) -> dict[str, Any]:
    value: Any = None
    if ended.blob:
        content = await material.blob(ended.blob, f"the result of {step.key}")
        value = None if content is None else content
    else:
        value = bytes(ended.value)
    if value:
        spoken = step.kind == "model" and ended.error is None and not is_erased(value)
        value = _reply(value) if spoken else readable(msgspec.Raw(value))
    began = step.began
    return {
        "outcome": ended.outcome.value,
        "value": value or None if isinstance(value, bytes) else value,
        "error": readable(ended.error),
        "cost": ended.cost,
        "usage": readable(ended.usage),
        "duration": None if began is None else round(ended.at - began.at, 6),
        "attempt": ended.attempt,
        "cached": ended.cached,
        "label": readable(ended.label),
        "rule": (began.rule if began is not None else "") or ended.rule,
        "at": ended.at,
    }


def _reply(data: bytes) -> dict[str, Any]:
    from podium.core.messages import Reply

    reply = msgspec.msgpack.decode(data, type=Reply)
    return {"message": message(reply.message), "finish": reply.finish, "model": reply.model}
