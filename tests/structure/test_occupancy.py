"""Groups of partial occupancies: conformers sum to one, partial waters stay between 0 and 1, the rest stands still."""

from __future__ import annotations

import gemmi
import jax
import numpy as np
import pytest

from consilience.core.params import Block
from consilience.structure.atoms import Structure
from consilience.structure.occupancy import Shares, partial_occupancies

ROWS = [  # residue, name, atom, altloc, occupancy
    (1, "SER", "CA", "", 1.0),
    (1, "SER", "CB", "A", 0.5), (1, "SER", "OG", "A", 0.5),
    (1, "SER", "CB", "B", 0.3), (1, "SER", "OG", "B", 0.3),
    (1, "SER", "OG", "C", 0.2),
    (2, "HOH", "O", "", 0.6), (3, "HOH", "O", "", 1.0), (4, "HOH", "O", "", 0.5), (5, "HOH", "O", "A", 0.7),
    (6, "GLY", "CA", "", 0.0),
]  # fmt: skip


@pytest.fixture
def structure() -> Structure:
    st, chain = gemmi.Structure(), gemmi.Chain("A")
    model = gemmi.Model(1)
    for number in dict.fromkeys(r[0] for r in ROWS):
        own = [r for r in ROWS if r[0] == number]
        residue = gemmi.Residue()
        residue.name, residue.seqid = own[0][1], gemmi.SeqId(str(number))
        for _, _, name, altloc, occ in own:
            atom = gemmi.Atom()
            atom.name, atom.occ, atom.element = name, occ, gemmi.Element(name[0])
            atom.altloc = altloc or "\0"
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    st.add_model(model)
    return Structure.from_hierarchy(st)


@pytest.fixture
def shares(structure: Structure) -> Shares:
    whole = np.arange(len(structure)) == 8  # the half water of residue 4, on a two-fold axis
    found = partial_occupancies(structure, whole)
    assert found is not None
    return found


def test_start_is_what_the_file_says(structure: Structure, shares: Shares) -> None:
    assert len(shares.group) == 4
    assert np.allclose(Block.of(structure.occ, shares).value, structure.occ, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 30.0, 800.0])
def test_any_logits_keep_sums_and_bounds(structure: Structure, shares: Shares, size: float) -> None:
    raw = size * np.random.default_rng(4).normal(size=4)
    occ = np.asarray(shares.forward(raw))
    assert np.all(np.isfinite(occ)) and occ.min() >= 0 and occ.max() <= 1
    assert occ[1] + occ[3] + occ[5] == pytest.approx(1.0)
    assert occ[1] == occ[2] and occ[3] == occ[4]
    still = [0, 7, 8, 10]
    assert np.array_equal(occ[still], structure.occ[still])
    assert np.all(np.isfinite(jax.jacfwd(shares.forward)(raw)))


def test_curvature_is_pulled_back_by_the_jacobian(structure: Structure, shares: Shares) -> None:
    raw = np.asarray(shares.inverse(structure.occ))
    diagonal = np.random.default_rng(5).uniform(1, 2, len(structure))
    step, columns = 1e-6, []
    for k in range(4):
        e = step * (np.arange(4) == k)
        columns.append((np.asarray(shares.forward(raw + e)) - np.asarray(shares.forward(raw - e))) / (2 * step))
    expected = np.sum(diagonal * np.square(columns), axis=1)
    assert np.allclose(shares.pull(diagonal, raw), expected, rtol=1e-3)


def test_nothing_partial_gives_nothing(structure: Structure) -> None:
    full = structure.with_atoms(occ=np.ones(len(structure)))
    assert partial_occupancies(full, full.altloc != "") is None
