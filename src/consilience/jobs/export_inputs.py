"""Ready inputs of other programs for an exported model."""

ASE = '''"""Langevin dynamics with ASE: python run.py [STEPS] [START]; writes trajectory.extxyz beside this file."""

import sys
from pathlib import Path

import numpy as np
from ase import units
from ase.io import read, write
from ase.md.langevin import Langevin

import consilience as con

HERE = Path(__file__).resolve().parent
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
START = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "start.extxyz"
CHARGE, TEMPERATURE, TIMESTEP, EVERY = {charge}, 300.0, 0.5, 20  # e, K, fs, steps

atoms = read(START, index=0)
atoms.calc = con.load_model(HERE / "model").ase(charge=CHARGE)
rng = np.random.default_rng(0)
width = np.sqrt(atoms.get_masses() * units.kB * TEMPERATURE)
atoms.set_momenta(rng.standard_normal((len(atoms), 3)) * width[:, None])
engine = Langevin(
    atoms, TIMESTEP * units.fs, temperature_K=TEMPERATURE, friction=0.001 / units.fs, fixcm=False, rng=rng
)
trajectory = HERE / "trajectory.extxyz"
trajectory.unlink(missing_ok=True)
engine.attach(lambda: write(trajectory, atoms, append=True), interval=EVERY)
engine.run(STEPS)
energy, kelvin = atoms.get_potential_energy(), atoms.get_temperature()
print(f"{{STEPS}} steps, {{kelvin:.0f}} K, E {{energy:.6f}} eV: {{trajectory.name}}")
'''

OPENMM = '''"""Langevin dynamics with OpenMM: python run.py [STEPS] [START]; writes trajectory.dcd beside this file."""

import sys
from pathlib import Path

import openmm
from openmm import app, unit

import consilience as con
from consilience.engines.openmm import system_of

HERE = Path(__file__).resolve().parent
STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
START = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "start.extxyz"
CHARGE, TEMPERATURE, TIMESTEP, EVERY = {charge}, 300.0, 0.5, 20  # e, K, fs, steps
PLATFORM = "Reference"  # the model is by far the most work; "CPU" or "CUDA" integrate in float32

frame = con.read_frames(START)
n = int(frame.natoms[0])
numbers, x = frame.numbers[0, :n], frame.positions[0, :n]
pbc = False if frame.pbc is None else frame.pbc[0]
cell = None if frame.cell is None or not frame.pbc[0].any() else frame.cell[0]
elements = [app.Element.getByAtomicNumber(int(z)) for z in numbers]
masses = [e.mass.value_in_unit(unit.dalton) for e in elements]
force = con.load_model(HERE / "model").openmm(numbers, CHARGE, cell=cell, pbc=pbc)
system = system_of(masses, force, cell=cell, pbc=pbc)

topology = app.Topology()
residue = topology.addResidue("UNL", topology.addChain())
for i, element in enumerate(elements):
    topology.addAtom(f"{{element.symbol}}{{i + 1}}", element, residue)
integrator = openmm.LangevinMiddleIntegrator(
    TEMPERATURE * unit.kelvin, 1.0 / unit.picosecond, TIMESTEP * unit.femtosecond
)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName(PLATFORM))
simulation.context.setPositions(x / 10)
simulation.context.setVelocitiesToTemperature(TEMPERATURE * unit.kelvin, 1)
simulation.reporters.append(app.DCDReporter(str(HERE / "trajectory.dcd"), EVERY))
simulation.step(STEPS)
energy = simulation.context.getState(energy=True).getPotentialEnergy()
del simulation  # closes the trajectory
print(f"{{STEPS}} steps, E {{energy.value_in_unit(unit.kilojoule_per_mole):.4f}} kJ/mol: trajectory.dcd")
'''

README = """This folder is complete: model/ (checked by its hash when loaded), a start, and run.py for {engine}.

    python run.py [STEPS] [START]

Needed: Python with consilience {version} and {engine} {engine_version}. The energies (eV) and forces (eV/Å) of
selftest.csv were computed by consilience alone and through {engine}; summary.json has the largest differences.
"""
