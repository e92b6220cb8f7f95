"""Other frameworks beside ours: `run` starts their scripts, each in an environment of its own."""
