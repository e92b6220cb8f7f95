"""Anthropic's Claude, and every server that speaks the Messages API."""

from .model import ClaudeModel

__all__ = ["ClaudeModel"]
