"""What a server may ask of us in the middle of a call: a person's answer, a model's text, the folders to work in.

Each is declined, and not even announced as possible, unless the user gave a handler. A handler's failure declines too:
a server must not learn more from our errors than from our answers.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from .options import Elicit, Elicitation, Options, Sample
from .wording import clean

MODEL: Final = "unnamed"
"""What a server is told about the model that answered: nothing."""
_log = logging.getLogger("podium")


def callbacks(options: Options) -> dict[str, Any]:
    """The SDK client's callback arguments for what the user allows."""
    given: dict[str, Any] = {}
    if options.elicit is not None:
        given["elicitation_callback"] = _elicitation(options.name, options.elicit)
    if options.sample is not None:
        given["sampling_callback"] = _sampling(options.name, options.sample)
    if options.roots:
        given["list_roots_callback"] = _roots([_uri(root) for root in options.roots])
    return given


def _elicitation(server: str, handler: Elicit) -> Any:
    from mcp_types import ElicitRequestURLParams, ElicitResult

    async def answer(_context: Any, params: Any) -> Any:
        if isinstance(params, ElicitRequestURLParams):
            question = Elicitation(message=clean(params.message), url=params.url)
        else:
            question = Elicitation(message=clean(params.message), schema=params.requested_schema)
        try:
            content = await handler(question)
        except Exception as error:  # noqa: BLE001  (a handler that fails has answered nothing)
            _log.warning("elicit= of MCP server %r failed, so its question is declined: %s", server, error)
            content = None
        if content is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=None if question.url is not None else content)

    return answer


def _sampling(server: str, handler: Sample) -> Any:
    from mcp_types import INVALID_REQUEST, CreateMessageResult, ErrorData, TextContent

    async def answer(_context: Any, params: Any) -> Any:
        try:
            text = await handler(params.model_dump(mode="json", by_alias=True, exclude_none=True))
        except Exception as error:  # noqa: BLE001  (as above)
            _log.warning("sample= of MCP server %r failed, so its request is declined: %s", server, error)
            return ErrorData(code=INVALID_REQUEST, message="Sampling declined")
        content = TextContent(type="text", text=text)
        return CreateMessageResult(role="assistant", content=content, model=MODEL, stop_reason="endTurn")

    return answer


def _roots(uris: list[str]) -> Any:
    from mcp_types import ListRootsResult, Root

    async def answer(_context: Any) -> Any:
        return ListRootsResult(roots=[Root.model_validate({"uri": uri}) for uri in uris])

    return answer


def _uri(root: str | Path) -> str:
    return root if isinstance(root, str) and root.startswith("file:") else Path(root).resolve().as_uri()
