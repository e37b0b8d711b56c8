"""Saved plans: the arguments in the file are planned again, and the result must be the plan that was saved."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__, _arrays
from ..errors import StoreError, brief
from ..grid import grid_from
from .planning import plan
from .plans import Plan
from .scratch import sealed, unsealed
from .target_state import SOURCE_CHANGED, difference
from .tuning import Tuning, tuned


def json_of_plan(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON, from which another process makes it again, of constant size."""
    return {
        "tinypyr": __version__,
        "fingerprint": plan.fingerprint,
        "source_status": plan.inputs.status,
        "arguments": plan.arguments,
        "tuning": plan.resources.tuning.changes(),
        "plan": plan.describe(),
    }


def text_of_plan(plan: Plan) -> str:
    """Return the text of a file of a plan; raise StoreError if other processes cannot read its source."""
    if plan.arguments is None:
        raise StoreError(
            (plan.source.recipe or {}).get("only_here")
            or "source: other processes cannot read an array in memory, or a store in memory (source, mask or "
            "target); write it to a store of files first (build with levels=0)"
        )
    return json.dumps(sealed(json_of_plan(plan)), indent=1) + "\n"


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Return the plan in a file; see :meth:`Plan.load`."""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{os.fspath(path)} cannot be read: {error}") from None
    return plan_from_text(text, os.fspath(path))


def plan_from_text(text: str, name: str) -> Plan:
    """Return the plan in the text of a file; errors begin with ``name``."""
    try:
        content = unsealed(json.loads(text), name)
        fingerprint, tuning = content["fingerprint"], Tuning(**content.get("tuning", {}))
        arguments = dict(content["arguments"])
        grid = arguments.pop("grid", None)
        arguments["grid"] = None if grid is None else grid_from(grid)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"{name} is not a plan that tinypyr has saved: {brief(error)}") from None
    with tuned(**asdict(tuning)):
        for parameter in ("source", "mask", "exclude"):
            if isinstance(arguments.get(parameter), dict):
                try:
                    arguments[parameter] = _arrays.view_from_recipe(arguments[parameter])
                except (ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
                    raise StoreError(f"{name} is out of date ({parameter}: {error}); plan again") from None
        loaded = plan(**arguments)
    if loaded.fingerprint != fingerprint:
        raise StoreError(f"{name} is out of date ({difference(content, loaded) or SOURCE_CHANGED}); plan again")
    return loaded
