"""A hook of the wrong form."""

from podium import Context, member


@member
async def team(ctx: Context, input: str) -> str:
    """Nothing."""
    return input


async def effects(world: str) -> list[str]:
    """Not a plain function."""
    return []
