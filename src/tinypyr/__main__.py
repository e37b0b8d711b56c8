"""``python -m tinypyr``: the same as the command ``tinypyr``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
