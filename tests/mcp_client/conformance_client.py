"""The program that the official conformance suite drives: Podium's MCP client, doing what each scenario asks for.

The suite appends the address of its server, and names the scenario in MCP_CONFORMANCE_SCENARIO; secrets it gives out
come in MCP_CONFORMANCE_CONTEXT. What is judged is what arrives at its server.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from podium.ports import ToolContext
from podium.tools.mcp import Elicitation, MCPTools

REDIRECT = AnyUrl("http://localhost:3000/callback")
IDENTITY = "https://conformance-test.local/client-metadata.json"
"""The address that the suite takes for a client which brings its own metadata."""


class Storage:
    """Tokens, in memory."""

    def __init__(self, client: OAuthClientInformationFull | None = None) -> None:
        self.tokens: OAuthToken | None = None
        self.client = client

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Person:
    """Who logs in: opens the address, and is sent back at once with a code."""

    def __init__(self) -> None:
        self.sent_to = ""

    async def opens(self, url: str) -> None:
        async with httpx2.AsyncClient() as browser:
            self.sent_to = (await browser.get(url)).headers["location"]

    async def comes_back(self) -> AuthorizationCodeResult:
        found = {key: values[0] for key, values in parse_qs(urlsplit(self.sent_to).query).items()}
        return AuthorizationCodeResult(code=found["code"], state=found.get("state"), iss=found.get("iss"))


def as_person(url: str, given: dict[str, Any]) -> httpx2.Auth:
    registered = None
    if "client_id" in given:
        registered = OAuthClientInformationFull(
            client_id=given["client_id"],
            client_secret=given.get("client_secret"),
            redirect_uris=[REDIRECT],
            token_endpoint_auth_method="client_secret_basic",  # how its server registered it
        )
    person = Person()
    return OAuthClientProvider(
        url,
        OAuthClientMetadata(client_name="podium", redirect_uris=[REDIRECT]),
        Storage(registered),
        person.opens,
        person.comes_back,
        client_metadata_url=IDENTITY,
    )


async def token_of_identity(given: dict[str, Any], issuer: str, resource: str) -> str:
    """Exchange the identity provider's token for one that is meant for the server's issuer (RFC 8693)."""
    async with httpx2.AsyncClient() as browser:
        answer = await browser.post(
            given["idp_token_endpoint"],
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
                "subject_token": given["idp_id_token"],
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                "client_id": given["idp_client_id"],
                "audience": issuer,
                "resource": resource,
            },
        )
        return answer.raise_for_status().json()["access_token"]


async def as_company(url: str, given: dict[str, Any]) -> httpx2.Auth:
    parts = urlsplit(url)
    async with httpx2.AsyncClient() as browser:
        where = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"
        issuer = (await browser.get(where)).raise_for_status().json()["authorization_servers"][0]

    async def exchanged(audience: str, resource: str) -> str:
        return await token_of_identity(given, audience, resource)

    return IdentityAssertionOAuthProvider(
        url,
        Storage(),
        given["client_id"],
        given["client_secret"],
        issuer,
        exchanged,
        token_endpoint_auth_method="client_secret_basic",
    )


async def logged_in(scenario: str, url: str, given: dict[str, Any]) -> httpx2.Auth | None:
    if not scenario.startswith("auth/"):
        return None
    if scenario == "auth/client-credentials-basic":
        return ClientCredentialsOAuthProvider(url, Storage(), given["client_id"], given["client_secret"])
    if scenario == "auth/client-credentials-jwt":
        key = SignedJWTParameters(
            issuer=given["client_id"],
            subject=given["client_id"],
            signing_algorithm=given["signing_algorithm"],
            signing_key=given["private_key_pem"],
        )
        return PrivateKeyJWTOAuthProvider(url, Storage(), given["client_id"], key.create_assertion_provider())
    if scenario == "auth/cross-app-access-complete-flow":
        return await as_company(url, given)
    return as_person(url, given)


class Listening(logging.Handler):
    """Knows when the stream for the server's own messages is open, from the log of the HTTP client."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.open = asyncio.Event()
        logging.getLogger("httpx2").addHandler(self)
        logging.getLogger("httpx2").setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        if "GET" in record.getMessage():
            self.open.set()


async def accept_defaults(question: Elicitation) -> dict[str, Any]:
    properties = question.schema.get("properties", {})
    return {name: field["default"] for name, field in properties.items() if "default" in field}


async def main() -> None:
    scenario, url = os.environ["MCP_CONFORMANCE_SCENARIO"], sys.argv[-1]
    auth = await logged_in(scenario, url, json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}"))
    listening = Listening()
    async with MCPTools(url, auth=auth, elicit=accept_defaults, name="suite") as server:
        if scenario == "sse-retry":
            # Its server takes any GET that comes during a call for the reconnection it judges, and a client may open
            # its listening stream whenever it likes. So here the call waits until that stream is open.
            await asyncio.wait_for(listening.open.wait(), 30)
        for tool in server.tools:
            args = {"a": 5, "b": 3} if tool.name == "add_numbers" else {}
            await tool.invoke(tool.resolve(args), ToolContext(run_id="suite", key=tool.name))


if __name__ == "__main__":
    asyncio.run(main())
