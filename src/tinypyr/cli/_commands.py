"""The group of all commands, and the one-line errors of their arguments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from .. import __version__
from . import _apply, _demo, _store
from ._click import HELP, Command, Commands


@click.group(
    cls=Commands,
    help=_demo.DESCRIPTION,
    no_args_is_help=False,
    context_settings=HELP,
)
@click.version_option(__version__, message="tinypyr %(version)s")
def _tinypyr() -> None: ...


def _not_reached(_: Any) -> int:
    raise AssertionError("tinypyr.cli.main runs the demo before click does")


for _command in (
    Command("demo", _not_reached, _demo.SUMMARY, [], _demo.DEMO),
    *_store.COMMANDS,
    _apply.COMMAND,
):
    _tinypyr.add_command(_command)


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands and return its exit status."""
    try:
        status: int = _tinypyr.main(list(arguments), prog_name="tinypyr", standalone_mode=False)
        return status
    except click.ClickException as error:
        path = "tinypyr" + (f" {arguments[0]}" if arguments and arguments[0] in _tinypyr.commands else "")
        print(f"{path}: {error.format_message().rstrip('.')}; see {path} --help", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("tinypyr: interrupted; finished blocks are kept", file=sys.stderr)
        return 130
