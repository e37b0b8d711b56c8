"""The command ``tinypyr apply``: a plugin computed at low resolution, applied at full, from store to store."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from . import _store
from ._click import Argument, Arguments, Command, Option

APPLY = """\
Compute a field of a volume at low resolution (a bias, a background, ...), and write the volume with this field applied
to it into a new store, with its own pyramid, in one pass. What was interrupted goes on where it was when the same
command is given again.
"""
APPLY_MORE = """\
plugins, and what --param says of them (see tinypyr.multires):
  gaussian-bias  divide by the volume, blurred: sigma (5.0), mode ("reflect"), units ("voxel"), normalize (false)
  n4             divide by the smooth field that N4 finds: spline_spacing (200.0), convergence, shrink_factor (1)
  background     subtract the floor: size (15), sigma (5.0), mode ("reflect")
  percentile     stretch between two percentiles: low (1.0), high (99.0), to, along
  MODULE:CLASS   a plugin of one's own; modules of the current folder are found

exit status:
  0 done; 1 something could not be read or written, or the plugin failed (what is finished is kept); 2 bad arguments,
  nothing created; 130 interrupted (what is finished is kept).

examples:
  tinypyr apply em.ome.zarr even.ome.zarr --plugin gaussian-bias --factor 4 --param sigma=8 --param normalize=true
  tinypyr apply em.ome.zarr even.ome.zarr --plugin n4 --factor 1,8,8 --picture even.png
  tinypyr apply em.ome.zarr even.ome.zarr --plugin n4 --out plan.json && tinypyr run plan.json --part 1/4
"""

PLUGINS = {
    "gaussian-bias": "GaussianBiasFieldCorrection",
    "n4": "N4BiasFieldCorrection",
    "background": "BackgroundSubtraction",
    "percentile": "PercentileNormalization",
}


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise ValueError(f"{text!r} is no NAME=VALUE")
    if value in ("True", "False", "None"):  # as Python has them
        return name, {"True": True, "False": False, "None": None}[value]
    try:
        return name, json.loads(f"[{value}]" if "," in value and value[:1] not in '[{"' else value)
    except ValueError:
        return name, value


def _plugin(name: str) -> Any:
    from .. import multires
    from ..multires.adapter import import_plugin

    if name in PLUGINS:
        return getattr(multires, PLUGINS[name])
    if ":" not in name:
        raise ValueError(f"--plugin: {name!r} is none of {', '.join(PLUGINS)}, nor MODULE:CLASS")
    try:
        return import_plugin(name)
    except (Exception, SystemExit) as error:  # (whatever a module may do when it is imported)
        raise ValueError(f"--plugin: {name} cannot be imported: {type(error).__name__}: {error}") from None


def _apply(arguments: Arguments) -> int:
    from ..multires import PluginError
    from ..multires.picture import draw_applied
    from ..multires.processing import plan_applied, prepare_field
    from ..store.running import asked_for, complete

    if (arguments.plan and arguments.out) or (arguments.json and not arguments.plan):
        raise ValueError(
            "--plan, --out, --json: --plan prints, --json as JSON; --out makes the field and writes the plan"
        )
    if arguments.out is not None:
        _store.writable_file("--out", arguments.out)
    if arguments.picture is not None:
        _store.picture_file("--picture", arguments.picture)
    plugin, params = _plugin(arguments.plugin), dict(arguments.param)
    try:
        plugin = plugin(**params) if isinstance(plugin, type) else plugin
    except TypeError as error:
        raise ValueError(f"--param: {error}; it takes {_signature(plugin)}") from None
    names = "levels method format chunks shards codec block"
    made, todo = plan_applied(
        arguments.source,
        plugin,
        arguments.factor,
        arguments.target,
        memory=arguments.memory,
        workers=arguments.workers,
        **{name: getattr(arguments, name) for name in names.split()},
        lowres=arguments.lowres,
        mask=arguments.mask,
        order=arguments.order,
        preserve_dtype=not arguments.float,
        field=arguments.field,
    )
    if arguments.plan:
        if arguments.json:
            print(json.dumps(todo.describe(), indent=1))
        else:
            _store.show_plan(todo)
        return 0
    asked_for(todo, arguments.blocks)
    with _store.engine_of(arguments) as engine:
        try:
            prepare_field(made, todo, engine, arguments.progress != "none")
            if arguments.picture is not None:
                draw_applied(made, arguments.picture)
                print(f"picture: {arguments.picture}")
        except PluginError as error:
            print(f"tinypyr: {error}", file=sys.stderr)
            return 1
        if arguments.out is not None:
            todo.save(arguments.out)
            _store.show_plan(todo)
            print(f"next: tinypyr run {arguments.out}")
            return 0
        report = complete(todo, engine, not arguments.no_resume, _store.progress_of(arguments), arguments.blocks)
    if arguments.progress != "json":
        _store.show_plan(report.plan)
        print(report)
    return 0


def _signature(plugin: Any) -> str:
    return ", ".join(name for name in inspect.signature(plugin).parameters) or "none"


COMMAND = Command(
    "apply",
    _apply,
    "compute at low resolution, apply at full",
    [
        Argument("source", "path or URL of the volume, or of a NIfTI file"),
        Argument("target", "path or URL of a new store"),
        Option("--plugin", required=True, metavar="NAME", help=f"{', '.join(PLUGINS)}, or MODULE:CLASS"),
        Option("--param", read=_param, multiple=True, metavar="NAME=VALUE", help="of the plugin"),
        Option(
            "--factor",
            read=_store.integers,
            default="4",
            metavar="F",
            help="of the low resolution (default: 4)",
        ),
        Option("--lowres", type=int, metavar="N", help="the level to take as low resolution, whatever --factor says"),
        Option("--mask", metavar="STORE", help="voxels of the low resolution that are 0 in it do not count"),
        Option("--order", type=int, default=1, metavar="N", help="between the field's voxels (default: 1)"),
        Option("--float", is_flag=True, help="voxels as the plugin makes them, not of SOURCE's dtype"),
        Option("--field", metavar="STORE", help="keep the field here (default: beside TARGET until the end)"),
        Option("--picture", metavar="FILE", help="write a PNG: a section before, the field, and after"),
        Option("--plan", is_flag=True, help="say what would be done, and create nothing"),
        Option("--json", is_flag=True, help="with --plan: as JSON"),
        Option("-o", "--out", metavar="FILE", help="make the field and write the plan, for tinypyr run"),
        *_store.TARGET,
        *_store.RUNNING,
    ],
    APPLY,
    APPLY_MORE,
)
