"""MiniToolAI on loopback: the documented API, scriptable for tests, with an honest simulation behind it."""

from sandbox.minitoolai.picture_script import PictureOrder, PictureScript, Served, Turn
from sandbox.minitoolai.script import Received, Script, Tokens
from sandbox.minitoolai.server import MiniToolAIServer

__all__ = ["MiniToolAIServer", "PictureOrder", "PictureScript", "Received", "Script", "Served", "Tokens", "Turn"]
