"""OpenAI Chat Completions as a pure codec: our request to a body, a body or a stream to our reply. No I/O.

It serves every server that speaks this dialect (vLLM, Ollama, Groq, OpenRouter, DeepSeek, llama.cpp, Azure, ...). The
two directions are `chat_request` and `chat_reply`, and this is their one door. It does not know addresses, keys,
retries or prices.

The wire: https://platform.openai.com/docs/api-reference/chat (as of 2026-11).
"""

from .chat_reply import ChatStream, decode_reply, usage_of
from .chat_request import OPENAI, PROVIDER, ChatDialect, encode_request
from .shapes import strict_ready

__all__ = [
    "OPENAI",
    "PROVIDER",
    "ChatDialect",
    "ChatStream",
    "decode_reply",
    "encode_request",
    "strict_ready",
    "usage_of",
]
