"""A server on the official SDK, for the newest revision and what only it has: `sdk_server.py stdio|http|sse [PORT]`."""

import sys
import warnings
from typing import Annotated

import mcp_types
from mcp.server import MCPServer
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from pydantic import BaseModel

warnings.simplefilter("ignore")  # it uses what is deprecated too, as servers do
server = MCPServer("sdk", instructions="Ask for \u200bone thing at a time.")


class Size(BaseModel):
    size: str = "M"


class Weather(BaseModel):
    celsius: float
    wind: str


@server.tool(annotations=mcp_types.ToolAnnotations(read_only_hint=True))
def weather(city: str) -> Weather:
    """The weather of a city."""
    return Weather(celsius=21.5, wind=f"calm in {city}")


@server.tool()
async def knit(ctx: Context) -> str:
    """Knit something, and ask for its size."""
    await ctx.report_progress(1, 4, "yarn\nfound")
    answer = await ctx.elicit("Which size?", Size)
    return f"{answer.action} {answer.data.size if answer.action == 'accept' else '-'}"


async def ask_size() -> Elicit[Size]:
    return Elicit("Which size?", Size)


async def ask_poem() -> Sample:
    words = mcp_types.TextContent(type="text", text="Write of yarn.")
    return Sample([mcp_types.SamplingMessage(role="user", content=words)], max_tokens=50)


async def ask_roots() -> ListRoots:
    return ListRoots()


@server.tool()
async def fit(size: Annotated[ElicitationResult[Size], Resolve(ask_size)]) -> str:
    """Fit something to a size that is asked for; at every revision."""
    return f"{size.action} {size.data.size if isinstance(size, AcceptedElicitation) else '-'}"


@server.tool()
async def poem(text: Annotated[mcp_types.CreateMessageResult, Resolve(ask_poem)]) -> str:
    """Have the client's model write a poem."""
    return text.content.text if isinstance(text.content, mcp_types.TextContent) else ""


@server.tool()
async def folders(roots: Annotated[mcp_types.ListRootsResult, Resolve(ask_roots)]) -> str:
    """The folders it may work in."""
    return " ".join(str(root.uri) for root in roots.roots)


@server.tool(structured_output=False)
def picture() -> list[object]:
    """A picture, with words."""
    return ["a dot", Image(data=b"\x89PNG dot", format="png")]


@server.tool()
async def grow(ctx: Context) -> str:
    """Add a tool to this server."""
    server.add_tool(lambda: "grown", name="grown", description="It was not there before.")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "one more"


@server.resource("shop://catalogue", name="catalogue", description="All things.")
def catalogue() -> str:
    return "yarn, needles"


@server.resource("shop://item/{kind}/{number}", name="item")
def item(kind: str, number: str) -> str:
    return f"{kind} number {number}"


@server.resource("shop://logo", name="logo", mime_type="image/png")
def logo() -> bytes:
    return b"\x89PNG"


@server.prompt()
def haggle(thing: str) -> str:
    """How to ask for less."""
    return f"Ask for a better price of {thing}."


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    elif sys.argv[1] == "http":
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run("sse", host="127.0.0.1", port=int(sys.argv[2]))
