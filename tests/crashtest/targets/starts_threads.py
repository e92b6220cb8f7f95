"""A module that is not still when it is imported."""

import threading

from podium import Context, member

threading.Thread(target=threading.Event().wait, daemon=True, name="busy").start()


@member
async def team(ctx: Context, input: str) -> str:
    """Nothing."""
    return input
