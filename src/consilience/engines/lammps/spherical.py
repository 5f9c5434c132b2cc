"""Dihedrals times powers of the sines of their angles, as coefficients of the native `dihedral_style spherical`.

That style sums C [u - cos(K (phi - a))] [v - cos(L (theta_1 - b))] [w - cos(M (theta_2 - c))] with any number of terms;
u = 0 and an amplitude of the other sign give a cosine of phi, and sines are cosines shifted by 90 degrees.
"""

from __future__ import annotations

import numpy as np

# sin^power(theta) as a sum of amplitude * (v - cos(L (theta - b))), with b in degrees: (amplitude, L, b, v)
SINES: dict[int, tuple[tuple[float, int, float, float], ...]] = {
    0: ((1.0, 0, 0.0, 2.0),),
    1: ((-1.0, 1, 90.0, 0.0),),
    2: ((0.5, 2, 0.0, 1.0),),
    3: ((-0.75, 1, 90.0, 0.0), (0.25, 3, 30.0, 0.0)),
    4: ((0.5, 2, 0.0, 0.75), (-0.125, 4, 0.0, 0.0)),
}


def spherical(spec: tuple[tuple[int, tuple[float, ...], tuple[float, ...]], ...]) -> str:
    """Coefficients of one kind of dihedral, a tuple of (power, cos, sin) with series from k = 0 on, kcal/mol."""
    terms: list[str] = []
    for power, cos, sin in spec:
        for k, (a, b) in enumerate(zip(cos, sin, strict=True)):
            amplitude = float(np.hypot(a, b)) if k else float(a)
            if amplitude == 0.0:
                continue
            # K = 0: u - cos 0 with u = 2 is 1
            phi = "0 0.0 2.0" if k == 0 else f"{k} {float(np.degrees(np.arctan2(b, a))) / k!r} 0.0"
            sign = 1.0 if k == 0 else -1.0
            for first in SINES[power]:
                for second in SINES[power]:
                    factor = sign * amplitude * first[0] * second[0]
                    angles = " ".join(f"{m} {shift!r} {v!r}" for _, m, shift, v in (first, second))
                    terms.append(f"{factor!r} {phi} {angles}")
    return f"{len(terms)} {' '.join(terms)}" if terms else "1 0.0 1 0.0 0.0 1 0.0 0.0 1 0.0 0.0"
