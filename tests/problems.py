"""Refinement problems for tests, set up as the command does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from consilience.examples import example_path
from consilience.jobs.common.options import RefineOptions
from consilience.jobs.refine.inputs import load_inputs
from consilience.jobs.refine.problem import Refinement
from consilience.xray.experiment import Crystal
from consilience.xray.french_wilson import amplitudes


def refinement(model: Path, data: Path, options: RefineOptions | None = None, **kind: Any) -> Refinement:
    """A problem from files; `kind`: fields of Refinement (target, adp, jelly, ...)."""
    inputs = load_inputs([model, data], options or RefineOptions(), 0)
    amplitude, sigma = amplitudes(inputs.reflections)
    crystal = Crystal.of(inputs.reflections, amplitude, sigma, 0.05, 0)
    return Refinement(inputs.structure, inputs.topology, crystal, **kind)


def built_in(data: str = "data", **kind: Any) -> Refinement:
    """The simulated crystal from its shaken start."""
    return refinement(example_path("crystal/start.pdb"), example_path(f"crystal/{data}.mtz"), **kind)
