"""Options of the command line, the Python parameters that they stand for, and the table of both in the documentation.

python tests/support/options.py            # print the table
python tests/support/options.py --write    # write it into docs/command-line.md
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

import tinypyr
from tinypyr import multires, store
from tinypyr.cli import _commands, _demo

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "command-line.md"
BEGIN, END = "<!-- begin: python tests/support/options.py -->\n", "<!-- end -->\n"

COMMANDS: dict[str, Any] = dict(_commands._tinypyr.commands)

#: The Python functions of each command.
FUNCTIONS: dict[str, list[Callable[..., Any]]] = {
    "plan": [store.plan, tinypyr.Resampled],
    "build": [store.build, tinypyr.Resampled],
    "run": [store.run],
    "finalize": [store.finalize],
    "check": [store.check],
    "preview": [store.preview],
    "apply": [multires.apply_scaled_processing],
}

RESAMPLED = "a parameter of tinypyr.Resampled for arrays, or for uncommon cases"
#: Parameters without an option.
PYTHON_ONLY = {
    ("plan", "grid"): "a Python object; commands use the grid of the store, --like or --target-voxel-size",
    ("build", "grid"): "a Python object; commands use the grid of the store, --like or --target-voxel-size",
    ("apply", "params"): "--param NAME=VALUE, once per item of the dict",
    ("apply", "source_grid"): "the grid of an array in memory",
    **{
        (command, name): RESAMPLED
        for command in ("plan", "build")
        for name in ("source_grid", "mode", "cval", "prefilter")
    },
}
#: Options without a parameter.
COMMAND_LINE_ONLY = {
    "like": "its grid becomes `Resampled(grid=)`",
    "target_voxel_size": "makes the grid that becomes `Resampled(grid=)`",
    "scheduler": "makes the dask client that is the argument engine",
    "json": "sets the format of the output",
    "plan_file": "calls Plan.save",
    "param": "adds an item to the parameter params",
    "picture": "draws the result",
    "plan": "prints the plan instead of running it",
    "blocks": "processes blocks of a plan again, as tinypyr.store.run does",
}
#: Options whose default differs.
DEFAULTS = {
    ("plan", "order"): "0 for labels, which only the command detects",
    ("build", "order"): "0 for labels, which only the command detects",
    ("build", "progress"): "True and False are auto and none; json is the command's",
    ("run", "progress"): "True and False are auto and none; json is the command's",
    ("apply", "progress"): "True and False are auto and none; json is the command's",
    ("preview", "out"): "a command cannot return the picture, so it writes a file",
}


def options_of(command: str) -> dict[str, Any]:
    return {param.name: param for param in COMMANDS[command].params}


def parameters_of(command: str) -> dict[str, inspect.Parameter]:
    """Return the parameters of all functions of a command, except the source of a second function."""
    parameters: dict[str, inspect.Parameter] = {}
    for function in FUNCTIONS[command]:
        parameters = {**inspect.signature(function).parameters, **parameters}
    return parameters


# --- the table in the documentation ---


def markdown() -> str:
    """Return a table of options for each command, in the order of ``tinypyr --help``."""
    return "\n".join("".join(_section(command)) for command in COMMANDS)


def _section(command: str) -> Iterator[str]:
    yield f"### `tinypyr {command}`\n\n"
    functions = [f"`{_public_name(function)}`" for function in FUNCTIONS.get(command, [])]
    if functions:
        yield f"Parameters of {' and '.join(functions)}.\n\n"
    yield "| option | Python parameter | default | meaning |\n|---|---|---|---|\n"
    rows = _demo_rows() if command == "demo" else (_row(command, param) for param in COMMANDS[command].params)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n"


def _public_name(function: Callable[..., Any]) -> str:
    package = function.__module__.split(".")[1]
    return f"tinypyr.{package}.{function.__name__}" if package in dir(tinypyr) else f"tinypyr.{function.__name__}"


def _row(command: str, param: click.Parameter) -> tuple[str, str, str, str]:
    """Return the spelling of an option, its parameter, its default and its meaning."""
    name, text = str(param.name), param.get_help_record(click.Context(COMMANDS[command]))[1]  # type: ignore[index]
    if not isinstance(param, click.Option):
        return (
            f"`{param.make_metavar(click.Context(COMMANDS[command]))}`",
            _parameter(command, name),
            _optional(param),
            text,
        )
    spelling = " / ".join([*param.opts, *param.secondary_opts])
    if not param.is_flag:
        spelling += f" {param.metavar}"
    return f"`{spelling}`", _parameter(command, name), *_default_and_meaning(text, param.is_flag)


def _optional(param: click.Parameter) -> str:
    return "required" if param.required else "none"


def _parameter(command: str, name: str) -> str:
    """Return the parameter of an option, after the name of its function if that is not the first one."""
    for number, function in enumerate(FUNCTIONS.get(command, [])):
        if name in inspect.signature(function).parameters:
            return f"`{function.__name__}({name}=)`" if number else f"`{name}`"
    return f"({COMMAND_LINE_ONLY[name]})" if name in COMMAND_LINE_ONLY and command in FUNCTIONS else "-"


def _default_and_meaning(text: str, is_flag: bool) -> tuple[str, str]:
    """Return the default that a help text states, and the text without it."""
    text = text.replace("  [required]", "")
    match = re.fullmatch(r"(.*) \(default: (.+)\)", text)
    if match is None:
        return "off" if is_flag else "required", text
    default = f"`{match[2]}`" if match[2].startswith("--") else match[2]
    return default, match[1]


def _demo_rows() -> Iterator[tuple[str, str, str, str]]:
    (commands,) = (action for action in _demo._parser()._actions if isinstance(action, argparse._SubParsersAction))
    for action in commands.choices["demo"]._actions:
        if action.dest == "help":
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
        yield f"`{action.option_strings[0]} {metavar}`", "-", *_default_and_meaning(str(action.help), False)


def documented(document: str) -> str:
    """Return the text between the two markers of a document."""
    _, begin, rest = document.partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT} has no lines {BEGIN.strip()} and {END.strip()}; add them around the table")
    return table


def main() -> None:
    """Print the table, or write it into the documentation."""
    if sys.argv[1:] == ["--write"]:
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(document.replace(BEGIN + documented(document), BEGIN + markdown()), encoding="utf-8")
    else:
        print(markdown(), end="")


if __name__ == "__main__":
    main()
