"""Azure OpenAI: the two wires of `models.openai` at Azure's addresses, with Azure's credentials."""

from .model import AzureOpenAIModel

__all__ = ["AzureOpenAIModel"]
