"""The report of a coarsening: forces by map, noise, validity, and inverted distributions; rows of histograms.csv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from consilience.coarse.inversion import UNITS, Inversion
from consilience.coarse.project import Coarsened
from consilience.jobs.common.report_parts import band, footer
from consilience.report import figures
from consilience.report.page import Block, Card, Column, Page, Section, Table, Viewer
from consilience.report.render import write_page
from consilience.units import KCAL_MOL

MAPS = (
    "All valid force maps have the same mean force; what differs is noise, which only costs data. The slice takes the "
    "bare force on the atoms of a bead, basic adds what constraints tie to them, optimal and shared have the least "
    "variance."
)
PRIOR = (
    "Boltzmann inversion with the Jacobians r², sin θ and 1: potentials of mean force of single coordinates, from "
    "which the fit of a prior starts. They are not yet an energy of the chain."
)
_TITLES = {"bond": "Bonds", "angle": "Angles", "dihedral": "Dihedrals", "distance": "Distances by separation"}
_MOST = 6  # curves in one figure
_SHOWN = 8.0  # kcal/mol


def histogram_rows(prior: Sequence[Inversion]) -> Iterator[dict[str, Any]]:
    """Rows of histograms.csv: every bin that is not empty."""
    for v in prior:
        for r, count, value in zip(v.r, v.count, v.value, strict=True):
            if count:
                yield {
                    "kind": v.kind, "class": v.cls, "unit": UNITS[v.kind], "r": float(r), "count": int(count),
                    "value_kcal_mol": float(value) / KCAL_MOL,
                }  # fmt: skip


def write_report(
    folder: Path, summary: Mapping[str, Any], made: Sequence[Coarsened], prior: Sequence[Inversion]
) -> None:
    """report.html of a coarsening."""
    names = ", ".join(m.frames.name for m in made[:6]) + (", ..." if len(made) > 6 else "")
    sections = (
        Section("Forces by map", MAPS, (_bars(made), _table(made))),
        Section("Distributions", PRIOR, tuple(_curves(prior))),
        Section("Beads", "The first frame of the first protein.", (_viewer(made[0]),)),
    )
    page = Page(
        title=f"Beads of {names}",
        subtitle=f"{summary['n_frames']} frames · {summary['n_beads']} beads · map {summary['mapping']['beads']} · "
        f"forces {summary['mapping']['forces']}",
        status=summary.get("status", "ok"),
        cards=_cards(summary),
        sections=sections,
        warnings=tuple(summary.get("warnings", ())),
        next_command=f"consil train {folder.name}/beads.npz --model prior",
        footer=footer(summary),
    )
    write_page(folder / "report.html", page)


def _cards(summary: Mapping[str, Any]) -> tuple[Card, ...]:
    by_map = summary["force_rms_by_map"]
    z = summary["mapping"]["mean_force_z"]
    noise = summary["noise_floor_kcal_A"]
    limit = None if noise is None else max(0.0, 1 - (noise / summary["force_rms"]) ** 2)
    return (
        Card("r.m.s. force", summary["force_rms"], f"slice: {by_map['slice']:.1f}", None, "", "kcal/mol/Å", 2),
        Card("noise, at most", noise, "what bonded terms leave", None, "no raw error falls far below", "kcal/mol/Å", 2),
        Card("explained variance", limit, "by bonded terms, frames left out", None, "", "", 2),
        Card("mean force", z, "difference from the basic map", band(z, 1.6, 2.5), "about 1", "standard errors", 2),
        Card("frames", summary["n_frames"]),
    )


def _bars(made: Sequence[Coarsened]) -> Block:
    kinds = list(dict.fromkeys(k for m in made for k in m.rms))
    series = {k: [m.rms.get(k, np.nan) for m in made] for k in kinds}
    series["noise, at most"] = [np.nan if m.noise is None else m.noise for m in made]
    return figures.bar(
        "forces", [m.frames.name for m in made], series, x_title="protein", y_title="force / kcal/mol/Å",
        title="R.m.s. force by map", wide=len(made) > 4,
    )  # fmt: skip


def _table(made: Sequence[Coarsened]) -> Table:
    columns = ("protein", Column("frames"), Column("beads"), Column("slice", "", 2), Column("basic", "", 2),
               Column("chosen", "", 2), Column("noise", "", 2), "map", Column("mean force", "", 2))  # fmt: skip
    rows = tuple(
        (m.frames.name, len(m.beads), len(m.map.names), m.rms["slice"], m.rms["basic"], m.rms[m.chosen.kind], m.noise,
         m.chosen.kind, m.mean_force_z)
        for m in made
    )  # fmt: skip
    caption = (
        "R.m.s. forces in kcal/mol/Å; noise: an upper bound, what site-specific bonded terms leave unexplained; mean "
        "force: difference from the basic map in standard errors."
    )
    return Table(columns, rows, caption)


def _curves(prior: Sequence[Inversion]) -> Iterator[Block]:
    for kind, title in _TITLES.items():
        found = [v for v in prior if v.kind == kind]
        if not found:
            continue
        found = sorted(found, key=lambda v: (v.cls != "*", -int(v.count.sum())))[:_MOST]
        scale = 180 / np.pi if UNITS[found[0].kind] == "rad" else 1.0
        unit = "°" if scale != 1.0 else "Å"
        series = {}
        for v in found:
            y = np.where(v.count > 0, v.value / KCAL_MOL, np.nan)
            series["all" if v.cls == "*" else v.cls] = np.where(y < _SHOWN, y, np.nan)
        if kind == "bond":
            used = found[0].count > 0
            lo, hi = float(found[0].r[used].min()) - 0.1, float(found[0].r[used].max()) + 0.1
            x_range: tuple[float, float] | None = (lo, hi)
        else:
            x_range = None
        yield figures.line(
            kind, found[0].r * scale, series, x_title=f"{kind} / {unit}", y_title="V / kcal/mol", title=title,
            x_range=x_range,
        )  # fmt: skip


def _viewer(m: Coarsened) -> Viewer:
    """Beads as CA atoms of a chain each."""
    st = gemmi.Structure()
    st.add_model(gemmi.Model(1))
    for c in np.unique(m.beads.chain):
        chain = gemmi.Chain("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[int(c) % 26])
        for i in np.flatnonzero(m.beads.chain == c):
            residue = gemmi.Residue()
            residue.name, residue.seqid = m.map.names[i][:3], gemmi.SeqId(int(m.beads.number[i]) + 1, " ")
            atom = gemmi.Atom()
            atom.name, atom.element = "CA", gemmi.Element("C")
            atom.pos = gemmi.Position(*(float(v) for v in m.beads.positions[0, i]))
            residue.add_atom(atom)
            chain.add_residue(residue)
        st[0].add_chain(chain)
    st.setup_entities()
    return Viewer(st.make_pdb_string(), color_by="chain", title="Beads")
