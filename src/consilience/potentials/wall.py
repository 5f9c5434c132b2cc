"""Pairs of nuclei closer than any bond as training frames: there the repulsion stands alone and a network is silent.

Reference data hold no such pairs, so that a network would be free to say anything about them, a hole in the wall too.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np

from consilience.forces import forces_from
from consilience.frames.frames import Frames
from consilience.neighbours import all_pairs
from consilience.potentials.graph import single
from consilience.potentials.repulsion import COVALENT, ZBL

SHARES = (0.5, 0.56, 0.62, 0.68)  # of the sum of the covalent radii


def wall_frames(species: tuple[int, ...], repulsion: ZBL) -> Frames:
    """Two atoms of every pair of elements at four short distances, with the forces of the repulsion and no energy."""
    numbers, positions, forces = [], [], []
    for a, b in combinations_with_replacement(species, 2):
        z = np.array([a, b], np.int32)
        bond = float(COVALENT[min(a, len(COVALENT) - 1)] + COVALENT[min(b, len(COVALENT) - 1)])
        for share in SHARES:
            x = np.array([[0.0, 0.0, 0.0], [share * bond, 0.0, 0.0]])
            graph = single(z, all_pairs(2))
            _, f = forces_from(lambda y, graph=graph: repulsion(y, graph).sum())(x)
            numbers.append(z)
            positions.append(x)
            forces.append(np.asarray(f, float))
    return Frames(np.stack(numbers), np.stack(positions), forces=np.stack(forces), files=("walls between nuclei",))
