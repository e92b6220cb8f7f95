"""A tool that asks a person first.

Run it, and it stops before the refund. Approve, and run it again: it goes on where it stood.

    python examples/approval.py
    podium approve refund-A17 --no-resume
    python examples/approval.py
"""

from podium import Agent, Podium, tool


@tool(effect="write", approval="always")
def refund(order: str) -> str:
    """Pay the price of an order back."""
    return f"refunded {order}"


clerk = Agent("clerk", "offline", [refund])
if __name__ == "__main__":
    app = Podium(".podium/podium.db")
    result = clerk.run_sync("Refund order A17", app=app, run_id="refund-A17")
    for item in result.pending:
        print(item.prompt, item.args)
    print(result.status)
