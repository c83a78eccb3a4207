"""The command ``closedform``.

Exit codes: 0 done, 1 failed (with one sentence), 2 wrong usage, 130 interrupted.  Of ``explain`` and
``check`` every failure is 2, since 1 is the verdict of ``check`` that something is wrong.
"""

from closedform.cli.command import main

__all__ = ["main"]
