"""Key figures of a relaxation analysis, each with a band and what is usual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from consilience.jobs.common.report_parts import band
from consilience.jobs.relaxation.axis import model_chains
from consilience.jobs.relaxation.dynamics_plots import has_exchange, is_extended
from consilience.jobs.relaxation.tables import OUTLIER, residuals
from consilience.nmr.analysis import Analysis
from consilience.nmr.modelfree import PARAMETERS
from consilience.report.page import Band, Card, format_value
from consilience.structure.atoms import Structure

KDA = 0.11  # of an amino acid, mean
NS_PER_KDA = 0.6  # tumbling time of a globular protein in water at 25 C, rule of thumb
SMALL_REX = 2.0  # standard errors


def cards(result: Analysis, summary: Mapping[str, Any], structure: Structure | None = None) -> tuple[Card, ...]:
    """Key figures, each with a band and what is usual."""
    z = residuals(result)
    known = np.isfinite(z)
    beyond = 100.0 * float(np.mean(np.abs(z[known]) > OUTLIER)) if known.any() else None
    simple = 100.0 * float(np.mean(~is_extended(result) & ~has_exchange(result)))
    s2 = float(np.median(result.s2))
    reduced = summary.get("chi2_reduced")
    out = [
        _time_card(result, summary, structure),
        Card(
            "χ² per degree of freedom",
            reduced,
            f"χ² {format_value(summary.get('chi2'))}" + ("" if reduced is not None else ", no freedom left"),
            None if reduced is None else band(abs(float(np.log(max(reduced, 1e-12)))), 0.7, 1.4),
            "near 1 (0.5-2); above: errors too small or fields that disagree, below: errors too large",
            digits=2,
        ),
        _ratio_card(result, summary),
        Card(
            "Median S²",
            s2,
            f"{int(np.sum(result.s2 < 0.7))} residues below 0.7",
            "good" if 0.75 <= s2 <= 0.95 else "fair" if 0.6 <= s2 <= 0.98 else "poor",
            "usual in a folded protein: 0.80-0.90",
            digits=3,
        ),
        Card(
            "Residues with simple models",
            simple,
            f"{int(is_extended(result).sum())} with two motions, {int(has_exchange(result).sum())} with exchange",
            band(-simple, -60.0, -35.0),
            "usual: above 60 %; few where fields disagree or errors are too small",
            "%",
            0,
        ),
        Card(
            "Values beyond 3 σ",
            beyond,
            f"{int(np.sum(np.abs(z[known]) > OUTLIER))} of {int(known.sum())} measured values",
            band(beyond, 1.0, 5.0),
            "expected by chance: 0.3 %",
            "%",
            1,
        ),
        _exchange_card(result),
        Card("Residues", summary.get("n_residues", len(result.data.residues)), _columns_note(result)),
    ]
    return tuple(out)


def expected_time(n_residues: int) -> float:
    """Tumbling time in ns of a globular protein of that many residues in water at 25 C: 0.6 ns per kDa."""
    return NS_PER_KDA * KDA * n_residues


def _time_card(result: Analysis, summary: Mapping[str, Any], structure: Structure | None) -> Card:
    tau, error = float(summary.get("tau_c_ns", result.tau_c)), summary.get("tau_c_err")
    note = f"± {format_value(error, 3)} ns" if error is not None else ""
    if result.tumbling is None:
        note = "held fixed" if result.diffusion is not None else "median over the residues"
    n = _chain_length(result, structure)
    rough = expected_time(n)
    judged: Band = "good" if 0.6 <= tau / rough <= 1.7 else "fair" if 0.35 <= tau / rough <= 3.0 else "poor"
    reference = (
        f"about {rough:.1f} ns for {n} residues in water at 25 °C: a rule of thumb (0.6 ns per kDa); cold samples and "
        "dimers tumble more slowly"
    )
    return Card("Tumbling time τc", tau, note, judged, reference, "ns", 2)


def _chain_length(result: Analysis, structure: Structure | None) -> int:
    """Residues of the molecule: amino acids of the chains that were measured, else the span of the numbers."""
    residues = result.data.residues
    if structure is not None:
        used = set(model_chains(residues, structure).values())
        chains = [c for c in structure.hierarchy[0] if c.name in used]
        n = sum(1 for c in chains for r in c if r.find_atom("CA", "*") and r.find_atom("N", "*"))
        if n:
            return n
    spans = [[r.number for r in residues if r.chain == c] for c in {r.chain for r in residues}]
    return max(1, sum(max(s) - min(s) + 1 for s in spans))


def _ratio_card(result: Analysis, summary: Mapping[str, Any]) -> Card:
    ratio = (summary.get("diffusion") or {}).get("ratio")
    if result.kind not in ("axial", "rhombic") or ratio is None:
        kind = "isotropic" if result.kind == "iso" else "each residue its own time"
        return Card("Anisotropy D∥/D⊥", 1.0 if result.kind == "iso" else None, kind, digits=2)
    test = next((t for t in result.tried if t.kind == result.kind), None)
    p = f", p by chance {format_value(test.p)}" if test is not None and test.p is not None else ""
    off = abs(float(np.log(ratio)))
    reference = "globular proteins: 1.0-1.5 (prolate) or 0.7-1.0 (oblate)"
    name = "Anisotropy D∥/D⊥" if result.kind == "axial" else "Anisotropy 2Dz/(Dx+Dy)"
    return Card(name, ratio, f"{result.kind}{p}", band(off, np.log(1.5), np.log(2.5)), reference, digits=2)


def _exchange_card(result: Analysis) -> Card:
    k = PARAMETERS.index("rex")
    rex, sigma = result.x[:, k], result.sigma[:, k]
    clear = has_exchange(result) & (rex > SMALL_REX * np.nan_to_num(sigma, nan=np.inf)) & (rex > 0)
    largest = f"largest {rex[clear].max():.1f} s⁻¹ at {result.data.fields.min():g} MHz" if clear.any() else "none found"
    return Card("Residues in exchange", int(clear.sum()), f"{largest}; Rex above two errors")


def _columns_note(result: Analysis) -> str:
    kinds = ", ".join(str(c) for c in result.data.columns[:9])
    more = len(result.data.columns) - 9
    return kinds + (f" and {more} more" if more > 0 else "")
