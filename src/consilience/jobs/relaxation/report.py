"""The report of a relaxation analysis: key figures with what is usual, tumbling, dynamics, agreement, structure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from consilience.jobs.common.report_parts import TRUTH, footer, structure_text, truth_table
from consilience.jobs.relaxation.axis import STRIP_NOTE, ResidueAxis, model_chains, residue_axis
from consilience.jobs.relaxation.cards import cards
from consilience.jobs.relaxation.dynamics_plots import (
    density_plots,
    dynamics_plots,
    has_exchange,
    information_plot,
    models_plot,
)
from consilience.jobs.relaxation.rate_plots import agreement_plots, rate_plots, ratio_plot
from consilience.jobs.relaxation.tables import (
    AXES,
    COLOURS,
    agreement_table,
    axes_table,
    choices_table,
    consistency_table,
    correlation_table,
    dynamics_table,
    held_out_table,
    kinds_table,
    outlier_table,
    tumbling_table,
    worst_table,
)
from consilience.nmr.analysis import Analysis
from consilience.nmr.modelfree import PARAMETERS
from consilience.report.page import (
    Arrow,
    Block,
    Coloring,
    Page,
    Section,
    Table,
    Text,
    Viewer,
    format_value,
)
from consilience.structure.atoms import Structure


def relaxation_page(
    result: Analysis,
    summary: Mapping[str, Any],
    structure: Structure | None = None,
    truth: Mapping[str, tuple[Any, Any, str]] | None = None,
) -> Page:
    """The page of a relaxation analysis from its result and the keys of its summary.json.

    `structure`: the model that the N-H directions came from; `truth`: {label: (found, true, unit)} where it is known.
    """
    axis = residue_axis(result.data.residues, structure)
    sections = [
        _tumbling(result),
        _rates(result, axis),
        _dynamics(result, axis, summary),
        *([_in_structure(result, structure)] if structure is not None else []),
        _agreement(result, axis, summary),
        _densities(result, axis),
        _information(result, summary),
        _fields(result),
        Section("Choices", "What the analysis was made with.", (choices_table(result),)),
    ]
    if truth:
        sections.insert(0, Section("Recovered against true", TRUTH, (truth_table(truth),)))
    return Page(
        title=f"Relaxation of {_stem(result, structure)}",
        subtitle=_subtitle(result, structure),
        status=summary.get("status", "ok"),
        cards=cards(result, summary, structure),
        sections=tuple(sections),
        warnings=tuple(summary.get("warnings", ())),
        next_command=_next(result, structure),
        footer=footer(summary),
    )


def _stem(result: Analysis, structure: Structure | None) -> str:
    files = result.data.files or ((structure.source,) if structure is not None else ())
    return Path(files[0]).name.split(".")[0] if files and Path(files[0]).name else "amides"


def _subtitle(result: Analysis, structure: Structure | None) -> str:
    files = ", ".join(Path(f).name for f in result.data.files[:4]) + (", …" if len(result.data.files) > 4 else "")
    parts = [files] if files else []
    if structure is not None and structure.source:
        parts.append(f"N-H directions from {Path(structure.source).name}")
    fields = ", ".join(f"{f:g}" for f in result.data.fields)
    return " · ".join([*parts, f"{len(result.data.residues)} residues", f"{fields} MHz"])


def _next(result: Analysis, structure: Structure | None) -> str:
    inputs = [*result.data.files[:4], *([structure.source] if structure is not None and structure.source else [])]
    command = " ".join(["consil relaxation", *(shlex.quote(f) for f in inputs)]) if inputs else "consil relaxation DATA"
    if result.samples is None:
        return f"{command} --montecarlo 500\n# errors by Monte Carlo instead of the curvature of χ²"
    return f"{command} --diffusion local\n# does each residue's own tumbling time agree with the tensor?"


def _tumbling(result: Analysis) -> Section:
    tables = (tumbling_table(result), axes_table(result), kinds_table(result))
    text = {
        "iso": "The molecule tumbles as a sphere.",
        "axial": "The molecule tumbles as a symmetric top; z is its unique axis.",
        "rhombic": "The molecule tumbles with three different rates.",
        "local": "Every residue has a tumbling time of its own.",
    }[result.kind]
    if result.tumbling is not None:
        text += f" The tensor was fitted to {int(result.core.sum())} residues without exchange and slow motion."
    elif result.diffusion is not None:
        text += " It was held fixed."
    return Section("Tumbling", text, tuple(t for t in tables if t is not None))


def _rates(result: Analysis, axis: ResidueAxis) -> Section:
    ratio = ratio_plot(result, axis)
    text = "What was measured, and what the fitted tumbling and dynamics give."
    text += f" {STRIP_NOTE}" if axis.strip else ""
    return Section("Rates", text, (*rate_plots(result, axis), *([ratio] if ratio else [])))


def _dynamics(result: Analysis, axis: ResidueAxis, summary: Mapping[str, Any]) -> Section:
    counts = summary.get("models") or {}
    said = ", ".join(f"{m}: {n}" for m, n in counts.items() if n)
    text = "Model-free order parameters, internal correlation times and exchange of every residue."
    if said:
        text += f" Residues by model: {said}."
    if summary.get("fits_per_s"):
        text += f" {format_value(summary['fits_per_s'])} fits per second."
    blocks: list[Block] = [*dynamics_plots(result, axis), models_plot(result, axis), dynamics_table(result, axis)]
    if (correlated := correlation_table(result, axis)) is not None:
        blocks.append(correlated)
    return Section("Dynamics", text, tuple(blocks))


def _in_structure(result: Analysis, structure: Structure) -> Section:
    text, kind = structure_text(structure)
    chains = model_chains(result.data.residues, structure)
    keys = [(chains.get(r.chain, ""), r.number) for r in result.data.residues]
    count = np.maximum(result.data.measured.sum(axis=1), 1)
    exchange, k = has_exchange(result), PARAMETERS.index("rex")
    ways: list[str | Coloring] = [
        Coloring("S²", dict(zip(keys, map(float, result.s2), strict=True)), low=1.0, high=0.5)
    ]
    if exchange.any():
        rex = {key: float(result.x[i, k]) for i, key in enumerate(keys) if exchange[i]}
        ways.append(Coloring("Rex", rex, "s⁻¹", 0.0))
    ways.append(Coloring("χ²/n", dict(zip(keys, map(float, result.chi2 / count), strict=True)), low=0.0, high=4.0))
    arrows = tensor_arrows(result, structure)
    caption = "Blue: rigid (S² = 1), red: mobile (S² = 0.5 and below), grey: not measured."
    if arrows:
        caption += " Rods: principal axes of the diffusion tensor through the centre of mass, as long as its values."
    viewer = Viewer(
        text, kind, (), (*ways, "secondary", "chain"), caption, "S² on the structure", arrows, "Tensor axes"
    )
    where = "A click on a row of the tables on this page takes the view to the residue."
    return Section("On the structure", where, (viewer,))


def tensor_arrows(result: Analysis, structure: Structure) -> tuple[Arrow, ...]:
    """The tensor's principal axes as rods through the centre of mass, lengths proportional to the values.

    The longest reaches a tenth beyond the atom furthest from the centre. Isotropic and local tumbling have none.
    """
    axes = result.axes
    if axes is None or result.kind not in ("axial", "rhombic"):
        return ()
    used = set(model_chains(result.data.residues, structure).values())
    atoms = [a for c in structure.hierarchy[0] if c.name in used for r in c if not r.is_water() for a in r]
    if not atoms:
        return ()
    xyz, mass = np.array([a.pos.tolist() for a in atoms]), np.array([a.element.weight for a in atoms])
    centre = np.average(xyz, axis=0, weights=np.maximum(mass, 1e-3))
    reach = 1.1 * float(np.linalg.norm(xyz - centre, axis=1).max())
    out = []
    for name, colour, d, u in zip(AXES, COLOURS, axes.values, axes.axes, strict=True):
        half = reach * float(d / axes.values.max()) * u
        label = f"D{name} {100 * d:.2f}·10⁷ s⁻¹"
        first, last = (tuple(float(v) for v in centre + sign * half) for sign in (-1, 1))
        out.append(Arrow(first, last, label, colour, heads=0))  # type: ignore[arg-type]
    return tuple(out)


def _agreement(result: Analysis, axis: ResidueAxis, summary: Mapping[str, Any]) -> Section:
    text = "Values of all residues against the fit. A pattern that all residues share points at the data or the tensor."
    blocks = (
        *agreement_plots(result, axis),
        agreement_table(result),
        *((free,) if (free := held_out_table(summary.get("scores") or {})) is not None else ()),
        outlier_table(result, axis),
        worst_table(result, axis),
    )
    return Section("Agreement", text, blocks)


def _densities(result: Analysis, axis: ResidueAxis) -> Section:
    text = (
        "Reduced spectral density mapping, from the measured values of each field alone: no tumbling and no model of "
        "motion enters."
    )
    plots = density_plots(result, axis)
    return Section("Spectral densities", text, plots or (Text("It needs R1, R2 and NOE at one field."),))


def _information(result: Analysis, summary: Mapping[str, Any]) -> Section:
    text = (
        "Expected before any fit, from the errors of the data alone, for a residue of S² 0.85, te 30 ps and Rex 1 s⁻¹ "
        "whose CSA is free within its prior. One nat is an error smaller by a factor of 2.7."
    )
    information = summary.get("information") or result.information
    plot = information_plot(information)
    return Section("What each kind of data tells", text, (plot,) if plot else (Text("Nothing was measured."),))


def _fields(result: Analysis) -> Section:
    text = (
        "J(0), F(R2) and F(η) are computed from each data set on its own and do not depend on the field. Where they "
        "differ, a joint fit puts the difference into exchange or order parameters."
    )
    table: Table | None = consistency_table(result)
    empty = Text("There are no two data sets with the same rates to compare.")
    return Section("Consistency between fields", text, (table or empty,))
