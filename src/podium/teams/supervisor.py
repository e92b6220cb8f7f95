"""A supervisor: an agent that decomposes a task, delegates the parts to workers, and puts their answers together.

It is an agent whose model is offered its workers beside its tools. Delegating is a Call, a scope of the same run;
several workers named in one reply work side by side. Workers are members, so a supervisor can be one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from podium.agents.agent import Agent, AgentConfig
from podium.core.actions import Action, Call, CallTool, Retry
from podium.core.errors import ConfigurationError
from podium.core.messages import Settings, ToolCall, ToolSpec
from podium.ports import Member, Model, Tool
from podium.schema import dump

_PROMPT = """You lead a team. Break the task into parts, delegate each to the member that fits it best, several at once
when they do not depend on each other, and give each all it needs to know: members see nothing but the task you write.
When you have what you need, answer yourself, from what they found."""

_TASK = {
    "type": "object",
    "properties": {"task": {"type": "string", "description": "What the member is to do, with all it needs to know."}},
    "required": ["task"],
    "additionalProperties": False,
}


class Supervisor(Agent[Any, Any]):
    """`Supervisor([researcher, writer], model="…")`.

    `workers` are offered to the model by name and description; each is given the task as text. `tools` are the
    supervisor's own. The other arguments are those of an Agent. A worker that fails is told to the model, which may ask
    another one.
    """

    def __init__(
        self,
        workers: Sequence[Member],
        model: Model | str | None = None,
        *,
        name: str = "supervisor",
        system_prompt: str = _PROMPT,
        tools: Sequence[Tool | str] = (),
        output: type[Any] | Any = str,
        description: str = "Leads a team of members.",
        capabilities: Sequence[str] = (),
        max_iterations: int = 20,
        settings: Settings | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
    ) -> None:
        if not workers:
            raise ConfigurationError(f"the supervisor {name!r} has no workers")
        self.workers = {worker.name: worker for worker in workers}
        if len(self.workers) != len(workers):
            raise ConfigurationError(f"two workers of {name!r} share a name: give one another name")
        taken = self.workers.keys() & {tool if isinstance(tool, str) else tool.name for tool in tools}
        if taken:
            raise ConfigurationError(f"{name!r} has a worker and a tool named {', '.join(sorted(taken))}: rename one")
        super().__init__(
            name,
            model,
            tools,
            system_prompt,
            output=output,
            description=description,
            capabilities=tuple(capabilities) or tuple(_shared(workers)),
            max_iterations=max_iterations,
            settings=settings,
            timeout=timeout,
            retry=retry,
        )
        # Named in what the gate says to a model that makes up a name; a worker is never reached through a tool.
        self.grants |= self.workers.keys()

    def _specs(self) -> tuple[ToolSpec, ...]:
        workers = [ToolSpec(worker.name, worker.description or worker.name, _TASK) for worker in self.workers.values()]
        return (*workers, *super()._specs())

    def _action(self, call: ToolCall, config: AgentConfig) -> Action:
        worker = self.workers.get(call.name)
        task = call.args.get("task")
        if worker is None:
            return super()._action(call, config)
        if call.invalid is not None or not isinstance(task, str):
            return CallTool(call.name, call.args, invalid=call.invalid or "give one argument, task: a text")
        return Call(worker.name, worker, task)

    def _shown(self, call: ToolCall, value: Any) -> Any:
        return dump(value) if call.name in self.workers else value


def _shared(workers: Sequence[Member]) -> list[str]:
    return list(dict.fromkeys(capability for worker in workers for capability in worker.capabilities))
