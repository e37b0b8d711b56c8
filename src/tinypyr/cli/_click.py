"""What the commands add to click: help that reads like a manual page, and values that say what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import click

from .._util.terminal import drop_output

Arguments = SimpleNamespace
HELP = {"help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command that hands its arguments on as one object; its texts are printed as they are written."""

    def __init__(
        self, name: str, run: Callable[[Arguments], int], summary: str, params: Sequence[click.Parameter], text: str,
        more: str = "",
    ) -> None:  # fmt: skip
        super().__init__(
            name,
            callback=lambda **given: _status(run, Arguments(**given)),
            params=list(params),
            help=text,
            epilog=more,
            short_help=summary,
            context_settings={"max_content_width": 120, **HELP},
        )

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"\n{self.help}")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                lines.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, records in lines.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write(f"\n{self.epilog}")


def _status(run: Callable[[Arguments], int], arguments: Arguments) -> int:
    try:
        from ..store import StoreError
    except ImportError as error:  # TensorStore is missing
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    try:
        status = run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        drop_output()
        return 0
    except (ValueError, TypeError) as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 2
    except (StoreError, ImportError, OSError, EOFError, MemoryError) as error:
        print(f"tinypyr: {error or 'out of memory'}", file=sys.stderr)
        return 1


class Commands(click.Group):
    """Commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class Argument(click.Argument):
    """One with a line in the help."""

    heading = "Arguments"

    def __init__(self, name: str, help: str, required: bool = True) -> None:
        super().__init__([name], required=required, metavar=name.upper() if required else f"[{name.upper()}]")
        self._help = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.make_metavar(ctx), self._help

    def make_metavar(self, *_: Any) -> str:  # (click 8.2 gives it the context)
        return str(self.metavar)


class Option(click.Option):
    """One that may stand under a heading, and whose text a function may read; its ValueError says what is wrong."""

    def __init__(
        self, *names: str, help: str, heading: str = "Options", read: Callable[[str], Any] | None = None, **more: Any
    ) -> None:
        super().__init__(names, help=help, callback=self._checked, **more)
        self.heading = heading
        self._read = read

    def _checked(self, ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if isinstance(value, str) and any(value in other.opts for other in ctx.command.get_params(ctx)):
            raise click.BadParameter(f"{value} is an option; give a value first", ctx, param)
        if self._read is None or value is None:
            return value
        try:
            return [self._read(text) for text in value] if self.multiple else self._read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
