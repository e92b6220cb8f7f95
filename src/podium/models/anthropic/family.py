"""What the name of a Claude model tells of how it is asked: how it thinks, and what it refuses.

It knows names only. A name it cannot read (another maker's model behind the same wire) is taken for one that does
everything: its server says itself what it cannot do.

Read from https://platform.claude.com/docs/en/about-claude/models/overview, /docs/en/build-with-claude/adaptive-thinking
and /docs/en/about-claude/models/migration-guide (as of 2026-11).
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

Thinks: TypeAlias = Literal["adaptive", "budget", "never"]

_NAME = re.compile(
    r"claude-(?:(?P<line>opus|sonnet|haiku|fable|mythos)-(?P<major>\d)(?:[-.](?P<minor>\d))?(?=$|[-@:\[])"
    r"|(?P<old_major>\d)(?:[-.](?P<old_minor>\d))?-(?P<old_line>opus|sonnet|haiku))"
)
_ANY = (99, 0)


class Family(msgspec.Struct, frozen=True):
    """One kind of model. `line` is empty for a name that says nothing."""

    line: str
    generation: tuple[int, int]

    @property
    def thinks(self) -> Thinks:
        """How it is told to think: by itself (with an effort), up to a number of tokens, or not at all."""
        if self.generation >= (4, 6):
            return "adaptive"
        return "budget" if self.generation >= (3, 7) else "never"

    @property
    def off(self) -> dict[str, str] | None:
        """The `thinking` that turns thinking off; `{}` if it is off unless asked for, None if it cannot be."""
        if not self.line:
            return {"type": "disabled"}
        if self.line in ("fable", "mythos") or (self.line == "opus" and self.generation >= (5, 5)):
            return None
        if self.line == "sonnet" and self.generation >= (5, 5):
            return {"type": "between_tools"}
        return {"type": "disabled"} if self.generation >= (5, 0) else {}

    @property
    def can_be_made_to_call(self) -> bool:
        """Whether a call of a tool can be demanded (`tool_choice` `any` or `tool`)."""
        if self.line in ("fable", "mythos"):
            return self.generation < (5, 1)
        return self.line not in ("opus", "sonnet") or self.generation < (5, 5)

    @property
    def fills_schemas(self) -> bool:
        """Whether its answers can be held to a JSON schema (`output_config.format`)."""
        return self.generation >= (4, 5) or (self.line == "opus" and self.generation == (4, 1))

    @property
    def max_tokens(self) -> int:
        """Tokens of an answer when nobody says how many: at most what the oldest models of its kind can write."""
        return 8192 if self.generation >= (3, 5) else 4096


def family(model: str) -> Family:
    """The family of a model id, with or without a date, a vendor's prefix (`us.anthropic.…`) or suffix (`@…`)."""
    found = _NAME.search(model.lower())
    if found is None:
        return Family("", _ANY)
    line = found["line"] or found["old_line"]
    return Family(line, (int(found["major"] or found["old_major"]), int(found["minor"] or found["old_minor"] or 0)))
