"""The one interpreter: it drives members, performs their actions through the gate, and journals what came of them.

Read in this order: `scope` (keys and positions), `pump` (in which order receipts reach the member), `replay` (what a
resumed run already knows), `run` (one drive of one run: journal, mail, waits, suspension), `step` (an awaitable
action), then one module for each sort of action (`calls`, `models`, `tools`, `waits`, `reads`), `context` (what members
see), `branches`, and `driver` (leases and the life of a drive). It meets stores, models, tools and the gate through
`podium.ports` only.
"""
