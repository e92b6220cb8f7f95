"""Review: an answer of low confidence waits for a person, who accepts, edits or rejects it, or says what to do better.

It is asked as a question of the run, so it is journaled, survives restarts and is decided like an approval. Feedback
goes to the model as a message, and the loop goes on. This module knows a context and values, not how a hold is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from podium.core.actions import Ask
from podium.core.errors import ConfigurationError, InvalidOutput, Rejected
from podium.core.redaction import redact
from podium.ports import Context, Member, Receipt
from podium.schema import OutputType

Confidence: TypeAlias = str | Callable[[Any], Any] | Member
OnExpiry: TypeAlias = Literal["reject", "accept"]
SHOWN: Final = 32_000
"""Characters of an answer that whoever reviews it is shown."""


class ReviewPin(msgspec.Struct, frozen=True, array_like=True):
    """What is pinned of a review, so that a resumed run asks as it did. A function is pinned as the empty field."""

    threshold: float
    field: str
    roles: tuple[str, ...]
    expires: float | None
    rounds: int
    on_expiry: OnExpiry
    apart: bool


class Feedback(msgspec.Struct, frozen=True):
    """The answer was sent back."""

    text: str


class Accepted(msgspec.Struct, frozen=True):
    """The answer to give, and whether a person wrote it."""

    output: Any
    edited: bool = False


class Review:
    """When an agent's answer waits for a person.

    An answer below `threshold` (0 to 1) does. `confidence` is where it is found: the field of a structured answer
    (`grade.confidence` reaches into one), a function of the answer, or a member that grades it (its output is the
    number, or has a field `confidence` or `score`). What is missing, is no finite number or is not between 0 and 1
    counts as 0. `roles` may decide, anybody when empty; `self_approval=False` keeps whoever is behind the run from
    accepting. After `expires` seconds without a word the answer is rejected, or accepted with `on_expiry="accept"`;
    None waits for ever. At most `rounds` times it may be sent back with feedback. Raises ConfigurationError.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        *,
        confidence: Confidence = "confidence",
        roles: str | Sequence[str] = (),
        expires: float | None = None,
        rounds: int = 3,
        on_expiry: OnExpiry = "reject",
        self_approval: bool = True,
    ) -> None:
        if isinstance(threshold, bool) or not 0 <= threshold <= 1:
            raise ConfigurationError(f"the threshold of a review is between 0 and 1, not {threshold!r}")
        if not isinstance(confidence, str | Member) and not callable(confidence):
            raise ConfigurationError("confidence is the name of a field, a function of the answer, or a member")
        if expires is not None and not (math.isfinite(expires) and expires > 0):
            raise ConfigurationError(f"expires is in seconds and more than 0, not {expires!r}")
        if rounds < 0:
            raise ConfigurationError(f"rounds is at least 0, not {rounds!r}")
        if on_expiry not in {"reject", "accept"}:
            raise ConfigurationError(f'on_expiry is "reject" or "accept", not {on_expiry!r}')
        self.threshold = float(threshold)
        self.confidence = confidence
        self.roles = (roles,) if isinstance(roles, str) else tuple(roles)
        self.expires = expires
        self.rounds = rounds
        self.on_expiry: OnExpiry = on_expiry
        self.self_approval = self_approval

    @property
    def pin(self) -> ReviewPin:
        """What a run keeps of it."""
        return ReviewPin(
            self.threshold,
            self.confidence if isinstance(self.confidence, str) else "",
            self.roles,
            self.expires,
            self.rounds,
            self.on_expiry,
            not self.self_approval,
        )

    def check(self, agent: str, output: OutputType[Any]) -> None:
        """Raise ConfigurationError when the answers of this agent cannot have the field."""
        field = self.confidence
        if not isinstance(field, str):
            return
        first = field.partition(".")[0]
        fields = None if output.is_text else output.json.get("properties")
        if not field or fields is None or first not in fields:
            raise ConfigurationError(
                f"the answers of agent {agent!r} have no field {first!r} to read a confidence from: give it an output "
                "type with one, or Review(confidence=FUNCTION)"
            )

    def __repr__(self) -> str:
        return f"Review({self.threshold:g})"


class Reviewing:
    """The reviews of one call of an agent."""

    def __init__(self, agent: str, pin: ReviewPin, own: Review | None, output: OutputType[Any]) -> None:
        self._agent = agent
        self._pin = pin
        self._source: Confidence = pin.field
        self._output = output
        self._rounds = 0
        if not pin.field:
            if own is None or isinstance(own.confidence, str):
                raise ConfigurationError(
                    f"the run began when agent {agent!r} had a review whose confidence is a function: give it back, or "
                    "resume with upgrade"
                )
            self._source = own.confidence

    async def settle(self, turn: Context, answer: Any, *, last: bool) -> Accepted | Feedback:
        """What becomes of an answer. `last` is whether the model will not be asked again.

        Raises Rejected when a person refuses it, or nobody decides in time.
        """
        pin = self._pin
        plain = self._output.dump(answer)
        confidence = await self._confidence(turn, answer, plain)
        if confidence >= pin.threshold:
            return Accepted(answer)
        problem = ""
        while True:
            choices = ("approve", "edit", "reject")
            if self._rounds < pin.rounds and not last:
                choices = (*choices, "feedback")
            receipt: Receipt = await turn.perform(self._ask(plain, confidence, choices, problem))
            error = receipt.error
            if error is not None:
                if pin.on_expiry == "accept" and isinstance(error, Rejected) and error.data.get("expired"):
                    return Accepted(answer)
                raise error
            word = cast("dict[str, Any]", receipt.value if isinstance(receipt.value, dict) else {})
            if word.get("decision") == "approve":
                return Accepted(answer)
            if word.get("decision") == "feedback" and "feedback" in choices:
                self._rounds += 1
                return Feedback(str(word.get("text", "")))
            try:
                return Accepted(self._edited(plain, word), edited=True)
            except InvalidOutput as unfit:
                problem = f"the last word on it does not fit: {unfit}"

    def _ask(self, plain: Any, confidence: float, choices: tuple[str, ...], problem: str) -> Ask:
        pin = self._pin
        question = f"{self._agent} answers with confidence {confidence:g}, below {pin.threshold:g}"
        detail = {"agent": self._agent, "output": redact(plain, bound=SHOWN), "confidence": confidence}
        return Ask(
            f"{question} ({problem})" if problem else question,
            choices,
            pin.roles,
            pin.expires,
            "review",
            detail,
            pin.apart,
        )

    def _edited(self, plain: Any, word: Mapping[str, Any]) -> Any:
        """The answer that a person put in the place of one. Raises InvalidOutput."""
        if word.get("decision") != "edit":
            raise InvalidOutput("it was no decision on an answer")
        edited = word.get("output")
        if isinstance(edited, dict) and isinstance(plain, dict):
            # Fields that were not named keep what they are, also what was shown redacted or cut.
            edited = {**cast("dict[str, Any]", plain), **cast("dict[str, Any]", edited)}
        if self._output.is_text:
            if not isinstance(edited, str):
                raise InvalidOutput("the answer is a text")
            return edited
        return self._output.load(edited)

    async def _confidence(self, turn: Context, answer: Any, plain: Any) -> float:
        source = self._source
        if isinstance(source, str):
            return certain(_at(plain, source))
        if isinstance(source, Member):
            graded: Receipt | Any = await turn.call(source, plain)
            return certain(_grade(graded))
        function = source

        async def measure() -> float:
            try:
                found = function(answer)
                return certain(await found if hasattr(found, "__await__") else found)
            except Exception:  # noqa: BLE001  (a user's function: what cannot be measured is not trusted)
                return 0.0

        # Journaled, so that a function that does not always give the same cannot break a resume.
        return certain(await turn.read("confidence", measure))


def certain(value: Any) -> float:
    """A confidence as a number between 0 and 1; 0 for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value <= 1 else 0.0


def _at(plain: Any, path: str) -> Any:
    for name in path.split("."):
        plain = cast("dict[str, Any]", plain).get(name) if isinstance(plain, dict) else None
    return plain


def _grade(graded: Any) -> Any:
    if isinstance(graded, int | float):
        return graded
    for name in ("confidence", "score"):
        found = cast("dict[str, Any]", graded).get(name) if isinstance(graded, dict) else getattr(graded, name, None)
        if found is not None:
            return found
    if isinstance(graded, str):
        try:
            return float(graded.strip()[:64])
        except ValueError:
            return None
    return None
