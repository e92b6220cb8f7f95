"""Members side by side on the same input. One failure does not lose the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from podium.core.errors import Aborted, Exhausted, Failure, MemberFailed, StepFailed
from podium.ports import Context, Member

from .team import Team


class MemberOutcome(msgspec.Struct, frozen=True):
    """What one member of a parallel team came to. `error` is None when it succeeded.

    A member that ran into a limit has both an `output` (what was reached) and an `error`.
    """

    member: str
    output: Any = None
    error: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether the member succeeded."""
        return self.error is None


class Parallel(Team):
    """`Parallel(a, b, c)`: a list of `MemberOutcome`, in member order.

    `join` makes one value of that list: a function, or a member that is called with it. If every member fails, the
    team fails.
    """

    def __init__(
        self,
        *members: Member,
        join: Callable[[list[MemberOutcome]], Any] | Member | None = None,
        name: str = "parallel",
        description: str = "",
        capabilities: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        super().__init__(members, name=name, description=description, capabilities=capabilities, timeout=timeout)
        self.join = join

    async def __call__(self, ctx: Context, input: Any = None) -> Any:
        """All outcomes, or what `join` makes of them."""
        return await self.joined(ctx, await self.outcomes(ctx, [input] * len(self.members)))

    async def outcomes(self, ctx: Context, inputs: Sequence[Any]) -> list[MemberOutcome]:
        """Call each member with its input, side by side."""
        steps = [ctx.call(member, value) for member, value in zip(self.members, inputs, strict=True)]
        for step in steps:
            step.start()
        outcomes: list[MemberOutcome] = []
        failed: list[StepFailed] = []
        for member, step in zip(self.members, steps, strict=True):
            try:
                outcomes.append(MemberOutcome(member.name, await step))
            except Aborted:
                raise
            except Exhausted as error:
                outcomes.append(MemberOutcome(member.name, error.partial, error.failure))
                failed.append(error)
            except StepFailed as error:
                failed.append(error)
                outcomes.append(MemberOutcome(member.name, None, error.failure))
        if not any(outcome.ok or outcome.output is not None for outcome in outcomes):
            if outcomes and all(isinstance(error, Exhausted) for error in failed):
                raise failed[0]  # a limit ended them all, and so the team
            raise MemberFailed(
                "every member failed: " + "; ".join(f"{outcome.member}: {outcome.error}" for outcome in outcomes)
            )
        return outcomes

    async def joined(self, ctx: Context, outcomes: list[MemberOutcome]) -> Any:
        """What `join` makes of the outcomes."""
        join = self.join
        if join is None:
            return outcomes
        if isinstance(getattr(join, "name", None), str) and hasattr(join, "capabilities"):
            return await ctx.call(cast("Member", join), [msgspec.to_builtins(outcome) for outcome in outcomes])
        return cast("Callable[[list[MemberOutcome]], Any]", join)(outcomes)

    def load_output(self, plain: Any) -> Any:
        """Outcomes with each member's output as its declared type."""
        join = self.join
        if join is not None:
            load = getattr(join, "load_output", None)
            return plain if load is None else load(plain)
        found: list[MemberOutcome] = []
        for member, item in zip(self.members, cast("list[dict[str, Any]]", plain), strict=True):
            output = item.get("output")
            failure = item.get("error")
            load = getattr(member, "load_output", None)
            if load is not None and output is not None and failure is None:
                output = load(output)
            error = None if failure is None else msgspec.convert(failure, Failure)
            found.append(MemberOutcome(member.name, output, error))
        return found

    def dump_output(self, value: Any) -> Any:
        """The journaled form: each member's output in its own."""
        if self.join is not None or not isinstance(value, list):
            dump = getattr(self.join, "dump_output", None)
            return value if dump is None else dump(value)
        found: list[dict[str, Any]] = []
        for member, outcome in zip(self.members, cast("list[MemberOutcome]", value), strict=True):
            dump = getattr(member, "dump_output", None)
            output = outcome.output
            if dump is not None and output is not None and outcome.error is None:
                output = dump(output)
            error = None if outcome.error is None else msgspec.to_builtins(outcome.error)
            found.append({"member": outcome.member, "output": output, "error": error})
        return found
