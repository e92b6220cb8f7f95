"""One module a group of figures. `FIGURES` says where each is; a figure is imported in the process that measures it."""

FIGURES: dict[str, str] = {
    "import": "figures.imports:importing",
    "install": "figures.imports:install",
    "turn": "figures.turns:in_memory",
    "durable": "figures.turns:durable",
    "resume": "figures.turns:resume",
    "fanout": "figures.shapes_of_runs:fanout",
    "chain": "figures.shapes_of_runs:chain",
    "message": "figures.shapes_of_runs:message",
    "concurrent": "figures.many:concurrent",
    "suspended": "figures.many:suspended",
    "gate": "figures.parts:gate",
    "policy": "figures.policy:policy",
    "store": "figures.parts:store",
    "syncs": "figures.parts:syncs",
}
"""Figure to `module:function`, in the order in which they are run."""

ON_REQUEST = frozenset({"install"})
"""Figures that are only run when they are named: this one needs a package index."""
