"""Hello in four lines. No key, no network: `python examples/hello.py`."""

from podium import Agent

greeter = Agent("greeter", model="offline", system_prompt="You greet people.")
result = greeter.run_sync("Good morning, I am Ada.")
print(result.output)
