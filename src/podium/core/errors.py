"""Every error Podium raises, and the form in which a failure is journaled.

    PodiumError
      ConfigurationError        what was asked for cannot be built (unknown name, bad value)
        MissingExtra            an optional dependency is not installed
      StoreError                the journal could not be read or written; nothing acknowledged is lost
        StoreFull, StoreReadOnly, StoreCorrupt, StoreLocked, SchemaTooNew, Erased
      RunError                  a run cannot be driven or asked this way
        RunNotFound, RunConflict, RunBusy, LeaseLost, Unloaded, NestedRun, ScopeError, ReplayMismatch, RequestError
      StepFailed                a step ended without a value; members may catch it
        ToolError               (ToolValidationError, ToolTimeoutError, ToolUnavailable, NotDone)
        ModelError              (RateLimited, Overloaded, ... with `.transient`)
        MemberFailed, PermissionDenied, Rejected, DeadlineExceeded, Aborted, SecurityError
        Exhausted               a limit was reached; `.partial` is what was reached
          BudgetExceeded        a call was not made, because it might have passed a budget
      RunFailed                 raised by `RunResult.unwrap()`

A failure that a member sees live is the one it sees on replay: the exception is always rebuilt from its `Failure`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Failure(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A failure as data: the error's name, one clear line, and what a rebuilt exception needs."""

    type: str
    message: str
    data: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class PodiumError(Exception):
    """The base of all errors raised by Podium. `str(error)` is one line that says what to do next."""


class ConfigurationError(PodiumError):
    """What was asked for cannot be built: an unknown name, a bad value, a missing setting."""


class MissingExtra(ConfigurationError):
    """An optional dependency is not installed. The message holds the command that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f'{feature} needs the extra "{extra}": pip install "podium[{extra}]"')
        self.extra = extra


class StoreError(PodiumError):
    """The store could not be read or written. Whatever was acknowledged before is still there."""


class StoreFull(StoreError):
    """The disk (or the store's size limit) is full; free space and resume the run."""


class StoreReadOnly(StoreError):
    """The store cannot be written by this process."""


class StoreCorrupt(StoreError):
    """The file is not a Podium store, or is damaged."""


class StoreLocked(StoreError):
    """Another process kept the store locked for longer than we wait."""


class SchemaTooNew(StoreError):
    """The store, or a record in it, was written by a newer Podium: upgrade this one."""


class Erased(StoreError):
    """The payload asked for was erased; its digest is all that is left."""


class RunError(PodiumError):
    """A run cannot be driven, or asked, in this way."""


class RunNotFound(RunError):
    """No run has this id in this store."""


class RunConflict(RunError):
    """A run with this id exists with another member or input."""


class RunBusy(RunError):
    """Another process drives the run: wait until its lease ends, or `resume --steal`."""


class LeaseLost(RunError):
    """This process is no longer the run's driver; another may be. It stopped without recording."""


class Unloaded(RunError):
    """The run was suspended and its context closed; nothing more is recorded from this drive."""


class NestedRun(RunError):
    """`run` was called inside a running member: use `ctx.call(member, input)` (or `ctx.spawn`) there."""


class ScopeError(RunError):
    """A step was requested from a task that does not own the scope: use `ctx.gather` or `ctx.group`."""


class ReplayMismatch(RunError):
    """A resumed member asked for something else than its journal holds."""

    def __init__(self, key: str, recorded: str, requested: str, why: str) -> None:
        super().__init__(
            f"{key}: {why}. The journal has {recorded}; the member now asks for {requested}. "
            f"Undo the change, guard it with `await ctx.version(name)`, or fork from this step: "
            f"podium fork RUN --at {key}"
        )
        self.key, self.recorded, self.requested, self.why = key, recorded, requested, why


class RequestError(RunError):
    """An approval, answer or signal does not fit what the run waits for."""


class StepFailed(PodiumError):
    """A step ended without a value. Subclasses say how; `.failure` is what the journal holds."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str = "", **data: Any) -> None:
        super().__init__(message)
        self.data = data

    @property
    def failure(self) -> Failure:
        """This error as journal data."""
        return Failure(type(self).__name__, str(self), self.data)


class ToolError(StepFailed):
    """A tool raised; the message names the tool's own error."""


class ToolValidationError(ToolError):
    """The arguments (or the result) do not fit the tool's schema, or no such tool is offered."""


class ToolTimeoutError(ToolError):
    """A tool took longer than its timeout."""


class ToolUnavailable(ToolError):
    """The service behind a tool failed in a way that may pass. Whether the call happened is not known."""

    transient = True


class NotDone(ToolError):
    """Raised by a tool (or `reconcile`) to say: the effect certainly did not happen. Safe to retry.

    `NotDone(why, retry=False)` says that another attempt would end the same: the call fails at once.
    """

    @property
    def worth_retrying(self) -> bool:
        """Whether another attempt may help."""
        return self.data.get("retry") is not False


class ModelError(StepFailed):
    """A model call failed."""


class RateLimited(ModelError):
    """The provider refused for now. `data["retry_after"]` is in seconds when it said so."""

    transient = True


class Overloaded(ModelError):
    """The provider or the network failed in a way that may pass."""

    transient = True


class ModelTimeout(ModelError):
    """The model did not answer in time."""

    transient = True


class ContextTooLong(ModelError):
    """The conversation does not fit the model's context."""


class AuthenticationFailed(ModelError):
    """The credentials are missing or were refused."""


class BadRequest(ModelError):
    """The provider does not accept the request as it is."""


class ContentFiltered(ModelError):
    """The provider withheld the answer."""


class MalformedReply(ModelError):
    """The provider's answer could not be read. `data["partial"]` holds the text that came."""

    transient = True


class UnexpectedCall(ModelError):
    """A scripted model was asked for more, or for something else, than its script holds."""


class MemberFailed(StepFailed):
    """A called member raised; the message names its error."""


class PermissionDenied(StepFailed):
    """The gate refused the action. `data["rule"]` is the rule that did."""


class Rejected(StepFailed):
    """A person refused the action, or nobody answered in time."""


class SecurityError(StepFailed):
    """A guard found something that must not pass."""


class DeadlineExceeded(StepFailed):
    """The run's or the step's time was over."""


class Aborted(StepFailed):
    """A person ended the run instead of settling a step in doubt."""


class Cancelled(StepFailed):
    """The run or the branch was cancelled."""


class InvalidOutput(StepFailed):
    """A model kept answering in a form that does not fit the agent's output type."""


class UnknownRoute(StepFailed):
    """A router's classifier named a class that no member serves."""


class Exhausted(StepFailed):
    """A limit was reached. `partial` is what was reached so far."""

    def __init__(self, message: str = "", partial: Any = None, **data: Any) -> None:
        super().__init__(message, **data)
        self.partial = partial


class BudgetExceeded(Exhausted):
    """A call was not made, because its worst case would have passed a budget. `data` names the budget and figures."""


class RunFailed(PodiumError):
    """Raised by `RunResult.unwrap()` when a run did not succeed."""

    def __init__(self, run_id: str, status: str, failure: Failure | None) -> None:
        super().__init__(f"run {run_id} {status}" + (f": {failure}" if failure else ""))
        self.run_id, self.status, self.failure = run_id, status, failure


def _family(base: type[StepFailed]) -> dict[str, type[StepFailed]]:
    found = {base.__name__: base}
    for child in base.__subclasses__():
        found.update(_family(child))
    return found


_BY_NAME = _family(StepFailed)


def failure_of(error: BaseException) -> Failure:
    """`error` as journal data. An error that is not ours keeps its name and message."""
    if isinstance(error, StepFailed):
        return error.failure
    return Failure(type(error).__name__, str(error) or type(error).__name__)


def rebuild(failure: Failure, fallback: type[StepFailed] = StepFailed) -> StepFailed:
    """The exception for `failure`; an unknown name becomes `fallback` with the name in its message."""
    known = _BY_NAME.get(failure.type)
    if known is None:
        return fallback(str(failure), **{"type": failure.type, **failure.data})
    return known(failure.message, **failure.data)
