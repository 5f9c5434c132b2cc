"""How well a model explains each residue, whatever moves inside: chi2 with every residue's own S2 and te fitted anew.

This scores residues that no fit has seen: their internal motion is unknown, but it cannot absorb the pattern over kinds
and fields that a wrong direction of N-H makes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from consilience.nmr.amides import amide_frames
from consilience.nmr.blocks import matrix
from consilience.nmr.constants import constants_named
from consilience.nmr.modelfree import PARAMETERS
from consilience.nmr.residuefit import Experiment, Measured, Method, Tumbling, refine
from consilience.nmr.term import Observed, Relaxation

START = {"s2f": 1.0, "s2s": 0.85, "tf": 0.0, "ts": 0.03, "rex": 0.0, "tm": 1.0}
SLOWEST = 1.0  # ns, of the internal motion of a rigid amide


class Profile(NamedTuple):
    """chi2 (n,) of each residue at its own best motion (n, 5) as blocks.MOTION; residues without data have 0."""

    chi2: np.ndarray
    motion: np.ndarray


def profile(term: Relaxation, xyz: np.ndarray, diffusion: np.ndarray, obs: Observed, slow: bool = True) -> Profile:
    """For atoms (a, 3) Å and a tensor (6,) rad^2/ns that are held; `slow` frees te, else S2 alone."""
    nh, side = amide_frames(jnp.asarray(xyz)[term.atoms])
    weight = np.sqrt(obs.count) / obs.sigma
    measured = Measured(np.asarray(obs.value), weight, np.asarray(nh), np.asarray(side))
    constants = constants_named(term.constants)
    active = tuple(PARAMETERS.index(p) for p in (("s2s", "ts") if slow else ("s2s",)))
    method = Method(active, False, True, constants, collapse=False)
    angle = np.array([float(term.csa), float(term.angle)])
    prior = np.stack([angle, np.ones(2)], 1)
    experiment = Experiment(term.omega, term.kind, term.field, term.growth, np.asarray(term.r6_inverse), prior)
    start = np.r_[[START[p] for p in PARAMETERS[:6]], angle]
    low, high = start.copy(), start.copy()
    low[1], high[1] = 0.0, 1.0
    if slow:
        low[3], high[3] = 0.0, SLOWEST
    else:
        start[3] = low[3] = high[3] = 0.0
    n = len(weight)
    tumbling = Tumbling.of(matrix(np.asarray(diffusion), np), collapse=False)
    x, chi2 = refine(
        np.tile(start, (n, 1)), np.tile(low, (n, 1)), np.tile(high, (n, 1)), tumbling, measured, experiment, method
    )
    return Profile(np.asarray(chi2), np.asarray(x)[:, :5])
