"""From an architecture, a plain description that can be stored, to a potential with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from consilience.potentials.distributed import distributed_charges
from consilience.potentials.electrostatics import Coulomb
from consilience.potentials.equivariant import equivariant_network
from consilience.potentials.physnet import physnet
from consilience.potentials.potential import Potential
from consilience.potentials.repulsion import ZBL


@dataclass(frozen=True)
class Architecture:
    """What a potential is made of. Lengths in Å; `species` are atomic numbers in rising order.

    `layers`: interactions of the equivariant network, modules of PhysNet. `radial`: functions of the equivariant one,
    equally fine at all distances, or Gaussians of exp(-r) as PhysNet always has, coarse beyond bonds. `sites`:
    distributed charges near each atom and `site_pairs` of them (no sites: charges on the atoms). `electrostatics`:
    whether the charges (or sites) have a Coulomb energy. `bounded`: features of the equivariant network have an end.
    """

    network: Literal["physnet", "equivariant"]
    species: tuple[int, ...]
    cutoff: float = 5.0
    features: int = 64
    layers: int = 3
    l_max: int = 1
    radial_size: int = 8
    sites: int = 0
    site_pairs: int = 2
    reach: float = 1.0
    repulsion: bool = True
    electrostatics: bool = False
    coulomb_cutoff: float = 12.0
    radial: Literal["bessel", "exponential"] = "bessel"
    bounded: bool = True


PRESETS: dict[str, dict] = {
    "physnet": {
        "network": "physnet", "cutoff": 6.0, "features": 128, "layers": 5, "radial_size": 64, "electrostatics": True,
    },
    "physnet+dcm": {
        "network": "physnet", "cutoff": 6.0, "features": 128, "layers": 5, "radial_size": 64, "electrostatics": True,
        "sites": 4,
    },
    "equivariant": {"network": "equivariant", "sites": 4},
}  # fmt: skip


def build(architecture: Architecture, offsets=None, scale: float = 1.0, seed: int = 0) -> Potential:
    """A potential with random float32 weights. offsets (species,) eV: energies of the elements (None: zero)."""
    a = architecture
    rng = np.random.default_rng(seed)
    if a.network == "physnet":
        network = physnet(
            rng, a.species, cutoff=a.cutoff, features=a.features, modules=a.layers, radial_size=a.radial_size
        )
    else:
        network = equivariant_network(
            rng,
            a.species,
            cutoff=a.cutoff,
            features=a.features,
            layers=a.layers,
            l_max=a.l_max,
            radial_size=a.radial_size,
            radial=a.radial,
            bounded=a.bounded,
        )
    charges = None
    if a.sites:
        width = None if a.network == "physnet" else a.features
        charges = distributed_charges(
            rng, a.species, sites=a.sites, pairs=a.site_pairs, reach=a.reach, features=width, cutoff=min(a.cutoff, 5.0),
            bounded=a.bounded,
        )  # fmt: skip
    return Potential(
        network,
        np.zeros(len(a.species)) if offsets is None else np.asarray(offsets, float),
        np.asarray(scale, float),
        ZBL() if a.repulsion else None,
        Coulomb(damping=a.cutoff, cutoff=a.coulomb_cutoff) if a.electrostatics else None,
        charges,
    )
