"""consil check of a model: every law it must obey, its dynamics, and its smoothness where molecules are symmetric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from consilience.core.checks import Check
from consilience.frames.frames import Frames
from consilience.frames.molecules import DROPLET, droplet, pieces, usual_pieces

NVE_DT = 0.5  # the longest time step, fs
NVE, NVE_LARGE, LARGE = (1000, 2), (500, 1), 20  # steps and replicas; the fewer for more atoms than these
HUGE = 32  # atoms; of more, steps fall as their cost rises, and some atoms' Hessian stands for that of all
FEWEST = 60  # steps
RELAXED, RELAXED_HUGE = 1e-5, 1e-3  # eV/Å, largest force
EVERY = 4  # steps between frames, in all runs: one compiled program serves them
TEMPERATURE = 300.0

Tell = Callable[[str], None]


def reference_molecule(frames: Frames) -> Any:
    """The frame of lowest energy (or smallest forces) that is as whole as the others, as what a model is tested on."""
    from consilience.potentials.probe import Molecule

    sizes = frames.natoms
    pick = np.arange(len(frames))[sizes == np.median(sizes).astype(int)]
    pick = pick if pick.size else np.arange(len(frames))
    if frames.energy is not None and np.isfinite(frames.energy[pick]).any():
        pick = pick[np.argsort(frames.energy[pick])]
    elif frames.forces is not None:
        pick = pick[np.argsort(np.abs(frames.forces[pick]).max((1, 2)))]
    i = int(pick[0])
    if not frames.is_periodic:
        usual = usual_pieces(frames)  # products of a decay may lie lowest
        i = int(next((k for k in pick if pieces(frames, int(k)) <= usual), i))
    n = int(sizes[i])
    charge = 0.0 if frames.total_charge is None else float(np.nan_to_num(frames.total_charge[i]))
    numbers, positions = np.asarray(frames.numbers[i, :n], np.int32), np.asarray(frames.positions[i, :n], float)
    if charge == 0.0 and (frames.is_periodic or n > DROPLET):  # who of many molecules has a charge is not known
        box = (None, None) if frames.cell is None or frames.pbc is None else (frames.cell[i], frames.pbc[i])
        rows, positions = droplet(numbers, positions, *box)
        numbers = numbers[rows]
    return Molecule(numbers, positions, charge)


def card_of(model: Any, molecule: Any, tell: Tell = lambda what: None) -> tuple[list[Check], dict[str, Any]]:
    """All checks of the first member of a model, and figures that are measured without a tolerance.

    `tell` hears what comes next.
    """
    from consilience.potentials.laws import prove

    potential = model.potential
    checks = prove(potential, molecule, tell)
    more, measured = _dynamics(potential, molecule, tell)
    return [*checks, *more], measured


def _dynamics(potential: Any, molecule: Any, tell: Tell) -> tuple[list[Check], dict[str, Any]]:
    """A relaxed start, its Hessian by differentiation against differences, then constant-energy dynamics."""
    import gemmi

    from consilience.core.errors import InputError, RunError
    from consilience.md.optimise import optimise
    from consilience.md.simulate import simulate
    from consilience.md.vibrations import check_hessian
    from consilience.neighbours import neighbour_matrix
    from consilience.potentials.molecule import molecule_energy
    from consilience.potentials.probe import sample
    from consilience.potentials.weights import cast

    double = molecule_energy(cast(potential, np.float64), molecule.numbers, molecule.charge)
    masses = np.array([gemmi.Element(int(z)).weight for z in molecule.numbers])
    tell("relaxed geometry")
    least = RELAXED_HUGE if len(masses) > HUGE else RELAXED
    try:
        relaxed = optimise(double, molecule.positions, cutoff=double.cutoff, tolerance=least)
    except (InputError, RunError) as err:
        return [Check("relaxed geometry", float("inf"), least, str(err))], {}
    out = [Check("relaxed geometry", relaxed.max_force, least, "largest force, eV/Å")]
    lists = neighbour_matrix(relaxed.positions, double.cutoff + 0.1)  # steps move an atom by 0.01 Å
    tell("Hessian")
    rows = sample(len(masses)) if len(masses) > HUGE else None
    fine, coarse = check_hessian(double, relaxed.positions, masses, lists, rows=rows)
    about = "largest difference of a frequency from that by differences of forces, cm^-1"
    out.append(Check("Hessian at the minimum, 0.002 Å", fine.max_cm1, 2.0, about))
    out.append(Check("Hessian at the minimum, 0.01 Å", coarse.max_cm1, 20.0, about))
    steps, replicas = NVE if len(masses) <= LARGE else NVE_LARGE
    steps = max(FEWEST, EVERY * round(steps * min(1.0, HUGE / len(masses)) / EVERY))
    rms, drifts, error, stable = {}, {}, 0.0, True
    for dt in (NVE_DT, NVE_DT / 2, NVE_DT / 4):
        tell(f"constant-energy dynamics, {dt:g} fs")
        run = simulate(
            double, relaxed.positions, masses, steps=round(steps * NVE_DT / dt), dt=dt, ensemble="nve",
            temperature=2 * TEMPERATURE, every=EVERY, seed=1, replicas=replicas, cutoff=double.cutoff,
        )  # fmt: skip
        stable &= run.status == "ok"
        if run.conservation is None or not stable:
            break
        rms[dt], drifts[dt] = run.conservation.rms, run.conservation.drift
        error = run.conservation.drift_err
    measured = {"nve_rms_mev_atom": rms, "nve_drift_mev_atom_ps": drifts, "temperature_k": TEMPERATURE}
    measured = {k: {str(a): b for a, b in v.items()} if isinstance(v, dict) else v for k, v in measured.items()}
    out.append(Check("constant-energy dynamics is stable", 0.0 if stable else 1.0, 0.5, f"{steps * NVE_DT / 1e3} ps"))
    if stable and len(rms) == 3:
        ratio = rms[NVE_DT] / max(rms[NVE_DT / 4], 1e-12)
        about = "spread of the energy at dt over dt/4; 16 for true forces, 1 for others"
        out.append(Check("energy spread falls as dt²", ratio, 24.0, about, least=7.0))
        about = "meV/atom/ps at the shortest time step; or within three standard errors"
        out.append(Check("energy drift", abs(drifts[NVE_DT / 4]), max(1e-2, 3 * error), about))
        tell("dynamics forth and back")
        out.append(_reversal(double, relaxed.positions, masses, steps, replicas))
    return out, measured


def _reversal(energy: Any, x: np.ndarray, masses: np.ndarray, steps: int, replicas: int) -> Check:
    """So many steps forth, and back with reversed velocities."""
    from consilience.md.simulate import simulate

    same = {"steps": steps, "dt": NVE_DT, "every": EVERY, "replicas": replicas, "cutoff": energy.cutoff}
    forth = simulate(energy, x, masses, seed=2, temperature=2 * TEMPERATURE, **same).trajectory
    x1, v1 = forth.positions[:, -1], forth.velocities[:, -1]
    back = simulate(energy, x1, masses, velocities=-v1, **same).trajectory
    error = float(np.abs(back.positions[:, -1] - x).max())
    return Check(f"{steps} steps forth and back", error, 1e-8, "Å")


def molecule_of(info: dict[str, Any]) -> Any | None:
    """The molecule that a model keeps for its own checks, or None."""
    from consilience.potentials.probe import Molecule

    said = info.get("reference")
    if not isinstance(said, dict):
        return None
    numbers, positions = np.asarray(said.get("numbers"), np.int32), np.asarray(said.get("positions"), float)
    if numbers.ndim != 1 or positions.shape != (len(numbers), 3) or not np.isfinite(positions).all():
        return None
    return replace(Molecule(numbers, positions), charge=float(said.get("charge", 0.0)))
