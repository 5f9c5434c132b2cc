"""A page with one of everything, about a made-up peptide in a triclinic cell, for the report tests."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from consilience.report import figures
from consilience.report.heat import heat
from consilience.report.page import Arrow, Card, Coloring, Column, Goto, Map, Page, Row, Section, Table, Text, Viewer
from consilience.report.volume import crop_map

HOSTILE = "</script><script>window.__xss=1</script><img src=x onerror=window.__xss=2>"
BLOB = np.array([14.0, 9.0, 11.0])  # Å: centre of a Gaussian of density
BLOB_B = 12.0  # Å^2: exp(-r^2 / BLOB_B)


@pytest.fixture(scope="session")
def cell() -> gemmi.UnitCell:
    return gemmi.UnitCell(31, 27, 34, 82, 104, 97)


@pytest.fixture(scope="session")
def helix() -> gemmi.Structure:
    """Twelve alanines with the angles of an alpha helix, built atom by atom, and one sulfate."""
    # (length Å, angle deg, torsion deg) of each atom from the three before it along N, CA, C
    steps = {"N": (1.329, 116.6, -47.0), "CA": (1.458, 121.7, 180.0), "C": (1.525, 111.0, -57.0)}
    xyz = [np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0])]

    def place(a, b, c, length, angle, torsion):
        angle, torsion = np.radians(angle), np.radians(torsion)
        u = (c - b) / np.linalg.norm(c - b)
        n = np.cross(b - a, u)
        n /= np.linalg.norm(n)
        local = length * np.array([-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
        return c + local @ np.array([u, np.cross(n, u), n])

    backbone = []
    for _ in range(13):
        for name, (length, angle, torsion) in steps.items():
            xyz.append(place(*xyz[-3:], length, angle, torsion))
            backbone.append((name, xyz[-1]))
    chain = gemmi.Chain("A")
    for i in range(12):
        (_, n), (_, ca), (_, c), (_, following) = backbone[3 * i : 3 * i + 4]
        atoms = {"N": n, "CA": ca, "C": c, "O": place(n, ca, c, 1.23, 120.5, 133.0)}
        atoms["CB"] = place(c, n, ca, 1.53, 110.0, 122.0)
        residue = gemmi.Residue()
        residue.name, residue.seqid = "ALA", gemmi.SeqId(i + 1, " ")
        for name, at in atoms.items():
            residue.add_atom(_atom(name, at, 12.0 + 2 * i))
        chain.add_residue(residue)
        assert np.linalg.norm(following - c) == pytest.approx(1.329, abs=1e-6)
    ion = gemmi.Residue()
    ion.name, ion.seqid, ion.het_flag = "SO4", gemmi.SeqId(101, " "), "H"
    for name, at in zip(
        ("S", "O1", "O2", "O3", "O4"),
        0.86 * np.array([(0, 0, 0), (1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]),
        strict=True,
    ):
        ion.add_atom(_atom(name, at + np.array([6.0, 6.0, 3.0]), 30.0))
    chain.add_residue(ion)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure = gemmi.Structure()
    structure.add_model(model)
    shift = np.array([14.0, 12.0, 8.0]) - np.mean([x for _, x in backbone], axis=0)
    structure[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(*shift)))
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(31, 27, 34, 82, 104, 97), "P 1"
    structure.setup_entities()
    return structure


def _atom(name: str, at: np.ndarray, b: float) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name, atom.element, atom.pos, atom.b_iso = name, gemmi.Element(name[0]), gemmi.Position(*at), b
    return atom


@pytest.fixture(scope="session")
def blob(cell) -> np.ndarray:
    """(62, 54, 68): exp(-r^2 / BLOB_B) around BLOB and its lattice images, sampled every 0.5 Å."""
    shape = (62, 54, 68)
    index = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    centre = np.array(cell.fractionalize(gemmi.Position(*BLOB)).tolist())
    delta = (index - centre + 0.5) % 1.0 - 0.5
    xyz = delta @ np.array(cell.orth.mat.tolist()).T
    return np.exp(-np.sum(xyz**2, axis=-1) / BLOB_B)


@pytest.fixture(scope="session")
def fake_page(helix, cell, blob) -> Page:
    cycles = np.arange(12)
    free = 0.2 + 0.2 * np.exp(-cycles / 4)
    free[3] = np.nan
    atoms = np.array([a.pos.tolist() for c in helix[0] for r in c for a in r])
    angle = np.linspace(-180, 180, 37)
    plots = (
        figures.line(
            "r", cycles, {"R-work": free - 0.03, "R-free": free}, x_title="cycle", y_title="R factor", caption=HOSTILE
        ),
        figures.bar("b", [f"A {i}" for i in range(5)], {HOSTILE: np.arange(5.0)}, x_title="residue", y_title="B / Å²"),
        figures.scatter(
            "parity", {"a": (free, free)}, x_title=HOSTILE, y_title="calc", labels={"a": [HOSTILE] * 12}, diagonal=True
        ),
        heat(
            "rama", angle, angle, np.outer(np.cos(angle), np.cos(angle)), x_title="φ / °", y_title="ψ / °", z_title="p"
        ),
    )
    rows = tuple(Row((f"A {i} ALA", 1.5 + i / 100, np.nan), Goto("A", i)) for i in (3, 7, 11))
    maps = (
        Map(crop_map(blob, np.vstack([atoms, BLOB]), cell, clip=25.0), (3.0,), "#3f7fd0", "blob"),
        Map(crop_map(-blob, atoms, cell), (3.0, -3.0), ("#2f9e5b", "#d0452f"), HOSTILE),
    )
    values = Coloring("correlation", {("A", i): i / 12 for i in range(1, 13)})
    arrows = tuple(Arrow((14.0, 12.0, 8.0), (22.0, 12.0, 8.0 + 4 * h), HOSTILE, "#d0803a", h) for h in (0, 1, 2))
    viewer = Viewer(
        helix.make_pdb_string(),
        maps=maps,
        color_by=("b", values, "chain", "element", "secondary"),
        arrows=arrows,
        arrows_label=HOSTILE,
    )
    return Page(
        title=HOSTILE,
        subtitle=HOSTILE,
        status="checks_failed",
        cards=(Card(HOSTILE, 0.1853, HOSTILE, "good", HOSTILE, HOSTILE, 4), Card("nothing", float("nan"), band="poor")),
        sections=(
            Section(HOSTILE, HOSTILE, plots),
            Section("Model", "", (Table((HOSTILE, Column("d", "Å", 2), "z"), rows, HOSTILE), viewer)),
            Section("Text", "", (Text(f"one\n\n{HOSTILE}"), Table(("a",), ((HOSTILE,),)), Table(("empty",), ()))),
        ),
        warnings=(HOSTILE,),
        next_command=HOSTILE,
        footer=HOSTILE,
    )
