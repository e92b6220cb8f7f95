"""OpenAI Responses as a pure codec: our request to a body, a body or a stream to our reply. No I/O.

Nothing is kept at the server (`store` is false): each request carries the whole conversation, and reasoning goes back
encrypted, because the run's journal is the state. The two directions are `responses_request` and `responses_reply`, and
this is their one door. It does not know addresses, keys, retries or prices.

The wire: https://platform.openai.com/docs/api-reference/responses (as of 2026-11).
"""

from .responses_reply import HINTS, ResponsesStream, decode_reply, usage_of
from .responses_request import PROVIDER, RESPONSES, ResponsesDialect, encode_request

__all__ = [
    "HINTS",
    "PROVIDER",
    "RESPONSES",
    "ResponsesDialect",
    "ResponsesStream",
    "decode_reply",
    "encode_request",
    "usage_of",
]
