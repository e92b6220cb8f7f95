"""OpenAI, and every server that speaks one of its two wires: Chat Completions and Responses."""

from .model import OpenAIModel

__all__ = ["OpenAIModel"]
