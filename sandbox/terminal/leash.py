"""`python -m sandbox.terminal.leash MODULE` is `python -m MODULE`, and ends with who started it, however that ended.

Its standard input is a pipe into which nobody writes. When the other end is gone it gets SIGTERM, as from anybody who
wants it to end in order.
"""

import contextlib
import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Become the module that the first argument names, as the main program, on the leash."""
    threading.Thread(target=_held, name="the leash", daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _held() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4_096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
