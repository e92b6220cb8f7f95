"""OpenAPI documents as tools: each operation of a described HTTP API becomes a `DescribedTool` (extra `openapi`).

    document     a source to a checked, bounded document and its local references
    schemas      OpenAPI's schema objects (3.0 and 3.1) to JSON Schema 2020-12
    operations   what one operation takes, where that goes in the request, and which credentials it asks for
    styles       values to path segments, query strings, headers and cookies
    bodies       values to request bodies
    credentials  secrets of the user's, put into requests and taken out of everything that comes back
    wire         one request, one attempt: bounds, redirects, private addresses, and what a failure means
    loading      all of it together: `OpenAPITools`

It knows no agent and no run; the gate stands before it as before every tool.
"""

from .credentials import Credential
from .loading import OpenAPITools

__all__ = ["Credential", "OpenAPITools"]
