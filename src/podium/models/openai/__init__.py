"""OpenAI, and every server that speaks one of its two wires: Chat Completions and Responses."""

from .model import OpenAIModel, OpenAIResponsesModel

__all__ = ["OpenAIModel", "OpenAIResponsesModel"]
