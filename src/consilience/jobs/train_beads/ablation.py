"""What each part of a model of beads is for: the same scores and dynamics of the prior, the network and both."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import numpy as np

from consilience.jobs.common.options import TrainOptions
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.train_beads.fit import fit_bead_prior, fit_beads
from consilience.jobs.train_beads.recipe import BeadRecipe
from consilience.jobs.train_beads.scores import row_of, squared, table_of
from consilience.jobs.train_beads.sets import BeadSets, chains_of_beads
from consilience.jobs.train_beads.stability import TRIAL_STEPS, trial
from consilience.potentials.beads.laws import WEAK, without_volume
from consilience.potentials.beads.model import BeadModel


def ablation(
    sets: BeadSets, options: TrainOptions, recipe: BeadRecipe, model: BeadModel, folder: OutputFolder
) -> dict[str, Any]:
    """Prior, network, hybrid, and the prior without its excluded volume: scores, and dynamics of each."""
    first = max(sets.work, key=lambda b: len(b.residues))
    chains = chains_of_beads(first)
    how = {"steps": TRIAL_STEPS, **recipe.trial}
    rows: dict[str, Any] = {}
    models = {options.model: model}
    for kind in ("prior", "allegro", "hybrid"):
        if kind not in models:
            folder.log(f"ablation: {kind}")
            if kind == "prior" and model.prior is not None and not recipe.prior_trains:
                models[kind] = BeadModel(model.prior)
            elif kind == "prior":
                models[kind] = BeadModel(fit_bead_prior(sets, recipe).prior)
            else:
                models[kind] = fit_beads(kind, sets, recipe, precision=options.precision, seed=folder.run.seed).model
        one = models[kind]
        rows[kind] = {
            **{k: row for k, row in table_of(one, sets).items() if k != "train"},
            "dynamics": trial(one.energy(chains), first.positions[0], first.masses, **how),
        }
    prior = models["prior"].prior
    assert prior is not None
    weak = without_volume(prior, chains)
    folder.log("ablation: without excluded volume")
    rows["without excluded volume"] = {
        **{k: row_of(squared(_weakened(models["prior"]), v)) for k, v in sets.by_name.items() if k != "train"},
        "dynamics": trial(weak, first.positions[0], first.masses, **how),
    }
    return rows


def _weakened(model: BeadModel) -> BeadModel:
    assert model.prior is not None
    prior = eqx.tree_at(lambda p: p.excluded_volume, model.prior, WEAK * np.asarray(model.prior.excluded_volume))
    return BeadModel(prior)
