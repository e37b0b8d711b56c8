"""The command ``tinypyr apply``: compute a field at low resolution, and apply it at full resolution."""

from __future__ import annotations

import inspect
import json
from typing import Any

from ._click import Argument, Arguments, Command, Option
from ._options import (
    RUNNING,
    SOURCE,
    TARGET,
    arguments_of,
    flag,
    format_option,
    parse_integers,
    parse_levels,
    switch,
    value,
)
from ._store import PLAN_FILE, engine_of, picture_file, plan_file, progress_of
from ._tables import print_plan

APPLY_TEXT = """\
Compute a field of a volume at low resolution (a bias, a background, ...), and write the volume with this field applied
to a new store, with its own pyramid, in one pass. To resume after an interruption, run the same command again.
"""
APPLY_EPILOG = """\
plugins and their parameters for --param, with defaults (see tinypyr.multires):
  gaussian-bias  divide by the blurred volume: sigma (5.0), mode ("reflect"), units ("voxel"), normalize (false)
  n4             divide by the smooth field that N4 estimates: spline_spacing (200.0), convergence, shrink_factor (1)
  background     subtract the background: size (15), sigma (5.0), mode ("reflect")
  percentile     rescale the range between two percentiles: low (1.0), high (99.0), to, along
  MODULE:CLASS   a class of your own; modules in the current folder can be imported

exit status:
  0 success; 1 something could not be read or written, or the plugin failed (finished blocks are kept); 2 invalid
  arguments (nothing is created); 130 interrupted (finished blocks are kept).

examples:
  tinypyr apply em.ome.zarr even.ome.zarr --plugin gaussian-bias --factor 4 --param sigma=8 --param normalize=true
  tinypyr apply em.ome.zarr even.ome.zarr --plugin n4 --factor 1,8,8 --mask tissue.ome.zarr --picture even.png
  tinypyr apply em.ome.zarr even.ome.zarr --plugin n4 --plan-file plan.json && tinypyr run plan.json --part 1/4
"""

PLUGINS = {
    "gaussian-bias": "GaussianBiasFieldCorrection",
    "n4": "N4BiasFieldCorrection",
    "background": "BackgroundSubtraction",
    "percentile": "PercentileNormalization",
}


def _param(text: str) -> tuple[str, Any]:
    """Return the name and the value of a plugin parameter such as ``sigma=8`` or ``sigma=2,3,3``."""
    name, equals, literal = text.partition("=")
    if not (equals and name.isidentifier()):
        raise ValueError(f"{text!r} is not NAME=VALUE")
    if literal in ("True", "False", "None"):
        return name, {"True": True, "False": False, "None": None}[literal]
    try:
        return name, json.loads(f"[{literal}]" if "," in literal and literal[:1] not in '[{"' else literal)
    except ValueError:
        return name, literal


def _plugin_of(arguments: Arguments) -> Any:
    """Return the plugin; of a class, an object with the parameters of ``--param``."""
    from .. import multires
    from ..multires.adapter import import_plugin

    name = arguments.plugin
    if name in PLUGINS:
        plugin = getattr(multires, PLUGINS[name])
    elif ":" not in name:
        raise ValueError(f"--plugin: {name!r} is not one of {', '.join(PLUGINS)}, and not MODULE:CLASS")
    else:
        try:
            plugin = import_plugin(name)
        except (Exception, SystemExit) as error:  # a module may raise anything when it is imported
            raise ValueError(f"--plugin: {name} cannot be imported: {type(error).__name__}: {error}") from None
    if not isinstance(plugin, type):
        return plugin
    try:
        return plugin(**dict(arguments.param))
    except TypeError as error:
        names = ", ".join(inspect.signature(plugin).parameters) or "none"
        raise ValueError(f"--param: {error}; the parameters of {name} are: {names}") from None
    except ValueError as error:
        raise ValueError(f"--param {error}") from None


def _apply(arguments: Arguments) -> int:
    from ..multires.picture import draw_applied
    from ..multires.processing import plan_applied, prepare_field
    from ..store.running import checked_blocks, complete

    _check_files(arguments)
    plugin = _plugin_of(arguments)
    try:
        applied, plan = plan_applied(
            arguments.source, plugin, target=arguments.target, **arguments_of(arguments, _APPLYING)
        )
    except ValueError as error:
        if str(error).partition(":")[0] not in dict(arguments.param):
            raise
        raise ValueError(f"--param {error}") from None  # some parameters are only checked against the volume
    if arguments.plan:
        if arguments.json:
            print(json.dumps(plan.describe(), indent=1))
        else:
            print_plan(plan)
        return 0
    checked_blocks(plan, arguments.blocks)
    with engine_of(arguments) as engine:
        prepare_field(applied, plan, engine, arguments.progress != "none")
        if arguments.picture is not None:
            draw_applied(applied, arguments.picture)
            print(f"picture: {arguments.picture}")
        if arguments.plan_file is not None:
            plan.save(arguments.plan_file)
            print_plan(plan)
            print(f"to process its blocks, run: tinypyr run {arguments.plan_file}")
            return 0
        report = complete(plan, engine, arguments.resume, progress_of(arguments), arguments.blocks)
    if arguments.progress != "json":
        print_plan(report.plan)
        print(report)
    return 0


def _check_files(arguments: Arguments) -> None:
    """Raise ValueError for output options that contradict each other, or whose files cannot be written."""
    if arguments.plan and arguments.plan_file is not None:
        raise ValueError("--plan, --plan-file: give only one; --plan creates nothing, --plan-file computes the field")
    if arguments.json and not arguments.plan:
        raise ValueError("--json: only the output of --plan can be JSON; add --plan")
    if arguments.plan_file is not None:
        plan_file(arguments.plan_file)
    if arguments.picture is not None:
        picture_file("picture", arguments.picture)


#: Parameters of multires.apply_scaled_processing, beside source, plugin, params and target.
_APPLYING = [
    value(
        "factor",
        "F",
        "factor of the low resolution: one for all axes but channels and time, or one per axis",
        default=4,
        parse=parse_integers,
    ),
    value(
        "lowres", "N", "level of SOURCE to use as low resolution", omitted="the level that --factor selects", type=int
    ),
    value("mask", "STORE", "path or URL of a mask: voxels that are 0 in it do not count at low resolution"),
    value("exclude", "STORE", "the inverse of --mask: voxels that are not 0 in it do not count at low resolution"),
    value("field", "STORE", "keep the field in this store", omitted="in TARGET, removed when the build ends"),
    value("order", "N", "interpolation of the field: 0 nearest, 1 linear, 2 to 5 splines", default=1, type=int),
    switch("preserve_dtype", "keep the dtype of SOURCE; --no-preserve-dtype keeps that of the plugin's result"),
    value(
        "levels",
        "N",
        "number of levels above level 0, or auto: until the volume fits into one chunk",
        omitted="auto",
        parse=parse_levels,
    ),
    value(
        "method",
        "METHOD",
        "mean, mode, median, min, max, stride, or auto: mode for labels, mean otherwise",
        omitted="auto",
    ),
    format_option("ome-zarr-0.5"),
    *TARGET,
]

COMMAND = Command(
    "apply",
    _apply,
    "compute a field at low resolution, apply it at full resolution",
    [
        SOURCE,
        Argument("target", "path or URL of a new store"),
        Option("--plugin", required=True, metavar="NAME", help=f"{', '.join(PLUGINS)}, or MODULE:CLASS"),
        Option(
            "--param",
            parse=_param,
            multiple=True,
            metavar="NAME=VALUE",
            help="parameter of the plugin; repeatable (default: those of the plugin)",
        ),
        *_APPLYING,
        value("picture", "FILE", "write a PNG of a section: before, the field, and after"),
        flag("plan", "print what would be done, and create nothing"),
        flag("json", "print the output of --plan as JSON"),
        PLAN_FILE,
        *RUNNING,
    ],
    APPLY_TEXT,
    APPLY_EPILOG,
)
