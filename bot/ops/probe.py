"""Asks a running bot whether it is ready: `python -m bot health`, or `python -m bot.ops.probe`, which starts sooner.

It looks where HEALTH_ADDRESS says, prints what the bot answers, and ends with 0 if that is ready, 1 if not.
"""

import http.client
import sys
from collections.abc import Mapping
from typing import Final

from bot.errors import SettingsError
from bot.settings import Address, environment, read_one

TIMEOUT_S: Final = 5.0
BODY_LIMIT_BYTES: Final = 64 * 1024
ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what it means is the point
"""Where to ask a bot that listens everywhere."""


def run(environ: Mapping[str, str]) -> int:
    """The exit code."""
    try:
        address = read_one("HEALTH_ADDRESS", environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not isinstance(address, Address):
        sys.stderr.write("HEALTH_ADDRESS is not set, so the bot does not tell how it is\n")
        return 1
    return _ask(address)


def _ask(address: Address) -> int:
    connection = http.client.HTTPConnection(ANY.get(address.host, address.host), address.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(BODY_LIMIT_BYTES)
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer from {address}: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(body.decode("utf-8", "replace"))
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(run(environment()))
