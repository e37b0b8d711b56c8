"""Extensions of click: verbatim help texts, described arguments, grouped options, and one-line errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import click

from .._util.terminal import drop_output
from ..errors import Error

Arguments = SimpleNamespace
HELP = {"help_option_names": ["-h", "--help"]}


class Command(click.Command):
    """A command that passes its arguments to a function as one object, and prints its help texts verbatim."""

    def __init__(
        self,
        name: str,
        function: Callable[[Arguments], int],
        summary: str,
        params: Sequence[click.Parameter],
        text: str,
        epilog: str = "",
    ) -> None:
        names = {param.name: spelling(param) for param in params if param.name is not None}
        super().__init__(
            name,
            callback=lambda **arguments: _exit_status(function, Arguments(**arguments), names),
            params=list(params),
            help=text,
            epilog=epilog,
            short_help=summary,
            context_settings={"max_content_width": 120, **HELP},
        )

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"\n{self.help}")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "heading", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write(f"\n{self.epilog}")


class Commands(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class Argument(click.Argument):
    """A positional argument with a line in the help."""

    heading = "Arguments"

    def __init__(self, name: str, help: str, required: bool = True) -> None:
        super().__init__([name], required=required, metavar=name.upper() if required else f"[{name.upper()}]")
        self._help = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.make_metavar(ctx), self._help

    def make_metavar(self, *_: Any) -> str:  # (click 8.2 passes the context)
        return str(self.metavar)


class Option(click.Option):
    """An option under a heading, whose text an optional function converts. Its ValueError becomes a usage error."""

    def __init__(
        self,
        *names: str,
        help: str,
        heading: str = "Options",
        parse: Callable[[str], Any] | None = None,
        **options: Any,
    ) -> None:
        if parse is not None:
            options["type"] = str  # click would otherwise derive the type from the default
        super().__init__(names, help=help, callback=self._converted, **options)
        self.heading = heading
        self._parse = parse

    def _converted(self, ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if isinstance(value, str) and any(value in other.opts for other in ctx.command.get_params(ctx)):
            raise click.BadParameter(f"{value} is an option; give a value first", ctx, param)
        if self._parse is None:
            return value
        try:
            if isinstance(value, tuple):  # of a repeatable option
                return [self._parse(text) for text in value]
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None


def spelling(param: click.Parameter) -> str:
    """Return the name of a parameter on the command line: ``--option`` or ``ARGUMENT``."""
    return param.opts[0] if isinstance(param, click.Option) else str(param.name).upper()


def on_command_line(message: str, names: Mapping[str, str]) -> str:
    """Replace the names of Python parameters in an error message by their spelling on the command line.

    Names are replaced if they are the subject of the message (``factor: 0 is ...``) or have a value (``pass
    recursive=True``).
    """
    subject, colon, rest = message.partition(":")
    subjects = subject.split(", ")
    if colon and all(name in names for name in subjects):
        message = ", ".join(names[name] for name in subjects) + colon + rest

    def option(match: re.Match[str]) -> str:
        name, value = match.groups()
        option = names.get(name, "")
        if not option.startswith("--"):
            return match[0]
        if value in ("True", "False"):
            return option if value == "True" else f"--no-{option[2:]}"
        text = value.strip("'()").replace(", ", ",")
        return f"{option} {text}"

    # (a repr such as "Resampled(..., order=1)" in a message is left alone)
    return re.sub(r"(?<!, )(?<!\()\b([a-z_]+)=('[^']*'|\([^)]*\)|\w+)", option, message)


def _exit_status(function: Callable[[Arguments], int], arguments: Arguments, names: Mapping[str, str]) -> int:
    try:
        status = function(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        drop_output()
        return 0
    except (ValueError, TypeError) as error:
        status, message = 2, str(error)
    except (Error, ImportError, OSError, EOFError, MemoryError) as error:
        status, message = 1, str(error) or "out of memory"
    print(f"tinypyr: {on_command_line(message, names)}", file=sys.stderr)
    return status
