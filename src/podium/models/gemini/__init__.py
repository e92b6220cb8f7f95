"""Google's models on one wire, `generateContent`: at the Gemini API, and in a Google Cloud project (Vertex AI)."""

from .model import GeminiModel
from .vertex import VertexModel

__all__ = ["GeminiModel", "VertexModel"]
