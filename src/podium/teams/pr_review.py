"""Reviewing a pull request: several reviewers side by side, each with the same change before it.

The reviewers are members; what they are given is the request as text (title, description, files, diff), so any agent
can be one. `podium review` is this team with reviewers that have tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from podium.agents.member import Runnable
from podium.core.conversation import result_text
from podium.core.errors import ConfigurationError, Failure
from podium.ports import Context, Member

from .parallel import MemberOutcome, Parallel


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be reviewed. `additions` and `deletions` count lines."""

    title: str
    description: str = ""
    diff: str = ""
    files_changed: tuple[str, ...] = ()
    additions: int = 0
    deletions: int = 0

    def text(self) -> str:
        """The request as a reviewer reads it."""
        files = "\n".join(f"- {path}" for path in self.files_changed) or "- (none)"
        return (
            f"Review this change.\n\nTitle: {self.title}\n\n{self.description}\n\n"
            f"Files ({len(self.files_changed)}, +{self.additions} -{self.deletions}):\n{files}\n\n"
            f"```diff\n{self.diff}\n```"
        )


class ReviewFeedback(msgspec.Struct, frozen=True):
    """One reviewer's word. `error` says why there is none."""

    reviewer: str
    feedback: Any = None
    error: Failure | None = None


class ReviewResult(msgspec.Struct, frozen=True):
    """All reviewers' feedback, in the order they were registered, and a summary."""

    pr_title: str
    total_reviewers: int
    summary: str
    reviews: tuple[ReviewFeedback, ...]


class PRReviewOrchestrator(Runnable[ReviewResult]):
    """`register_reviewer(member)` for each reviewer, then `await review_pr(pr)`; or run it as any member.

    `editor` is a member that writes the summary from all feedback; without one the summary counts what came.
    """

    def __init__(
        self,
        reviewers: Sequence[Member] = (),
        *,
        editor: Member | None = None,
        name: str = "pr_review",
        description: str = "Reviews a change from several points of view.",
        timeout: float | None = None,
    ) -> None:
        self.reviewers: list[Member] = []
        self.editor = editor
        self.name = name
        self.description = description
        self.capabilities = ("review",)
        self.timeout = timeout
        for reviewer in reviewers:
            self.register_reviewer(reviewer)

    def register_reviewer(self, reviewer: Member) -> None:
        """Add a reviewer. Raises ConfigurationError if one of that name is there already."""
        if any(known.name == reviewer.name for known in self.reviewers):
            raise ConfigurationError(f"there is a reviewer named {reviewer.name!r} already")
        self.reviewers.append(reviewer)

    async def review_pr(self, pr: PullRequest | dict[str, Any], **options: Any) -> ReviewResult:
        """Review a pull request. `options` are those of `run`. Raises RunFailed when no reviewer could work."""
        result = await self.run(self.load_input(pr), **options)
        return cast("ReviewResult", result.unwrap())

    async def __call__(self, ctx: Context, input: Any = None) -> ReviewResult:
        """Feedback of all reviewers, and the summary."""
        pr = self.load_input(input)
        if not self.reviewers:
            raise ConfigurationError(f"{self.name} has no reviewers: call register_reviewer(...) first")
        reviewers = Parallel(*self.reviewers)
        outcomes = await reviewers.outcomes(ctx, [pr.text()] * len(self.reviewers))
        summary = await self._summary(ctx, pr, outcomes)
        reviews = tuple(ReviewFeedback(outcome.member, outcome.output, outcome.error) for outcome in outcomes)
        return ReviewResult(pr.title, len(reviews), summary, reviews)

    async def _summary(self, ctx: Context, pr: PullRequest, outcomes: list[MemberOutcome]) -> str:
        if self.editor is None:
            done = sum(outcome.ok for outcome in outcomes)
            failed = [outcome.member for outcome in outcomes if not outcome.ok]
            text = f"{done} of {len(outcomes)} reviewers gave feedback on {pr.title!r}"
            return text + (f"; without: {', '.join(failed)}" if failed else "")
        said = "\n\n".join(
            f"## {outcome.member}\n{result_text(outcome.output) if outcome.ok else f'(no review: {outcome.error})'}"
            for outcome in outcomes
        )
        edited = await ctx.call(self.editor, f"Summarise these reviews of {pr.title!r}.\n\n{said}")
        return edited if isinstance(edited, str) else result_text(edited)

    def load_input(self, plain: Any) -> PullRequest:
        """A pull request from its plain form."""
        if isinstance(plain, PullRequest):
            return plain
        try:
            return msgspec.convert(plain, PullRequest)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"this is not a pull request ({error}): it needs at least a title") from error

    def load_output(self, plain: Any) -> ReviewResult:
        """A result from its journaled form."""
        return msgspec.convert(plain, ReviewResult)

    def dump_output(self, value: ReviewResult) -> Any:
        """The journaled form."""
        return msgspec.to_builtins(value, enc_hook=_unknown)


def _unknown(value: object) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} is not JSON")
    return dump(mode="json")
