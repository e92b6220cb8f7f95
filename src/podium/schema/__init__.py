"""A typed function or a type to a JSON Schema and a validator.

Tools describe their arguments with it and agents their outputs; it knows neither. Two engines stand behind one face:
msgspec for everything it supports, and Pydantic, imported only then, for a parameter or type that uses Pydantic or that
msgspec does not know (docs/decisions/0003-msgspec-inside-pydantic-at-the-edge.md). Nothing is compiled before its first
use, so that a decorator costs microseconds.

Values arrive as a model wrote them. Exact types are tried first; then what is lossless is accepted ("3" for an integer,
3.0 for 3, "true" for a boolean). What leaves is plain JSON that the journal can hold: finite numbers, integers of 64
bits, well-formed text.

Begin with `signature` (functions) or `output` (answers); below them `arguments`, `engines`, `hints` and `json_schema`;
`plain` writes values; `problems` says what is wrong with one. `foreign` stands apart: it checks values against schemas
that somebody else wrote (MCP, OpenAPI), and loads only when such a one comes.
"""

from .docstring import parse_docstring
from .hints import type_name
from .output import ANSWER_CHARACTERS, OutputType, output_type
from .plain import dump
from .problems import ADVICE, MESSAGE_CHARACTERS, PROBLEMS
from .signature import ArgumentSchema, local_names, return_type, signature_schema
from .terms import Hint, Json, JsonSchema

__all__ = [
    "ADVICE",
    "ANSWER_CHARACTERS",
    "MESSAGE_CHARACTERS",
    "PROBLEMS",
    "ArgumentSchema",
    "Hint",
    "Json",
    "JsonSchema",
    "OutputType",
    "dump",
    "local_names",
    "output_type",
    "parse_docstring",
    "return_type",
    "signature_schema",
    "type_name",
]
