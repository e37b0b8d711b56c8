"""Every option of the command line is a parameter of a Python function, with the same name and default."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

pytest.importorskip("tensorstore", reason="the functions of the commands read and write stores")
pytest.importorskip("click", reason="the commands on stores need click")
pytest.importorskip("rich", reason="the commands on stores need rich")

import click

from support.options import (
    COMMAND_LINE_ONLY,
    COMMANDS,
    DEFAULTS,
    DOCUMENT,
    FUNCTIONS,
    PYTHON_ONLY,
    documented,
    markdown,
    options_of,
    parameters_of,
)
from tinypyr.cli._click import on_command_line


def default_of(option: Any) -> Any:
    """Return the value that a command gets if the option is omitted."""
    context = click.Context(click.Command("any"))
    return option.process_value(context, option.get_default(context))


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_parameter_has_an_option_of_its_name(command: str) -> None:
    options = options_of(command)
    for name in parameters_of(command):
        if (command, name) in PYTHON_ONLY:
            assert name not in options
            continue
        option = options[name]
        if isinstance(option, click.Option):
            assert option.opts == ["--" + name.replace("_", "-")]
        else:
            assert option.metavar.strip("[]") == name.upper()


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_option_has_a_parameter_of_its_name(command: str) -> None:
    for name in options_of(command):
        assert name in parameters_of(command) or name in COMMAND_LINE_ONLY, name


@pytest.mark.parametrize("command", FUNCTIONS)
def test_defaults_are_those_of_the_parameters(command: str) -> None:
    parameters = parameters_of(command)
    for name, option in options_of(command).items():
        if name not in parameters or not isinstance(option, click.Option) or (command, name) in DEFAULTS:
            continue
        if option.required:
            assert parameters[name].default is inspect.Parameter.empty, name
        else:
            assert default_of(option) == parameters[name].default, name


@pytest.mark.parametrize("command", FUNCTIONS)
def test_arguments_are_required_if_the_parameters_are(command: str) -> None:
    parameters = parameters_of(command)
    for name, argument in options_of(command).items():
        if isinstance(argument, click.Argument) and (command, name) != ("apply", "target"):
            assert argument.required is (parameters[name].default is inspect.Parameter.empty), name


@pytest.mark.parametrize("command", FUNCTIONS)
def test_booleans_are_flags_if_false_and_pairs_if_true(command: str) -> None:
    options = options_of(command)
    for name, parameter in parameters_of(command).items():
        if not isinstance(parameter.default, bool) or name not in options or (command, name) in DEFAULTS:
            continue
        option = options[name]
        assert option.is_flag
        assert option.secondary_opts == ([f"--no-{option.opts[0][2:]}"] if parameter.default else []), name


def test_slurm_has_an_option_for_every_setting() -> None:
    from tinypyr.store.slurm import Settings

    names = [field.name for field in dataclasses.fields(Settings)]
    expected = ["--line" if name == "lines" else "--" + name.replace("_", "-") for name in names]
    options = [param.opts[0] for param in COMMANDS["slurm"].params if isinstance(param, click.Option)]
    assert options == [*expected, "--settings", "--dry-run"]


def test_exceptions_are_needed() -> None:
    for command, name in PYTHON_ONLY:
        assert name in parameters_of(command), (command, name)
    for name in COMMAND_LINE_ONLY:
        commands = [command for command in FUNCTIONS if name in options_of(command)]
        assert any(name not in parameters_of(command) for command in commands), name
    for command, name in DEFAULTS:
        assert default_of(options_of(command)[name]) != parameters_of(command)[name].default, (command, name)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_help_explains_every_option_and_states_its_default(command: str) -> None:
    for param in COMMANDS[command].params:
        help = param.get_help_record(click.Context(COMMANDS[command]))[1]
        assert len(help) > 10, param.name
        if isinstance(param, click.Option) and (not param.is_flag or param.secondary_opts):
            assert re.search(r"\(default: .+\)$|\[required\]$", help), param.name


@pytest.mark.skipif(not DOCUMENT.exists(), reason="the documentation is not part of this copy")
def test_the_table_in_the_documentation_is_up_to_date() -> None:
    message = "the options have changed; run: python tests/support/options.py --write"
    assert documented(DOCUMENT.read_text(encoding="utf-8")) == markdown(), message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("factor: 0 is not positive", "--factor: 0 is not positive"),
        ("mask, exclude: give only one", "--mask, --exclude: give only one"),
        ("source: is empty", "SOURCE: is empty"),
        ("levels: use fewer, or pass recursive=True", "--levels: use fewer, or pass --recursive"),
        ("method: pass method='mode' or factor=(1, 2, 2)", "--method: pass --method mode or --factor 1,2,2"),
        ("source: changed; pass resume=False", "SOURCE: changed; pass --no-resume"),
        ("/data/factor: does not exist", "/data/factor: does not exist"),
        ("source: Resampled(a, factor=2, method='mode')", "SOURCE: Resampled(a, factor=2, method='mode')"),
        ("sigma: 0 is not positive", "sigma: 0 is not positive"),
    ],
)
def test_errors_name_options(message: str, expected: str) -> None:
    options = ["factor", "mask", "exclude", "levels", "recursive", "method", "resume"]
    assert on_command_line(message, {name: f"--{name}" for name in options} | {"source": "SOURCE"}) == expected
