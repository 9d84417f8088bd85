"""MiniToolAI on loopback: the documented API, scriptable for tests, with an honest simulation behind it."""

from sandbox.minitoolai.script import Received, Script, Tokens
from sandbox.minitoolai.server import MiniToolAIServer

__all__ = ["MiniToolAIServer", "Received", "Script", "Tokens"]
