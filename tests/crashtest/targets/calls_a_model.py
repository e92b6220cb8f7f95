"""An agent that would call a provider; what it gets instead ends the uninterrupted run."""

from podium import Agent, OpenAIModel

team = Agent("team", model=OpenAIModel("gpt", base_url="http://models.invalid/v1", api_key="not-a-key"))
