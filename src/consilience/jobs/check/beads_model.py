"""consil check of a model of beads: every law it must obey, and its dynamics at constant energy."""

from __future__ import annotations

from typing import Any

import numpy as np

from consilience.core.checks import Check
from consilience.core.errors import InputError
from consilience.potentials.beads.chains import Chains, chains_of
from consilience.potentials.beads.laws import attraction, prove_beads
from consilience.potentials.beads.model import BeadModel
from consilience.residues import mass

NVE_STEPS, NVE_DT, TEMPERATURE = 1000, 4.0, 300.0
EVERY = 4  # steps between frames, in both runs: one compiled program serves them


def card_of(
    model: BeadModel, chains: Chains, positions: np.ndarray, masses: np.ndarray, *, steps: int = NVE_STEPS
) -> tuple[list[Check], dict[str, Any]]:
    """All checks of the first member of a model, and figures that are measured without a tolerance."""
    from consilience.md.simulate import simulate

    energy = model.cast(64).energy(chains)
    checks = prove_beads(energy, positions)
    rms, drifts, stable = {}, {}, True
    for dt in (NVE_DT, NVE_DT / 2):
        run = simulate(
            energy, positions, masses, steps=round(steps * NVE_DT / dt), dt=dt, ensemble="nve", seed=1, replicas=1,
            temperature=TEMPERATURE, every=EVERY, cutoff=energy.cutoff,
        )  # fmt: skip
        stable &= run.status == "ok"
        if run.conservation is None or not stable:
            break
        rms[dt], drifts[dt] = run.conservation.rms, run.conservation.drift
    checks.append(
        Check("constant-energy dynamics is stable", 0.0 if stable else 1.0, 0.5, f"{steps * NVE_DT / 1e3} ps")
    )
    if len(rms) == 2:
        ratio = rms[NVE_DT] / max(rms[NVE_DT / 2], 1e-12)
        about = "spread of the energy at dt over dt/2; 4 for true forces, 1 for others"
        checks.append(Check("energy spread falls as dt²", ratio, 5.5, about, least=2.8))
    measured: dict[str, Any] = {
        "nve_rms_mev_bead": {str(k): v for k, v in rms.items()},
        "nve_drift_mev_bead_ps": {str(k): v for k, v in drifts.items()},
        "temperature_k": TEMPERATURE,
        "attraction": attraction(energy)[:20],
    }
    return checks, measured


def prove_model(model: BeadModel) -> list[Check]:
    """All checks on the frame that a model keeps. Raises InputError where it keeps none."""
    found = reference_of(model.info)
    if found is None:
        raise InputError("the model keeps no frame to be tested on", fix="train the model again")
    chains, x, residues = found
    return card_of(model, chains, x, np.array([mass(r) for r in residues]))[0]


def reference_of(info: Any) -> tuple[Chains, np.ndarray, tuple[str, ...]] | None:
    """Chains, positions (n, 3) and residues of the frame that a model keeps for its own checks, or None."""
    said = info.get("reference")
    try:
        x = np.asarray(said["positions"], float)
        residues = tuple(str(r) for r in said["residues"])
        chains = chains_of(residues, said["chain"], said["number"])
    except (KeyError, TypeError, ValueError):
        return None
    return (chains, x, residues) if x.shape == (len(residues), 3) and np.isfinite(x).all() else None
