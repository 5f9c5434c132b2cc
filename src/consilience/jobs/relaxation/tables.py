"""The tables of a relaxation report: tumbling, tests of its kinds, agreement, outliers, fields, choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from consilience.jobs.relaxation.axis import ResidueAxis
from consilience.jobs.relaxation.rate_plots import PLAIN, UNITS, column_names, statistics
from consilience.nmr.amide_constants import CSA_ANGLE
from consilience.nmr.analysis import Analysis
from consilience.nmr.constants import constants_named
from consilience.nmr.data import KINDS
from consilience.nmr.diffusion import principal_axes
from consilience.nmr.modelfree import PARAMETERS
from consilience.nmr.tumbling import TumblingFit, tensor_of
from consilience.report.page import Column, Row, Table, format_value

OUTLIER = 3.0  # standard errors
CORRELATED = 0.9
AXES = ("x", "y", "z")
COLOURS = ("#d0803a", "#3a9d80", "#a8508a")  # of the axes x, y, z in table and view


def value_errors(fit: TumblingFit | None) -> np.ndarray:
    """(3,) standard errors of the principal values, rad^2/ns, by propagation; NaN where the tensor was held."""
    if fit is None:
        return np.full(3, np.nan)
    spread = np.sqrt(np.maximum(np.diag(fit.covariance), 1e-300))
    rows = []
    for k in range(len(fit.q)):
        step = np.zeros(len(fit.q))
        step[k] = 1e-3 * spread[k]
        high, low = (principal_axes(tensor_of(q, fit.shape), fit.kind).values for q in (fit.q + step, fit.q - step))
        rows.append((high - low) / (2 * step[k]))
    slope = np.array(rows)
    return np.sqrt(np.maximum(np.einsum("ka,kl,la->a", slope, fit.covariance, slope), 0.0))


def tumbling_table(result: Analysis) -> Table:
    """Correlation time, principal values, ratio and direction of the unique axis with their errors."""
    errors: Mapping[str, float | None] = result.tumbling.errors() if result.tumbling else {}
    axes = result.axes
    label = "τm, median over the residues" if result.diffusion is None else "τc = 1/(2 tr D)"
    rows: list[tuple[Any, ...]] = [(label, result.tau_c, errors.get("tau_c"), "ns")]
    if axes is not None:
        spread = value_errors(result.tumbling)
        for name, d, e in zip(AXES, axes.values, spread, strict=True):
            rows.append((f"D{name}", 100 * float(d), 100 * float(e), "10⁷ s⁻¹"))
    if axes is not None and result.kind in ("axial", "rhombic"):
        label = "D∥ / D⊥" if result.kind == "axial" else "2 Dz / (Dx + Dy)"
        rows.append((label, axes.ratio, errors.get("ratio"), ""))
        for name, sign, angle in zip(("theta", "phi"), ("θ", "φ"), axes.angles, strict=True):
            e = errors.get(name)
            spread_deg = None if e is None else float(np.degrees(e))
            rows.append((f"{sign} of the z axis in the model's frame", float(np.degrees(angle)), spread_deg, "°"))
    held = ", held" if result.tumbling is None and result.diffusion is not None else ""
    return Table(("quantity", Column("value"), Column("error"), "unit"), tuple(rows), f"Tumbling: {result.kind}{held}")


def axes_table(result: Analysis) -> Table | None:
    """Principal axes as unit vectors in the frame of the model."""
    axes = result.axes
    if axes is None or result.kind not in ("axial", "rhombic"):
        return None
    rows = tuple((n, 100 * float(d), *map(float, a)) for n, d, a in zip(AXES, axes.values, axes.axes, strict=True))
    columns = ("axis", Column("D", "10⁷ s⁻¹", 3), *(Column(f"along {n}", digits=3) for n in "XYZ"))
    caption = "Principal axes in the model's frame"
    return Table(columns, rows, caption + (" (x and y are arbitrary about z)" if result.kind == "axial" else ""))


def kinds_table(result: Analysis) -> Table | None:
    """The F tests that chose the kind of tensor."""
    if not result.tried:
        return None
    rows = tuple(
        (t.kind, t.chi2, t.freedom, t.chi2 / max(t.freedom, 1), t.p, "yes" if t.accepted else "no")
        for t in result.tried
    )
    columns = (
        "tensor",
        Column("χ²", digits=1),
        "degrees of freedom",
        Column("χ² per degree", digits=2),
        "p by chance",
        "needed",
    )
    return Table(columns, rows, "Is a more general tensor needed? F tests on the rigid residues")


def agreement_table(result: Analysis) -> Table:
    """How well each column of the data is described."""
    rows, names = [], column_names(result.data)
    for i, c in sorted(enumerate(result.data.columns), key=lambda ic: (KINDS.index(ic[1].kind), ic[1].field)):
        if result.data.measured[:, i].any():
            s = statistics(result, i)
            rows.append((PLAIN[c.kind], names[i], s["n"], s["chi2_n"], s["rms"], UNITS[c.kind], s["r"], s["q"]))
    columns = (
        "rate",
        "field",
        "n",
        Column("χ²/n", digits=2),
        Column("r.m.s. difference"),
        "unit",
        Column("Pearson r", digits=3),
        Column("Q", digits=4),
    )
    return Table(columns, tuple(rows), "Agreement by data set (Q: r.m.s. difference over r.m.s. of the values)")


def held_out_table(scores: Mapping[str, Any]) -> Table | None:
    """Rates that were fitted against rates that were held out, by kind; None where nothing was held out."""
    rows = []
    for name, sets in scores.items():
        free, work = sets.get("free") or {}, sets.get("work") or {}
        if free.get("n"):
            cells = (free["n"], free.get("chi2_per_datum"), free.get("rms"), work.get("n"), work.get("chi2_per_datum"))
            rows.append((PLAIN.get(name.removeprefix("nmr."), name), *cells))
    if not rows:
        return None
    columns = (
        "rate",
        "n held out",
        Column("χ²/n held out", digits=2),
        Column("r.m.s. difference held out"),
        "n fitted",
        Column("χ²/n fitted", digits=2),
    )
    return Table(columns, tuple(rows), "Rates that no fit has seen")


def residuals(result: Analysis) -> np.ndarray:
    """(n, m) (measured - back-calculated) / sigma; NaN where nothing was measured."""
    known = result.data.measured
    sigma = np.where(known & (result.data.sigma > 0), result.data.sigma, np.nan)
    return (result.data.value - result.back) / sigma


def outlier_table(result: Analysis, axis: ResidueAxis) -> Table:
    """Measured values further than three standard errors from the fit, worst first."""
    z = residuals(result)
    at = np.argwhere(np.abs(np.nan_to_num(z)) > OUTLIER)
    names, rows = column_names(result.data), []
    for r, c in sorted(at.tolist(), key=lambda rc: -abs(z[rc[0], rc[1]])):
        kind = result.data.columns[c].kind
        found, sigma, back = (float(a[r, c]) for a in (result.data.value, result.data.sigma, result.back))
        cells = (axis.names[r], PLAIN[kind], names[c], found, sigma, back, float(z[r, c]), result.models[r])
        rows.append(Row(cells, axis.goto[r]))
    columns = (
        "residue",
        "rate",
        "field",
        Column("measured"),
        Column("error", digits=3),
        Column("back-calculated"),
        Column("difference / error", digits=1),
        "model",
    )
    return Table(columns, tuple(rows), f"Values more than {OUTLIER:g} standard errors from the fit, worst first")


def worst_table(result: Analysis, axis: ResidueAxis, longest: int = 25) -> Table:
    """Residues by chi2 for each datum, worst first."""
    count = result.data.measured.sum(axis=1)
    share = np.where(count > 0, result.chi2 / np.maximum(count, 1), 0.0)
    rows = [
        Row((axis.names[i], result.models[i], float(result.chi2[i]), int(count[i]), float(share[i])), axis.goto[i])
        for i in np.argsort(-share, kind="stable")
    ]
    columns = ("residue", "model", Column("χ²", digits=1), "n", Column("χ²/n", digits=2))
    return Table(columns, tuple(rows), "χ² per residue, worst first", max_rows=longest)


def correlation_table(result: Analysis, axis: ResidueAxis) -> Table | None:
    """Pairs of parameters of one residue that are correlated beyond 0.9, strongest first."""
    rows = []
    upper = np.triu_indices(len(PARAMETERS), 1)
    for i, matrix in enumerate(result.spread.correlation):
        for a, b in zip(*upper, strict=True):
            value = float(np.nan_to_num(matrix[a, b]))
            if abs(value) > CORRELATED:
                cells = (axis.names[i], result.models[i], PARAMETERS[a], PARAMETERS[b], value)
                rows.append((-abs(value), Row(cells, axis.goto[i])))
    if not rows:
        return None
    rows.sort(key=lambda pair: pair[0])
    columns = ("residue", "model", "parameter", "parameter", Column("correlation", digits=3))
    caption = (
        f"Parameters of one residue that are correlated beyond {CORRELATED:g}: only their combination is determined"
    )
    return Table(columns, tuple(row for _, row in rows), caption, max_rows=60)


def consistency_table(result: Analysis) -> Table | None:
    """Quantities that must not depend on the field, compared between data sets."""
    rows = tuple(
        (c.quantity, c.first, c.second, c.ratio, c.error, c.n, "yes" if c.agrees else "no") for c in result.consistency
    )
    if not rows:
        return None
    columns = ("quantity", "first", "second", Column("ratio", digits=3), Column("error", digits=3), "n", "agree")
    return Table(columns, rows, "Median ratio, second to first, over the residues")


def dynamics_table(result: Analysis, axis: ResidueAxis) -> Table:
    """The parameters of every residue with their errors."""
    x, e = result.x, result.sigma
    k = {p: i for i, p in enumerate(PARAMETERS)}
    free = result.fits.upper[result.chosen] > result.fits.lower[result.chosen]
    rows = []
    for i, name in enumerate(axis.names):

        def of(parameter: str, factor: float = 1.0, i: int = i) -> tuple[float | None, float | None]:
            if not free[i, k[parameter]]:
                return None, None
            return factor * float(x[i, k[parameter]]), factor * float(e[i, k[parameter]])

        cells = (name, result.models[i], float(result.s2[i]), float(e[i, -1]), of("s2f")[0], *of("ts", 1e3), *of("rex"))
        rows.append(Row((*cells, float(result.chi2[i]), int(result.data.measured[i].sum())), axis.goto[i]))
    columns = (
        "residue",
        "model",
        Column("S²", digits=3),
        Column("error", digits=3),
        Column("S²f", digits=3),
        Column("te or ts", "ps", 1),
        Column("error", "ps", 1),
        Column("Rex", "s⁻¹", 2),
        Column("error", "s⁻¹", 2),
        Column("χ²", digits=1),
        "n",
    )
    return Table(columns, tuple(rows), "Dynamics of every residue (errors: see the choices below)", max_rows=1000)


def choices_table(result: Analysis) -> Table:
    """Constants and choices of the analysis, as its manifest records them."""
    o = result.options
    constants = constants_named(o.constants)
    crossed = any(c.kind.startswith("eta") for c in result.data.columns)
    angle = o.csa_angle if o.csa_angle is not None else CSA_ANGLE if crossed else 0.0
    errors = f"Monte Carlo, {o.montecarlo} samples" if result.samples is not None else "Laplace (curvature of χ²)"
    rows = [
        ("models tried", ", ".join(o.models)),
        ("selection", o.select.upper()),
        ("errors", errors),
        ("r N-H", f"{o.r_nh:g} Å"),
        ("15N CSA", format_value(o.csa) + " ppm"),
        ("CSA axis to N-H", f"{angle:g}°"),
        ("constants", o.constants),
    ]
    rows += [
        ("γ(1H)", f"{constants.gamma_h:.9g} rad s⁻¹ T⁻¹"),
        ("γ(15N)", f"{constants.gamma_n:.9g} rad s⁻¹ T⁻¹"),
        ("h", f"{constants.planck:.9g} J s"),
        ("μ₀", f"{constants.mu0:.9g} N A⁻²"),
    ]
    return Table(("choice", "value"), tuple(rows), "Constants and choices")
