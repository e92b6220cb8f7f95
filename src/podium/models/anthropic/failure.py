"""What the Messages API's refusals mean, beyond their status: spent accounts, full contexts, settings gone by.

It stands on `models.errors`, which knows the kinds. The same object comes as a body with its status, and inside a
stream without one, where its type stands for the status. No I/O.

The types: https://platform.claude.com/docs/en/api/errors (as of 2026-11); the codes: the official SDK's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from podium.core.errors import BadRequest, ContextTooLong, ModelError
from podium.models.errors import Hints, model_error, said
from podium.models.one_line import one_line
from podium.models.reading import fields_of, table, text

from .request import BEFORE

CLAUDE = Hints(
    key="ANTHROPIC_API_KEY (or api_key=)",
    wire="Anthropic's Messages API",
    address="base_url: /v1/messages is added to it",
)

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# A monthly limit answers 429 like any other, but does not pass by waiting. A rising limit (`ramp_limit_exceeded`) does.
_SPENT_CODES = ("enforced_spend_limit_reached", "contract_spend_limit_reached")
_SPENT = re.compile(r"credit balance is too low|(?:spend|usage) limit", re.IGNORECASE)
_FULL = re.compile(r"exceeds? (?:the )?context limit|input is too long", re.IGNORECASE)
_SAMPLING = re.compile(r"\b(?:temperature|top_p|top_k)\b")


def claude_error(
    status: int,
    body: bytes | Mapping[str, Any],
    *,
    model: str,
    server: str,
    retry_after: float | None = None,
    secrets: Collection[str] = (),
    partial: str = "",
) -> ModelError:
    """The error for an answer with this status and body; 200 when it came inside an answer.

    `data` holds `status`, and what is known of `type`, `request_id`, `retry_after` (seconds) and `partial`.
    """
    fields = fields_of(body)
    inner = table(fields.get("error"))
    kind = text(inner.get("type"))
    if status == 200:
        status = _STATUS.get(kind, 200)
    error = model_error(
        status,
        body,
        model=model,
        server=server,
        retry_after=retry_after,
        secrets=secrets,
        partial=partial,
        hints=CLAUDE,
    )
    for name, value in (("type", kind), ("request_id", text(fields.get("request_id")))):
        if value:
            error.data[name] = value
    special = _special(status, kind, text(table(inner.get("details")).get("error_code")), text(inner.get("message")))
    if special is None:
        return error
    meaning, advice = special
    words = one_line(said(body).text, secrets) or "no explanation"
    return meaning(
        f"{server} answered HTTP {error.data['status']} for model {model!r}: {words}. {advice}", **error.data
    )


def _special(status: int, kind: str, code: str, message: str) -> tuple[type[ModelError], str] | None:
    """A meaning that status alone does not tell, and what to do."""
    if kind == "billing_error" or status == 402 or code in _SPENT_CODES or (status < 429 and _SPENT.search(message)):
        return BadRequest, "The account has no credit left: add credit or raise its limit, or choose another model"
    if status == 400 and _FULL.search(message):
        return ContextTooLong, "Shorten the conversation, lower max_output_tokens, or choose a larger context"
    if status == 400 and _SAMPLING.search(message):
        return BadRequest, f'Leave the setting out; older models take it with ClaudeModel(..., version="{BEFORE}")'
    return None
