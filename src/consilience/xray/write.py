"""Write an MTZ: the columns of the input file bit for bit, and new ones beside them; never half a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gemmi
import numpy as np

from consilience.core.errors import RunError
from consilience.files import write_atomic
from consilience.xray.asu import hkl_keys, map_to_asu, phases_from_asu
from consilience.xray.reflections import Reflections


def write_mtz(
    path: str | Path,
    reflections: Reflections,
    columns: Mapping[str, tuple[str, np.ndarray]],
    *,
    hkl: np.ndarray | None = None,
    title: str = "consilience",
) -> None:
    """Write the original rows and columns of `reflections`, with `columns` {label: (MTZ type, (n,) array)} appended.

    The arrays run over `hkl` (n, 3), indices in the asymmetric unit (default: `reflections.hkl`). Phases (type "P") are
    in degrees and are shifted where a row of the file stands outside the asymmetric unit. Rows of the file that `hkl`
    lacks get missing values in the new columns; indices that the file lacks become new rows without observations. A
    column of the input with one of the new labels is replaced, unless it is an observation or the free flag.
    """
    mtz = reflections.original
    if mtz is None:
        raise RunError("these reflections have no file of origin: nothing to append to")
    used = set(reflections.columns.values())
    taken = sorted(used & set(columns))
    if taken:
        raise RunError(f"the new column(s) {', '.join(taken)} would replace observations")
    hkl = reflections.hkl if hkl is None else np.asarray(hkl)
    old = np.asarray(mtz.array, np.float32)
    rows_hkl = old[:, :3].astype(np.int32)
    asu_hkl, isym = map_to_asu(rows_hkl, reflections.spacegroup)
    new_rows = hkl[~np.isin(hkl_keys(hkl), hkl_keys(asu_hkl))]
    rows_hkl = np.vstack([rows_hkl, new_rows])
    asu_hkl = np.vstack([asu_hkl, new_rows])
    isym = np.concatenate([isym, np.ones(len(new_rows), int)])

    kept = [i for i, c in enumerate(mtz.columns) if i < 3 or c.label not in columns]
    table = np.full((len(rows_hkl), len(kept) + len(columns)), np.nan, np.float32)
    table[: len(old), : len(kept)] = old[:, kept]
    table[:, :3] = rows_hkl
    keys = hkl_keys(hkl)
    order = np.argsort(keys)
    place = np.searchsorted(keys, hkl_keys(asu_hkl), sorter=order).clip(0, max(len(keys) - 1, 0))
    source = order[place] if len(keys) else place
    known = keys[source] == hkl_keys(asu_hkl) if len(keys) else np.zeros(len(asu_hkl), bool)
    for j, (label, (kind, values)) in enumerate(columns.items()):
        if len(values) != len(hkl):
            raise RunError(f"column {label} has {len(values)} values for {len(hkl)} reflections")
        filled = np.where(known, np.asarray(values, float)[source], np.nan)
        if kind == "P":
            filled = phases_from_asu(filled, rows_hkl, isym, reflections.spacegroup)
        table[:, len(kept) + j] = filled
    out = _header(mtz, kept, title)
    dataset = mtz.columns[kept[-1]].dataset_id
    for label, (kind, _) in columns.items():
        out.add_column(label, kind, dataset_id=dataset, expand_data=False)
    out.set_data(table)
    write_atomic(path, out.write_to_bytes())


def _header(mtz: gemmi.Mtz, kept: list[int], title: str) -> gemmi.Mtz:
    """An MTZ without rows with the cell, space group, data sets and `kept` columns of another."""
    out = gemmi.Mtz(with_base=False)
    out.title = (mtz.title or title)[:70]
    out.spacegroup = mtz.spacegroup
    out.cell = mtz.cell
    out.history = [f"From {title}"[:80], *list(mtz.history)[:29]]
    for d in mtz.datasets:
        new = out.add_dataset(d.dataset_name)
        new.id, new.project_name, new.crystal_name = d.id, d.project_name, d.crystal_name
        new.cell, new.wavelength = d.cell, d.wavelength
    for i in kept:
        c = mtz.columns[i]
        out.add_column(c.label, c.type, dataset_id=c.dataset_id, expand_data=False)
    return out
