"""The command ``tinypyr``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import _demo


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with the given arguments (default: the process's) and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["demo"]:
        return _demo.main(words)
    try:
        from . import _commands
    except KeyboardInterrupt:
        print("tinypyr: interrupted", file=sys.stderr)
        return 130
    except ImportError as error:  # (a plain install has neither click nor what the commands are for)
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        if not words or words[0].startswith("-"):
            return _demo.main(words)
        print(f'tinypyr: {words[0]} needs more than a plain install: pip install "tinypyr[store]"', file=sys.stderr)
        return 1
    return _commands.main(words)
