"""A molecule of atoms in OpenMM whose chosen atoms are pulled to given places and held there while the others move."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import openmm
from openmm import app

from consilience.core.errors import InputError, clean
from consilience.units import KJ_MOL

NM = 10.0  # Å
STIFF = 5e4  # kJ/mol/nm² on each pulled atom: 0.07 Å of thermal motion at 300 K
FRICTION, STEP = 5.0, 1e-3  # 1/ps, ps
SPEED = 2.0  # Å/ps of the target while atoms are pulled
STAGES = 8  # of a pull, at least
SETTLE = 1.0  # ps at the target, the restraints on
EVERY = 20  # steps between two forces that are looked at


class FrozenAtoms:
    """n atoms with a force field, bonds flexible, no cutoff, of which the `chosen` are pulled or held.

    text: PDB or mmCIF (`form`), of which the atoms `kept` (mask) are used; `force_field`: files that OpenMM finds.
    Raises InputError for a molecule that the force field does not know.
    """

    def __init__(
        self,
        text: str,
        form: str,
        kept: np.ndarray,
        chosen: np.ndarray,
        force_field: Sequence[str],
        *,
        platform: str = "CPU",
        seed: int = 0,
        where: str = "",
    ):
        topology = _topology(text, form, kept, where)
        system = _system(topology, force_field, where)
        self.chosen = np.asarray(chosen)
        self.elements = [a.element.symbol if a.element is not None else "" for a in topology.atoms()]
        self._place = openmm.CustomExternalForce("0.5*stiff*((x-x0)^2+(y-y0)^2+(z-z0)^2)")
        self._place.addGlobalParameter("stiff", STIFF)
        for name in ("x0", "y0", "z0"):
            self._place.addPerParticleParameter(name)
        for i in self.chosen:
            self._place.addParticle(int(i), [0.0, 0.0, 0.0])
        frozen = copy.deepcopy(system)
        for i in self.chosen:
            frozen.setParticleMass(int(i), 0.0)
        system.addForce(self._place)
        self._pulling = _context(system, platform, seed + 1)
        self._holding = _context(frozen, platform, seed + 2)

    def pull(
        self, positions: np.ndarray, target: np.ndarray, temperature: float, seed: int
    ) -> tuple[np.ndarray, float]:
        """Positions (n, 3) after the chosen atoms were led to `target` (b, 3) Å, and how far the worst of them is off.

        Through a straight path in small stages, with dynamics of the whole molecule; then minimised with restraints.
        """
        context = self._pulling
        start = positions[self.chosen]
        far = float(np.linalg.norm(target - start, axis=-1).max())
        stages = max(STAGES, int(np.ceil(far / 0.2)))
        steps = max(10, int(np.ceil(far / SPEED / STEP / stages)))
        self._lead(start)
        context.setPositions(positions / NM)
        openmm.LocalEnergyMinimizer.minimize(context, 10, 100)
        _warm(context, temperature, seed)
        for k in range(1, stages + 1):
            self._lead(start + (target - start) * (k / stages))
            context.getIntegrator().step(steps)
        context.getIntegrator().step(int(SETTLE / STEP))
        openmm.LocalEnergyMinimizer.minimize(context, 10, 200)
        x = _positions(context)
        return x, float(np.linalg.norm(x[self.chosen] - target, axis=-1).max())

    def hold(self, positions: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
        """Minimised positions (n, 3) Å and their energy, eV, with the chosen atoms exactly at `target`."""
        context, x = self._holding, positions.copy()
        x[self.chosen] = target
        context.setPositions(x / NM)
        openmm.LocalEnergyMinimizer.minimize(context, 5, 500)
        energy = context.getState(getEnergy=True).getPotentialEnergy()._value * KJ_MOL
        return _positions(context), float(energy)

    def sample(
        self,
        positions: np.ndarray,
        temperature: float,
        ps: float,
        seed: int,
        measure: Callable[[np.ndarray], np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """(s, ...) `measure` of the forces (n, 3) eV/Å on all atoms during `ps` of Langevin dynamics, and the last
        positions (n, 3) Å. The chosen atoms stay where they are; a quarter of `ps` goes before.
        """
        context = self._holding
        context.setPositions(positions / NM)
        _warm(context, temperature, seed)
        count = max(2, int(ps / STEP / EVERY))
        context.getIntegrator().step(count * EVERY // 4)
        found = []
        for _ in range(count):
            context.getIntegrator().step(EVERY)
            force = context.getState(getForces=True).getForces(asNumpy=True)._value
            found.append(measure(force * (KJ_MOL / NM)))
        return np.stack(found), _positions(context)

    def _lead(self, target: np.ndarray) -> None:
        for k, (i, x) in enumerate(zip(self.chosen, target / NM, strict=True)):
            self._place.setParticleParameters(k, int(i), x.tolist())
        self._place.updateParametersInContext(self._pulling)


def platform_for(device: str | None) -> str:
    """The platform for --device: "gpu" takes the fastest that is there, else "CPU"."""
    there = {openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())}
    wanted = ("CUDA", "HIP", "OpenCL", "CPU") if device == "gpu" else ("CPU",)
    return next((p for p in wanted if p in there), "Reference")


def _topology(text: str, form: str, kept: np.ndarray, where: str) -> Any:
    try:
        file = (app.PDBFile if form == "pdb" else app.PDBxFile)(io.StringIO(text))
        atoms = list(file.topology.atoms())
        if len(atoms) != len(kept):
            raise InputError("OpenMM reads another number of atoms from the topology", where,
                             f"{len(atoms)}", f"{len(kept)}", "leave out alternative conformations")  # fmt: skip
        model = app.Modeller(file.topology, file.positions)
        model.delete([a for a, k in zip(atoms, kept, strict=True) if not k])
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as err:
        raise InputError("OpenMM cannot read the topology", where, clean(err).split("\n")[0][:160]) from None
    return model.topology


def _system(topology: Any, force_field: Sequence[str], where: str) -> Any:
    try:
        made = app.ForceField(*force_field)
    except Exception as err:  # OpenMM raises what its parser does: OSError, ValueError, KeyError, ParseError
        found = f"{', '.join(force_field)}: {clean(err).splitlines()[0][:120] if str(err) else type(err).__name__}"
        fix = "e.g. amber99sbildn.xml,amber99_obc.xml or amber14-all.xml,implicit/gbn2.xml"
        raise InputError("the force field cannot be read", "--force-field", found, fix=fix) from None
    try:
        return made.createSystem(topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False,
                                 removeCMMotion=False)  # fmt: skip
    except (ValueError, KeyError) as err:
        fix = "all hydrogens and terminal atoms must be there; or choose another --force-field"
        raise InputError("the force field does not know this molecule", where, clean(err)[:200], fix=fix) from None


def _context(system: Any, platform: str, seed: int) -> Any:
    integrator = openmm.LangevinMiddleIntegrator(300.0, FRICTION, STEP)
    integrator.setRandomNumberSeed(seed % 2**30 + 1)
    chosen = openmm.Platform.getPlatformByName(platform)
    said = {"DeterministicForces": "true"} if platform in ("CPU", "CUDA") else {}
    return openmm.Context(system, integrator, chosen, said)


def _warm(context: Any, temperature: float, seed: int) -> None:
    context.getIntegrator().setTemperature(temperature)
    context.setVelocitiesToTemperature(temperature, seed % 2**30 + 1)


def _positions(context: Any) -> np.ndarray:
    return np.array(context.getState(getPositions=True).getPositions(asNumpy=True)._value) * NM
