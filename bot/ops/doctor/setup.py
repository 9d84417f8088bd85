"""The settings as the doctor reads them: one by one, so that one mistake does not keep it from looking at the rest."""

import difflib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values

from bot.catalog import Catalog
from bot.credits.policy import OperatorLimits
from bot.errors import BotError, SettingsError, UnknownModel
from bot.ops.doctor.findings import Finding
from bot.settings import VARIABLES, Settings, environment

ENV_FILE: Final = ".env"
_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, kw_only=True)
class Setup:
    """`values` has every setting that can be read, by its field; one that is missing or wrong is absent."""

    folder: Path
    environ: Mapping[str, str]
    values: Mapping[str, Any]
    file_problem: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "Setup":
        """The environment with the `.env` of `folder` below it, as far as that can be read."""
        file_problem = None
        try:
            environ = environment(folder)
        except SettingsError as error:
            environ, file_problem = dict(os.environ), f"{error}."
        except OSError as error:
            environ, file_problem = dict(os.environ), f"{folder / ENV_FILE} cannot be read: {error.strerror}."
        values = {}
        for variable in VARIABLES:
            try:
                values[variable.field] = variable.read(environ)
            except ValueError:
                continue  # `settings_findings` tells
        return cls(folder=folder, environ=environ, values=values, file_problem=file_problem)


async def file_findings(setup: Setup) -> Sequence[Finding]:
    """The `.env` file: whether it is there, can be read, is spelt right, and is its owner's alone."""
    file = setup.folder / ENV_FILE
    if setup.file_problem is not None:
        cure = "Make it a plain text file in UTF-8 that the bot's user may read."
        return [Finding(check=ENV_FILE, level="problem", what=setup.file_problem, cure=cure)]
    if not file.is_file():
        what = f"There is no {file}: every setting comes from the environment."
        return [Finding(check=ENV_FILE, level="note", what=what, cure=_copy_the_example(setup))]
    findings = [*_misspelt(file), *_open_to_others(file)]
    return findings or [Finding(check=ENV_FILE, level="ok", what=f"{file} can be read.")]


def _copy_the_example(setup: Setup) -> str | None:
    if {"discord_token", "minitoolai_api_key"} <= setup.values.keys():
        return None
    return f"Copy .env.example to {ENV_FILE} in that folder, fill in what is required, and start the bot there."


def _misspelt(file: Path) -> list[Finding]:
    """Names that mean nothing to the bot, but look like one that does."""
    known = [variable.name for variable in VARIABLES]
    findings = []
    for name in dotenv_values(file, interpolate=False, encoding="utf-8-sig"):
        close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
        if name not in known and close:
            what = f"{name} in {file} is no setting of the bot, so it changes nothing."
            findings.append(Finding(check=ENV_FILE, level="warning", what=what, cure=f"Did you mean {close[0]}?"))
    return findings


def _open_to_others(file: Path) -> list[Finding]:
    if os.name != "posix" or not file.stat().st_mode & _OPEN_TO_OTHERS:
        return []
    what = f"Other users of this machine may read {file}, with the token and the key in it."
    return [Finding(check=ENV_FILE, level="note", what=what, cure=f"chmod 600 {file}")]


async def settings_findings(setup: Setup) -> Sequence[Finding]:
    """Everything that would keep the bot from starting, each mistake by itself; then the catalogue."""
    problems: list[str] = []
    try:
        settings = Settings.load(setup.environ)
        OperatorLimits.load(settings)
    except SettingsError as error:
        problems += error.problems
    cure = f"Correct it in {ENV_FILE} or in the environment; .env.example explains each variable."
    findings = [
        Finding(check="settings", level="problem", what=f"{problem.rstrip('.')}.", cure=cure) for problem in problems
    ]
    if not findings:
        findings = [Finding(check="settings", level="ok", what=f"All {len(VARIABLES)} settings can be used.")]
    return findings


async def catalog_findings(setup: Setup) -> Sequence[Finding]:
    """The models: the shipped file, the operator's over it, and whether the default is among them."""
    if "catalog_file" not in setup.values:
        return [Finding(check="catalogue", level="note", what="Not looked at: CATALOG_FILE has to be corrected first.")]
    override: Path | None = setup.values["catalog_file"]
    try:
        catalog = Catalog.load(override)
        default = setup.values.get("default_model")
        model = catalog.default if default is None else catalog.chat_model(default)
    except SettingsError as error:
        cure = "Correct that file; bot/catalog.toml shows its form." if override else "Install the bot's files anew."
        return [Finding(check="catalogue", level="problem", what=f"{p}.", cure=cure) for p in error.problems]
    except UnknownModel as error:
        what = f"DEFAULT_MODEL names {error.model!r}, which the catalogue does not have."
        return [
            Finding(check="catalogue", level="problem", what=what, cure=f"Set it to one of {', '.join(error.known)}.")
        ]
    except (OSError, BotError) as error:
        cure = "Let the bot's user read CATALOG_FILE."
        return [Finding(check="catalogue", level="problem", what=f"The catalogue cannot be read: {error}.", cure=cure)]
    count = f"{len(catalog.chat_models)} models for answers, {len(catalog.image_models)} for pictures"
    return [Finding(check="catalogue", level="ok", what=f"{count}; {model.id} answers when none is chosen.")]
