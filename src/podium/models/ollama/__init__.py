"""Ollama: models that run on this machine, or on a server of one's own."""

from .model import OllamaModel

__all__ = ["OllamaModel"]
