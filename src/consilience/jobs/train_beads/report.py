"""The report of a training on beads: scores, learning, local structure in dynamics, proofs, trials, attractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from consilience.coarse.beads import Beads
from consilience.jobs.common.output import OutputFolder
from consilience.jobs.common.report_parts import footer
from consilience.jobs.train.report import error_table, law_table
from consilience.jobs.train_beads.fit import Fitted
from consilience.jobs.train_beads.sets import BeadSets, chains_of_beads
from consilience.potentials.beads.model import BeadModel
from consilience.report.figures import line
from consilience.report.page import Card, Column, Page, Plot, Section, Table, Text
from consilience.report.render import write_page
from consilience.units import KCAL_MOL

STEPS, EVERY = 20_000, 20  # of the dynamics whose histograms are shown


def write_report(
    folder: OutputFolder, summary: Mapping[str, Any], fitted: Fitted, model: BeadModel, sets: BeadSets
) -> None:
    """report.html of a training on beads."""
    unseen = "free" if "free" in summary["table"] else "valid" if "valid" in summary["table"] else "train"
    row, checks = summary["table"][unseen], summary["checks"]
    holding = sum(c["passed"] for c in checks)
    trials, floor = summary["card"]["trials"], summary["noise_floor_kcal_A"]
    stable = sum(t["stable"] for t in trials.values())
    cards = (
        Card("explained variance", row["explained_variance"], f"of the forces, {unseen} frames"),
        Card("force error", row["force_rmse_kcal_A"], f"r.m.s., {unseen} frames, noise included", None,
             f"noise alone: at most {floor:.2f}" if floor and floor < row["force_rmse_kcal_A"] else "", "kcal/mol/Å"),
        Card("checks that hold", holding, f"of {len(checks)}", "good" if holding == len(checks) else "poor"),
        Card("stable in dynamics", stable, f"of {len(trials)} proteins", "good" if stable == len(trials) else "poor"),
    )  # fmt: skip
    sections = [
        Section("Scores", NOISE, (error_table(summary["table"]), _proteins(summary["proteins"]))),
        *([Section("Learning", "", (_learning(fitted.histories),))] if fitted.histories else []),
        *_populations(summary["prior"]),
        *_ablation(summary.get("ablation")),
        Section("Local structure", HISTOGRAMS, _local_structure(model, max(sets.work, key=len))),
        Section("What was proven", "", (law_table(checks), _trials(trials))),
        Section("Which residues attract", PAIRS, (_attraction(summary["card"]["attraction"]),)),
    ]
    page = Page(
        f"Training of a potential of beads: {summary['model']}",
        ", ".join(b.name for b in sets.work),
        "ok" if summary["status"] == "ok" else "checks_failed",
        cards,
        tuple(sections),
        folder.warnings,
        f"consil simulate {folder.path / 'model'} start.pdb --ensemble nvt",
        footer({**summary, **folder.timings()}),
    )
    write_page(folder.path / "report.html", page)


NOISE = (
    "Forces on beads are means over many atomic configurations plus noise, which no model can explain. Compare models "
    "on the same frames: a difference of 0.01 in explained variance is real, the absolute error says little."
)
HISTOGRAMS = (
    "Density of each coordinate in the reference frames at the temperature shown, and in Langevin dynamics of the "
    "model from the first frame. Short dynamics need not cover all states; a mode that the reference lacks is a fault."
)
PAIRS = "Depth of the minimum of two beads alone, far apart in the chain; the deepest twenty of 210 pairs of types."


def _proteins(proteins: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    rows = tuple(
        (name, which, row["explained_variance"], row["force_rmse_kcal_A"])
        for which, found in proteins.items()
        for name, row in found.items()
    )
    return Table(("protein", "set", Column("explained variance"), Column("error, kcal/mol/Å")), rows)


def _learning(history: Sequence[Mapping[str, Any]]) -> Plot:
    first = [h for h in history if h["member"] == 1]
    curves = {"steer": [(h.get("rms_forces") or np.nan) / KCAL_MOL for h in first]}
    caption = "What the prior and the network leave, averaged weights."
    epochs = [h["epoch"] for h in first]
    return line("learning", epochs, curves, x_title="epoch", y_title="r.m.s. force, kcal/mol/Å", caption=caption)


def _populations(prior: Mapping[str, Any] | None) -> list[Section]:
    told = None if prior is None else prior["populations"]
    if not told or not told["rounds"]:
        return []
    rounds = told["rounds"]
    worth = ", ".join(f"{name} {count:.0f}" for name, count in told["independent_frames"].items())
    about = (
        "Each round simulates the prior and corrects angles and dihedrals towards the populations of the frames at "
        f"{told['temperature_k']:g} K, which are worth so many independent ones: {worth}. Forces are weighed against "
        "them; the coefficients of the last rounds are averaged."
    )
    held = [r["round"] for r in rounds if r["share"] < 1.0]
    if held:
        about += (
            f" Where they would have cost the forces too much (rounds {', '.join(map(str, held))}), they counted less."
        )
    curves = {"change": [r["change_kt"] for r in rounds]}
    plot = line(
        "populations", [r["round"] for r in rounds], curves, x_title="round", y_title="change of the energy, kT"
    )
    return [Section("Populations", about, (plot,))]


def _ablation(rows: Mapping[str, Any] | None) -> list[Section]:
    if rows is None:
        return []
    sets = [k for k in ("valid", "free") if any(k in r for r in rows.values())]
    table = tuple(
        (
            name,
            *(r.get(k, {}).get("explained_variance") for k in sets),
            "yes" if r["dynamics"]["stable"] else "no",
            r["dynamics"]["min_distance"],
            r["dynamics"]["why"],
        )
        for name, r in rows.items()
    )
    head = ("model", *(Column(f"explained variance, {k}") for k in sets), "stable", Column("closest, Å"), "why not")
    return [Section("Ablation", "", (Table(head, table),))]


def _local_structure(model: BeadModel, beads: Beads) -> tuple[Plot | Text, ...]:
    """Bonds, angles and dihedrals of frames at their median temperature, and of the model's own dynamics there."""
    from consilience.md.simulate import simulate

    heat = float(np.median(beads.temperature))
    reference = beads.select(beads.temperature == heat)
    energy = model.energy(chains_of_beads(beads), temperature=heat)
    run = simulate(energy, reference.positions[0], beads.masses, steps=STEPS, dt=5.0, ensemble="nvt",
                   temperature=heat, every=EVERY, replicas=1, seed=0, cutoff=energy.cutoff)  # fmt: skip
    words = f"{beads.name}, {heat:g} K, {len(reference)} frames; {run.n_steps} steps of 5 fs."
    return (Text(words), *local_plots(reference, run.trajectory.positions[0]))


def local_plots(reference: Beads, own: np.ndarray) -> tuple[Plot, ...]:
    """Histograms of bonds, angles and dihedrals of reference frames, and of frames (f, n, 3) of a model."""
    out = []
    for name, unit, a, b in _coordinates(reference, own):
        low, high = np.quantile(np.concatenate([a, b]), [0.001, 0.999])
        edges = np.linspace(low, high, 61)
        middle = 0.5 * (edges[1:] + edges[:-1])
        curves = {k: np.histogram(v, edges, density=True)[0] for k, v in (("reference", a), ("model", b))}
        title, plot = f"{name}s".capitalize(), f"local-{name.split()[0]}"
        out.append(line(plot, middle, curves, title=title, x_title=f"{name}, {unit}", y_title="density"))
    return tuple(out)


def _coordinates(reference: Beads, own: np.ndarray) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    linked = [np.asarray(chains_of_beads(reference).linked(c)) for c in (2, 3, 4)]

    def of(x: np.ndarray) -> list[np.ndarray]:
        b = np.diff(x, axis=1)
        length = np.linalg.norm(b, axis=-1)
        u = b / length[..., None]
        angle = np.degrees(np.arccos(np.clip(-(u[:, :-1] * u[:, 1:]).sum(-1), -1, 1)))
        m = np.cross(b[:, :-1], b[:, 1:])
        sine = (np.cross(m[:, :-1], m[:, 1:]) * u[:, 1:-1]).sum(-1)
        dihedral = np.degrees(np.arctan2(sine, (m[:, :-1] * m[:, 1:]).sum(-1)))
        return [v[:, on].ravel() for v, on in zip((length, angle, dihedral), linked, strict=True)]

    names = (("bond length", "Å"), ("angle", "degrees"), ("dihedral", "degrees"))
    found = zip(names, of(reference.positions), of(own), strict=True)
    return [(name, unit, a, b) for (name, unit), a, b in found if a.size and b.size]


def _trials(trials: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple(
        (name, "stable" if t["stable"] else "not stable", t["steps"], t["temperature"], t["min_distance"],
         t["bond_rms"], t["why"]) for name, t in trials.items()
    )  # fmt: skip
    head = ("protein", "", Column("steps"), Column("K"), Column("closest, Å"), Column("bonds, r.m.s., Å"), "why")
    return Table(head, rows)


def _attraction(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = tuple((f"{r['first']} - {r['second']}", r["depth"], r["r"]) for r in rows)
    return Table(("pair", Column("depth, kcal/mol"), Column("distance, Å")), table)
