"""The state of a simulation as named plain arrays, from which it goes on as if it had not stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from consilience.core.errors import InputError
from consilience.md.engine import Ensemble, Progress, Settings
from consilience.md.integrate import Moved, State
from consilience.md.lists import Listing, Lists, every_pair
from consilience.neighbours import Neighbours


def plain_state(progress: Progress, listing: Listing, settings: Settings, ensemble: Ensemble) -> dict[str, np.ndarray]:
    """The state as named arrays for a checkpoint; natural time units. `rule`: the numbers its next half step holds."""
    s, lists = progress.state, progress.lists
    out = {f.name: getattr(s, f.name) for f in fields(State)}
    out |= {f"next.{f.name}": getattr(progress.moved, f.name) for f in fields(Moved)}
    out |= {"code": progress.code, "shortest": progress.shortest, "largest": progress.largest}
    out["rule"] = _rule(settings, ensemble)
    if lists.neighbours.index.ndim == 3:
        out |= {f"list.{k}": getattr(lists.neighbours, k) for k in ("index", "mask", "shift", "overflow")}
        out |= {"list.reference": lists.reference, "list.made": lists.made, "list.rule": listing.rule()}
    return {k: np.array(v) for k, v in out.items() if v is not None}


def restored(
    state: Mapping[str, np.ndarray], shape: tuple[int, ...], listing: Listing, settings: Settings, ensemble: Ensemble
) -> tuple[Progress, bool]:
    """What `plain_state` was made from, and whether its next half step was made by the same rule.

    Raises InputError for the state of another system (shape (R, n, 3)) or another kind of run.
    """
    try:
        s = State(**{f.name: np.asarray(state[f.name]) for f in fields(State)})
        moved = Moved(**{f.name: np.asarray(state[f"next.{f.name}"]) for f in fields(Moved)})
        if listing.kind == "all":
            lists = Lists(every_pair(shape[1]), s.positions, np.asarray(0))
        else:
            shift = np.asarray(state["list.shift"]) if "list.shift" in state else None
            index, mask, overflow = (np.asarray(state[f"list.{k}"]) for k in ("index", "mask", "overflow"))
            found = Neighbours(index, mask, shift, overflow)
            lists = Lists(found, np.asarray(state["list.reference"]), np.asarray(state["list.made"]))
            if not np.array_equal(state["list.rule"], listing.rule()):
                lists = listing.make(moved.positions)
        code, shortest, largest = (np.asarray(state[k]) for k in ("code", "shortest", "largest"))
        same = np.array_equal(np.asarray(state["rule"]), _rule(settings, ensemble))
    except KeyError as err:
        raise InputError("the state does not belong to this kind of run", found=f"no {err}", fix="start anew") from err
    if s.positions.shape != shape:
        raise InputError("the state is of another system", found=str(s.positions.shape), expected=str(shape))
    return Progress(s, moved, lists, code, shortest, largest), same


def _rule(settings: Settings, ensemble: Ensemble) -> np.ndarray:
    if ensemble == "nve":
        return np.array([0.0, settings.dt])
    return np.array([1.0, settings.dt, settings.friction, *settings.kt])
