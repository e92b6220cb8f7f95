"""What a store promises about sessions: conversations that grow by records, branch, and carry labels."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import pytest

from podium.core.codec import encode
from podium.core.errors import ConfigurationError
from podium.core.labels import TRUSTED, Label, untrusted
from podium.core.messages import user
from podium.ports import SessionEntry, Store, Writer

from .moves import driven, step, write


class SessionPromises:
    """Sessions and their branches."""

    async def _talk(self, store: Store, writer: Writer, session: str, *texts: str, label: Label | None = None) -> None:
        row = await store.row("r")
        assert row is not None
        writer.attach(SessionEntry(session, "r", tuple(encode(user(text)) for text in texts), 10.0 + row.seq, label))
        await write(writer, step("said"))

    async def _texts(self, store: Store, session: str, start: int = 0, stop: int = 1000) -> list[str]:
        return [message.text for message in await store.history(session, start, stop)]

    async def test_a_session_grows_by_what_runs_say(self, store: Store) -> None:
        _, writer = await driven(store)
        await self._talk(store, writer, "s", "a", "b")
        await self._talk(store, writer, "s", "c")
        row = await store.session("s")
        assert row is not None
        assert (row.id, row.messages, row.parent, row.created, row.updated) == ("s", 3, "", 11.0, 12.0)
        assert await self._texts(store, "s") == ["a", "b", "c"]

    async def test_a_session_knows_which_run_said_what_and_when(self, store: Store) -> None:
        _, writer = await driven(store)
        await self._talk(store, writer, "s", "a", "b")
        await self._talk(store, writer, "s", "c", label=untrusted("mail"))
        await store.branch_session("s", 1, "t")
        whole = [(t.run, t.at, t.start, [m.text for m in t.messages], t.label) for t in await store.turns("s")]
        assert whole == [("r", 11.0, 0, ["a", "b"], None), ("r", 12.0, 2, ["c"], untrusted("mail"))]
        assert [(t.start, [m.text for m in t.messages]) for t in await store.turns("t")] == [(0, ["a"])]
        assert await store.turns("nobody") == []

    async def test_any_stretch_of_a_session_can_be_read(self, store: Store) -> None:
        _, writer = await driven(store)
        everything = list("abcdefg")
        for texts in ("ab", "c", "defg"):
            await self._talk(store, writer, "s", *texts)
        for start in range(9):
            for stop in range(9):
                assert await self._texts(store, "s", start, stop) == everything[start:stop]

    async def test_a_session_nobody_spoke_in_is_empty(self, store: Store) -> None:
        assert await store.session("s") is None
        assert await self._texts(store, "s") == []
        assert await store.session_label("s", 0, 10) == TRUSTED
        assert await store.session_rows() == []

    async def test_a_branch_begins_with_the_messages_before_it_and_grows_alone(self, store: Store) -> None:
        _, writer = await driven(store)
        await self._talk(store, writer, "s", "a", "b", "c")
        await self._talk(store, writer, "s", "d")
        for upto in range(5):
            await store.branch_session("s", upto, f"branch{upto}")
            await self._talk(store, writer, f"branch{upto}", "x", "y")
            assert await self._texts(store, f"branch{upto}") == [*"abcd"[:upto], "x", "y"]
            assert await self._texts(store, f"branch{upto}", upto - 1, upto + 1) == (
                ["x"] if upto == 0 else ["abcd"[upto - 1], "x"]
            )
        assert await self._texts(store, "s") == ["a", "b", "c", "d"]
        row = await store.session("branch2")
        assert row is not None
        assert (row.parent, row.messages) == ("s", 4)

    async def test_branches_of_branches_keep_their_own_past(self, store: Store) -> None:
        _, writer = await driven(store)
        await self._talk(store, writer, "s", "a", "b", "c")
        await store.branch_session("s", 2, "t")
        await self._talk(store, writer, "t", "x")
        await store.branch_session("t", 1, "u")
        await self._talk(store, writer, "u", "y")
        await self._talk(store, writer, "s", "d")
        assert await self._texts(store, "u") == ["a", "y"]
        assert await self._texts(store, "t") == ["a", "b", "x"]
        assert await self._texts(store, "s") == ["a", "b", "c", "d"]

    async def test_branching_twice_is_harmless_until_something_was_said(self, store: Store) -> None:
        _, writer = await driven(store)
        await self._talk(store, writer, "s", "a", "b")
        await store.branch_session("s", 1, "t")
        await store.branch_session("s", 1, "t")
        assert await self._texts(store, "t") == ["a"]
        await self._talk(store, writer, "t", "x")
        with pytest.raises(ConfigurationError, match="exists already"):
            await store.branch_session("s", 1, "t")

    async def test_a_branch_needs_a_session_that_is_long_enough(self, store: Store) -> None:
        _, writer = await driven(store)
        await self._talk(store, writer, "s", "a")
        with pytest.raises(ConfigurationError, match="no session"):
            await store.branch_session("nobody", 0, "t")
        with pytest.raises(ConfigurationError, match="1 messages, not 2"):
            await store.branch_session("s", 2, "t")

    async def test_the_label_of_a_stretch_joins_what_it_holds(self, store: Store) -> None:
        _, writer = await driven(store)
        web = untrusted("tool:web")
        await self._talk(store, writer, "s", "a")
        await self._talk(store, writer, "s", "b", "c", label=web)
        await self._talk(store, writer, "s", "d")
        assert await store.session_label("s", 0, 1) == TRUSTED
        assert await store.session_label("s", 0, 2) == web
        assert await store.session_label("s", 2, 4) == web
        assert await store.session_label("s", 3, 4) == TRUSTED
        assert await store.session_label("s", 4, 9) == TRUSTED
        await store.branch_session("s", 2, "t")
        assert await store.session_label("t", 0, 2) == web

    async def test_sessions_are_listed_most_recently_used_first(self, store: Store) -> None:
        _, writer = await driven(store)
        for session in ("a", "b", "c", "a"):
            await self._talk(store, writer, session, "x")
        assert [row.id for row in await store.session_rows()] == ["a", "c", "b"]
        assert [row.id for row in await store.session_rows(limit=1)] == ["a"]
