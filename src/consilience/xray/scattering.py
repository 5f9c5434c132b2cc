"""Form factors as sums of Gaussians, by kind of radiation: f(s) = sum_i a_i exp(-b_i s^2 / 4), s = 1/d."""

from __future__ import annotations

from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import InputError

Source = Literal["xray", "neutron", "electron"]


def form_factors(elements: np.ndarray, source: Source = "xray") -> tuple[np.ndarray, np.ndarray]:
    """Coefficients a (n, 5) in electrons (neutron: fm; electron: Å) and b (n, 5) Å^2 of each atom.

    X-ray: International Tables C (1992) table 6.1.1.4, the constant as a Gaussian of zero width; electron: ibid. table
    4.3.2.2; neutron: coherent scattering lengths, Neutron News 3 (1992) 29. Raises InputError for an element without
    one.
    """
    table: dict[str, tuple[list[float], list[float]]] = {}
    for name in set(elements.tolist()):
        el = gemmi.Element(name)
        try:
            if source == "xray":
                a, b = [*el.it92.a, el.it92.c], [*el.it92.b, 0.0]
            elif source == "electron":
                a, b = list(el.c4322.a), list(el.c4322.b)
            else:
                a, b = [el.neutron92.get_coefs()[0], 0, 0, 0, 0], [0.0] * 5
        except (AttributeError, TypeError, IndexError) as err:
            raise InputError(f"no {source} scattering factor for element {name}") from err
        table[name] = (a, b)
    a = np.array([table[e][0] for e in elements.tolist()], float).reshape(-1, 5)
    b = np.array([table[e][1] for e in elements.tolist()], float).reshape(-1, 5)
    return a, b
