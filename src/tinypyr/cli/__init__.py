"""The command line tool ``tinypyr``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import _demo


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of the command. The default is ``sys.argv[1:]``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo"]:
        return _demo.main(arguments)
    try:
        from . import _commands
    except KeyboardInterrupt:
        print("tinypyr: interrupted", file=sys.stderr)
        return 130
    except ImportError as error:  # (a plain install has neither click nor rich)
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        if not arguments or arguments[0].startswith("-"):
            return _demo.main(arguments)
        print(f'tinypyr: {arguments[0]} requires pip install "tinypyr[store]"', file=sys.stderr)
        return 1
    return _commands.main(arguments)
