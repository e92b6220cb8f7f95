"""Values and pure functions: messages, actions, records, run state, keys, labels, usage, errors.

Nothing here performs I/O, reads a clock or knows asyncio. Standard library and msgspec only; every other part of
Podium stands on this package and it stands on none of them.
"""
