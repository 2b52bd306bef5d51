"""Runs one command for as long as somebody holds the other end of its standard input. Standard library only.

    python -I devserver_guard.py COMMAND...

Prints the command's process id, then waits. When the parent dies, however it dies, its end of the pipe
closes and the command is stopped: no server is left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

GRACE_S = 3.0


def main(command: list[str]) -> int:
    """Run `command`; its exit status, 128 + the number of the signal that ended it."""
    with subprocess.Popen(  # noqa: S603 (the command comes from devserver.py)
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:

        def stop_with_parent() -> None:
            # Not sys.stdin: its lock, held by a waiting thread, makes the interpreter abort at its end.
            while os.read(0, 1024):
                pass
            child.terminate()
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()

        print(child.pid, flush=True)
        threading.Thread(target=stop_with_parent, daemon=True).start()
        status = child.wait()
        return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
