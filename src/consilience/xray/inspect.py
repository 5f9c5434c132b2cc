"""What is odd about a set of reflections: resolution, completeness, outliers, intensities stored as amplitudes."""

from __future__ import annotations

import gemmi
import numpy as np

from consilience.core.errors import Finding
from consilience.xray.reflections import Reflections


def inspect_reflections(data: Reflections) -> list[Finding]:
    """Findings about accepted reflections; intensity statistics use the work set only."""
    out = _resolution(data)
    work = ~data.free
    if work.sum() >= 200:
        out += _distribution(data, work)
    ratio = data.value[work] / data.sigma[work]
    if len(ratio) and float(np.mean(ratio)) < 1.0:
        what = f"the data are very weak: mean {_symbol(data)}/sigma is {float(np.mean(ratio)):.2f}"
        out.append(Finding("warn", what, data.source, fix="check the sigmas, or cut with --d-min"))
    if len(data) > 20 and np.ptp(data.sigma) == 0:
        what = "every sigma is the same: they are probably not measured"
        out.append(Finding("warn", what, data.source, f"sigma {data.sigma[0]:g} everywhere"))
    return out


def _symbol(data: Reflections) -> str:
    return "F" if data.kind == "amplitude" else "I"


def _resolution(data: Reflections) -> list[Finding]:
    out: list[Finding] = []
    d = data.d
    lo, hi = float(d.max()), float(d.min())
    if hi < 0.4:
        what = "impossible resolution: the cell or the indices are damaged"
        return [Finding("error", what, data.source, f"{hi:.3f} Å", "over 0.4 Å")]
    if hi > 10.0:
        what = f"very low resolution ({hi:.1f} Å): no atomic model can be refined"
        out.append(Finding("warn", what, data.source))
    possible = gemmi.count_reflections(data.cell, data.spacegroup, hi * (1 - 1e-6), lo * (1 + 1e-6))
    share = len(data) / max(possible, 1)
    what = f"{len(data)} unique reflections from {lo:.1f} to {hi:.2f} Å, {100 * min(share, 1.0):.1f} % complete"
    out.append(Finding("note", what, data.source))
    if share < 0.5:
        what = f"the data are only {100 * share:.0f} % complete"
        out.append(Finding("warn", what, data.source, f"{len(data)} of {possible} unique reflections to {hi:.2f} Å"))
    if len(data) < 50:
        out.append(Finding("warn", f"only {len(data)} reflections", data.source))
    return out


def _distribution(data: Reflections, work: np.ndarray) -> list[Finding]:
    """Second moment and outliers of intensities normalised in resolution shells (Wilson statistics)."""
    out: list[Finding] = []
    hkl, inv_d2 = data.hkl[work], data.inv_d2[work]
    ops = data.spacegroup.operations()
    value = data.value[work]
    intensity = (value**2 if data.kind == "amplitude" else value) / ops.epsilon_factor_array(hkl)
    order = np.argsort(inv_d2)
    shells = np.array_split(order, max(1, min(20, len(order) // 100)))
    e2 = np.full(len(intensity), np.nan)
    for s in shells:
        mean = _robust_mean(intensity[s])
        if mean > 0:
            e2[s] = intensity[s] / mean
    acentric = ~np.asarray(ops.centric_flag_array(hkl)) & np.isfinite(e2)
    limit = max(30.0, 3.0 * np.log(len(e2)))
    high = np.flatnonzero(e2 > np.where(acentric, limit, 2 * limit))
    if len(high):
        worst = high[np.argmax(e2[high])]
        what = f"{len(high)} outlier(s): intensity far above that of the resolution shell"
        found = f"{tuple(int(v) for v in hkl[worst])} is {e2[worst]:.0f} times the shell mean"
        out.append(Finding("warn", what, data.source, found, f"below {limit:.0f} times", "check these measurements"))
    e = e2[acentric & (e2 < limit) & (e2 > 0)]
    if len(e) >= 200:
        # <y>^2/<y^2>: 0.79 for acentric amplitudes, 0.50 for intensities (0.67 when twinned)
        y = np.sqrt(e) if data.kind == "amplitude" else e
        moment = float(np.mean(y) ** 2 / np.mean(y**2))
        if data.kind == "amplitude" and moment < 0.60:
            what = "the amplitudes are distributed like intensities: intensities may be stored as amplitudes"
            out.append(Finding("warn", what, data.source, f"<F>^2/<F^2> = {moment:.2f}", "0.79", "use --labels"))
        elif data.kind == "intensity" and moment > 0.74:
            what = "the intensities are distributed like amplitudes: amplitudes may be stored as intensities"
            out.append(Finding("warn", what, data.source, f"<I>^2/<I^2> = {moment:.2f}", "0.50", "use --labels"))
    return out


def _robust_mean(values: np.ndarray) -> float:
    """Mean without the top 1 %, scaled for what an exponential distribution loses by it."""
    cut = np.quantile(values, 0.99)
    kept = values[values <= cut]
    return float(np.mean(kept)) / 0.953 if len(kept) else 0.0
