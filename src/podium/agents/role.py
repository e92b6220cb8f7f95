"""Roles: a reusable part of a system prompt, with the facts it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Role(msgspec.Struct, frozen=True):
    """Who an agent is. `context` (a dict) reaches the prompt as a list of facts, in its own order."""

    name: str
    prompt: str
    context: Mapping[str, Any] = {}

    def text(self) -> str:
        """The role as prompt text."""
        lines = [self.prompt.strip()]
        if self.context:
            lines.append("\nContext:")
            lines.extend(f"- {key}: {_plain(value)}" for key, value in self.context.items())
        return "\n".join(lines).strip()


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
