"""Markdown answers in pieces that Discord can show. `Pages` grows with the stream; `split` is for whole texts."""

from bot.answers.markdown.harmless import harmless
from bot.answers.markdown.pages import Pages, split
from bot.answers.markdown.reading import reopening

__all__ = ["Pages", "harmless", "reopening", "split"]
