"""The command ``closedform``.

Exit codes: 0 done, 1 failed (with one sentence), 2 wrong usage, 130 interrupted.  Of ``explain`` and
``check`` every failure is 2, since 1 is the verdict of ``check`` that something is wrong.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_ours:  # while Python imports, Ctrl-C ends it without more words: there is nothing to save
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from closedform.cli.command import run
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(arguments)
