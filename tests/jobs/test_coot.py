"""The to-do list for Coot: peaks at the image beside the model, residues of the report, a script that runs anywhere."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gemmi
import numpy as np
import pytest

from consilience.jobs.refine.coot import peak_places, write_coot
from consilience.structure.atoms import Structure
from consilience.structure.read import read_structure


@pytest.fixture(scope="module")
def structure(tmp_path_factory: pytest.TempPathFactory) -> Structure:
    """Two glycines in P 21, one residue with an insertion code."""
    lines = ["CRYST1   20.000   24.000   28.000  90.00 100.00  90.00 P 1 21 1"]
    at = np.array([[2.0, 3.0, 4.0], [3.4, 3.2, 4.1], [4.1, 4.5, 4.3], [3.6, 5.6, 4.2]])
    for i, (name, shift) in enumerate((("   7 ", 0.0), ("   7A", 3.8))):
        for k, atom in enumerate(("N", "CA", "C", "O")):
            x, y, z = at[k] + [shift, shift / 8, 0]
            place = f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00"
            lines.append(f"ATOM  {4 * i + k + 1:5d}  {atom:<3s} GLY A{name}   {place}          {atom[0]:>2s}")
    path = tmp_path_factory.mktemp("coot") / "model.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    return read_structure(path)


def difference_map(structure: Structure, peaks: dict[tuple[float, ...], float]) -> gemmi.FloatGrid:
    """Gaussians of given heights (sigma) at points, obeying the symmetry; the points may be in any cell."""
    cell = structure.cell
    grid = gemmi.FloatGrid(40, 48, 56)
    grid.set_unit_cell(cell)
    grid.spacegroup = structure.hierarchy.find_spacegroup()
    index = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid.shape), indexing="ij"), -1)
    orth = np.array(cell.orth.mat.tolist())
    values = np.zeros(index.shape[:-1])
    for xyz, height in peaks.items():
        for op in grid.spacegroup.operations():
            centre = op.apply_to_xyz(cell.fractionalize(gemmi.Position(*xyz)).tolist())
            delta = (index - centre + 0.5) % 1.0 - 0.5
            values += height * np.exp(-np.sum((delta @ orth.T) ** 2, -1) / 1.5)
    grid.array[:] = values
    return grid


WATER, WRONG = (4.0, 7.5, 6.0), (4.1, 4.5, 4.3)


def test_peaks_stand_beside_the_model(structure: Structure) -> None:
    grid = difference_map(structure, {WATER: 8.0, WRONG: -6.5, (14.0, 4.0, 14.0): 9.0, (4.0, 7.0, 9.0): 4.0})
    found = peak_places(grid, structure.hierarchy)
    assert [float(p.label.split()[0]) for p in found] == [pytest.approx(8.0, abs=0.3), pytest.approx(-6.5, abs=0.3)]
    for place, point in zip(found, (WATER, WRONG), strict=True):
        assert np.linalg.norm(np.subtract(place.xyz, point)) < 0.5, place
    assert "from A 7 GLY/C" in found[1].label


def test_peaks_of_another_image_are_brought_home(structure: Structure) -> None:
    op = structure.hierarchy.find_spacegroup().operations().sym_ops[1]
    cell = structure.cell
    mate = cell.orthogonalize(gemmi.Fractional(*op.apply_to_xyz(cell.fractionalize(gemmi.Position(*WATER)).tolist())))
    (place,) = peak_places(difference_map(structure, {(mate.x, mate.y, mate.z): 8.0}), structure.hierarchy)
    assert np.linalg.norm(np.subtract(place.xyz, WATER)) < 0.5


@pytest.mark.parametrize("version", ["1", "0.9"])
def test_the_script_shows_buttons(
    structure: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    def residue(icode: str, rscc: float, rama: str) -> dict[str, Any]:
        return {"chain": "A", "resi": 7, "icode": icode, "name": "GLY", "rscc": rscc, "rama": rama}

    result = SimpleNamespace(
        structure=structure,
        residues=[residue("", 0.95, "favoured"), residue("A", 0.5, "outlier")],
        outliers=[],
        maps=(None, difference_map(structure, {WATER: 8.0})),
    )
    write_coot(tmp_path / "coot.py", result)  # type: ignore[arg-type]
    shown: list[Any] = []

    def show(title: str, places: list[Any]) -> None:
        shown.extend([title, *places])

    gui = ModuleType("coot_gui")
    if version == "1":
        gui.interesting_things_gui = show  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "coot_gui", gui)
    runpy.run_path(str(tmp_path / "coot.py"), {} if version == "1" else {"interesting_things_gui": show})
    title, first, second = shown
    assert title == "2 places to look at"
    assert first[0] == "A 7A GLY: Ramachandran outlier, little density"
    assert np.linalg.norm(np.subtract(first[1:], [7.075, 4.55, 4.15])) < 0.02
    assert second[0].startswith("+7.9 sigma, density without model") and len(second) == 4
