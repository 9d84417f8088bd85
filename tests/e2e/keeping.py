"""The bot's extensions, executed once a process, as they are where the bot serves people.

discord.py executes an extension's module anew for each bot that loads it. A process has one bot, but a worker of the
tests starts hundreds, and this would be a quarter of what their starts take.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from bot.client import EXTENSIONS


class _Once(Loader):
    """Executes the module that it finds nowhere in `kept`."""

    def __init__(self, found: ModuleSpec, kept: dict[str, ModuleType]) -> None:
        self._found = found
        self._kept = kept

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._kept.get(spec.name) or module_from_spec(self._found)

    def exec_module(self, module: ModuleType) -> None:
        if self._kept.get(module.__name__) is not module:
            assert self._found.loader is not None
            self._found.loader.exec_module(module)
            self._kept[module.__name__] = module


class _Extensions(MetaPathFinder):
    def __init__(self) -> None:
        self._kept: dict[str, ModuleType] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target) if fullname in EXTENSIONS else None
        return found and spec_from_loader(fullname, _Once(found, self._kept), origin=found.origin)


@contextmanager
def extensions_kept() -> Iterator[None]:
    """Inside, a module of an extension that has been taken from `sys.modules` comes back as it was."""
    finder = _Extensions()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
