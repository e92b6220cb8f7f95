"""The client of MCP servers (Model Context Protocol): tools, resources and prompts of others, as ours.

`MCPTools` is the whole of what users need. It stands on the official SDK (extra `mcp`, loaded when a server is entered)
for the wire, and on `DescribedTool` for the `Tool` port. It knows no agent and no run: calls reach it through the port,
behind the gate, like those of any other tool.
"""

from __future__ import annotations

from .catalog import Prompt, Resource
from .client import MCPTools, together
from .options import Elicitation, MCPOptions
from .servers import MCPServer

__all__ = ["Elicitation", "MCPOptions", "MCPServer", "MCPTools", "Prompt", "Resource", "together"]
