"""`podium review`: what a code review looks at, what analysers find in it, and how the outcome is reported.

The lower half is synchronous and knows no agents: `change` (values), `diff` (text to values), `patch` (and back), `git`
and `pull_request` (where changes come from), `bounds` (what is left out), `checks`, `credentials`, `risks` and `ruff`
(analysers), `findings` (merging and ranking), `outcome` and `report` (what the reader gets). The team that reasons
over them stands above.
"""
