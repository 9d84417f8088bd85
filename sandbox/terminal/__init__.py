"""A conversation with the bot in a terminal: what `python -m sandbox` shows."""
