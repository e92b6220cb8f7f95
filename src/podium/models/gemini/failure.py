"""What a refusal of Google's servers means. Pure; the general reading of refusals is `models.errors`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec

from podium.core.errors import ModelError
from podium.models.errors import Hints, model_error
from podium.models.reading import table, tables
from podium.models.reading import text as text_of
from podium.models.transport import MAX_WAIT

GEMINI = Hints(
    key="GEMINI_API_KEY (or api_key=)",
    wire="the Gemini API",
    address="api_version: names ending in -latest, and some previews, exist only in v1beta",
)
VERTEX = Hints(
    key="GOOGLE_VERTEX_ACCESS_TOKEN (or token=, or log in with `gcloud auth application-default login`)",
    wire="Vertex AI",
    address="project and location: not every model is served in every location",
)
_DURATION = re.compile(r"(\d{1,12}(?:\.\d+)?)s")


def gemini_error(
    status: int,
    body: bytes | Mapping[str, Any],
    *,
    model: str,
    server: str,
    hints: Hints,
    retry_after: float | None = None,
    secrets: Collection[str] = (),
    partial: str = "",
) -> ModelError:
    """The error for an answer with this status and body; see `errors.model_error`.

    Without a `Retry-After` header (`retry_after`, in seconds) the wait is the `RetryInfo` in the body, as
    https://cloud.google.com/apis/design/errors has it.
    """
    return model_error(
        status,
        body,
        model=model,
        server=server,
        retry_after=_asked(body) if retry_after is None else retry_after,
        secrets=secrets,
        partial=partial,
        hints=hints,
    )


def _asked(body: bytes | Mapping[str, Any]) -> float | None:
    if isinstance(body, bytes):
        try:
            parsed: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
    else:
        parsed = body
    if isinstance(parsed, list):
        parsed = next(iter(cast("list[object]", parsed)), None)
    for detail in tables(table(table(parsed).get("error")).get("details")):
        found = _DURATION.fullmatch(text_of(detail.get("retryDelay")))
        if found and math.isfinite(float(found[1])):
            return min(float(found[1]), MAX_WAIT)
    return None
