"""All commands, and what becomes of their errors."""

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


def _run_elsewhere(_: Any) -> int:
    raise AssertionError("tinypyr.cli.main runs it, with or without click")


for _command in (
    Command("demo", _run_elsewhere, _demo.SUMMARY, [], _demo.DEMO),
    *_store.COMMANDS,
    _apply.COMMAND,
):
    _tinypyr.add_command(_command)


def main(words: Sequence[str]) -> int:
    """Run one of the commands and return its exit status."""
    try:
        status: int = _tinypyr.main(list(words), prog_name="tinypyr", standalone_mode=False)
        return status
    except click.ClickException as error:
        path = "tinypyr" + (f" {words[0]}" if words and words[0] in _tinypyr.commands else "")
        print(f"{path}: {error.format_message().rstrip('.')}; see {path} --help", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("tinypyr: interrupted; what is finished is kept", file=sys.stderr)
        return 130
