"""Units of dipoles and of the electrostatic potential, from what charges fitted to the potential say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from consilience.core.errors import Finding
from consilience.frames.elements import VAN_DER_WAALS
from consilience.frames.evidence import weighted_median
from consilience.frames.frames import Key
from consilience.frames.raw import Raw
from consilience.frames.unit_labels import OURS
from consilience.units import BOHR, COULOMB, DEBYE, HARTREE, KCAL_MOL

SAMPLE = 60  # frames looked at for units
_ESP = {"V": 1.0, "hartree/e": HARTREE, "kcal/mol/e": KCAL_MOL, "mV": 1e-3}
_DIPOLE = {"e Å": 1.0, "debye": DEBYE, "e bohr": BOHR}
_LOG_DIPOLE = 0.5  # charges at the atoms give the dipole within some 25 %; e bohr would be off by 0.64


def fit_charges(x: np.ndarray, real: np.ndarray, points: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Least-squares charges (e) of one frame from its ESP (V), and rms of what they leave and of the ESP itself."""
    ok = np.isfinite(v) & np.isfinite(points).all(1) & np.isfinite(x[real]).all()
    a = COULOMB / np.maximum(np.linalg.norm(points[ok][:, None] - x[real], axis=-1), 1e-3)
    if ok.sum() <= real.sum():
        return np.full(len(x), np.nan), math.nan, math.nan
    q = np.linalg.lstsq(a, v[ok], rcond=None)[0]
    out = np.zeros(len(x))
    out[real] = q
    rest = a @ q - v[ok]
    return out, float(np.sqrt((rest**2).mean())), float(np.sqrt((v[ok] ** 2).mean()))


@dataclass(frozen=True)
class _Fit:
    """Charges fitted to the ESP with its points times `scale`: median misfit, nearest point in radii, dipole slope."""

    scale: float
    misfit: float
    nearest: float
    slope: float
    charges: np.ndarray
    rows: np.ndarray

    @property
    def is_plausible(self) -> bool:
        return 0.7 < self.nearest < 4.0


@np.errstate(all="ignore")
def electrostatic_units(raw: Raw, values: Mapping[str, np.ndarray], keys: Mapping[str, Key], x: np.ndarray):
    """ESP, its points and dipoles in our units, where charges fitted to the ESP show that they are in others.

    Returns (values, keys, findings); what the user or the file labels is left alone.
    """
    values, keys = dict(values), dict(keys)
    findings: list[Finding] = []
    esp, points, dipole = (values.get(q) for q in ("esp", "esp_xyz", "dipole"))
    if esp is not None and points is not None and points.shape[:2] == esp.shape:
        rows = np.flatnonzero(np.isfinite(x).all((1, 2)) & np.isfinite(esp).any(1))
        rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int)] if len(rows) else rows
        scales = (1.0,) if keys["esp_xyz"].said else (1.0, BOHR, 10.0)
        if len(rows) >= 2:
            fits = [_fit(raw, x, points, esp, dipole, rows, s) for s in scales]
            findings = _esp_units(raw, values, keys, fits)
    elif dipole is not None and "charges" in values and not keys["dipole"].said:
        mine = np.einsum("fn,fnx->fx", values["charges"], x)
        neutral = np.abs(values["charges"].sum(1)) < 0.05
        slope, fit = _slope(mine[neutral], dipole[neutral])
        if fit < 0.25 and (slope < -0.3 or slope > 3.0):
            what = "the dipoles do not fit the atomic charges: " + ("wrong sign?" if slope < 0 else "in debye?")
            fix = "name the unit, e.g. --units dipole=debye"
            found = f"they are {slope:.3g} times the dipoles of the charges"
            findings.append(Finding("warn", what, raw.path, found, fix=fix))
    for q in ("esp", "esp_xyz", "dipole", "stress", "virial"):
        if q in keys and not keys[q].unit:
            keys[q] = replace(keys[q], unit=OURS.get("length" if q == "esp_xyz" else q, "eV"))
    return values, keys, findings


def _fit(raw: Raw, x, points, esp, dipole, rows: np.ndarray, scale: float) -> _Fit:
    real = raw.numbers > 0
    charges, misfit, nearest = [], [], []
    for k in rows:
        p = points[k] * scale
        d = np.linalg.norm(p[np.isfinite(p).all(1)][:, None] - x[k][real[k]], axis=-1)
        nearest.append(float(np.min(d / VAN_DER_WAALS[raw.numbers[k][real[k]]], initial=np.inf)))
        q, rest, size = fit_charges(x[k], real[k], p, esp[k])
        charges.append(q)
        misfit.append(rest / size)
    all_charges = np.array(charges)
    good = np.isfinite(all_charges).all(1) & (np.array(misfit) < 0.6)
    slope = math.nan
    if dipole is not None and good.sum() >= 2:
        mine = np.einsum("fn,fnx->fx", all_charges[good], x[rows[good]])
        slope, fit = _slope(mine, dipole[rows[good]])
        slope = slope if fit < 0.25 and slope != 0 else math.nan
    middle = float(np.median(misfit))
    return _Fit(scale, middle, float(np.median(nearest)), slope, all_charges[good], rows[good])


def _esp_units(raw: Raw, values, keys, fits: list[_Fit]) -> list[Finding]:
    """Units of the points, the ESP and the dipoles together; `values` and `keys` are changed in place."""
    plain = fits[0]
    esp_units = {"V": 1.0} if keys["esp"].said else _ESP
    dipole_units = {"e Å": 1.0} if "dipole" not in keys or keys["dipole"].said else _DIPOLE
    options = []  # (changes, misfit, fit, ESP unit, dipole unit)
    for f in fits:
        usual = f.scale == 1.0
        for v, fv in esp_units.items() if f.slope > 0 else ():
            for d, fd in dipole_units.items():
                off = abs(math.log(f.slope * fd / fv))
                same = v == "V" and d == "e Å"
                atomic = v == "hartree/e" and d == "e bohr"
                changes = (not usual) + (v != "V") + (d != "e Å") - atomic
                limit = _LOG_DIPOLE if same and usual else 0.2
                if off < limit and (f.is_plausible or (same and usual)) and changes <= 2 - (not atomic):
                    options.append((changes, off, f, v, d))
    if options:
        _, _, best, v, d = min(options, key=lambda o: o[:2])
    else:
        near = [f for f in fits if f.is_plausible]
        best, v, d = min(near, key=lambda f: f.misfit, default=plain), "V", "e Å"
        sure = best.misfit < 0.6 * plain.misfit and plain.misfit > 0.05
        like_positions = best.scale == keys["positions"].factor and best.misfit < 0.2
        best = best if sure or like_positions or plain.nearest < 0.5 else plain
    out = _points_converted(raw, values, keys, plain, best)
    if options:
        return out + _converted(raw, values, keys, {"esp": v, "dipole": d}, plain)
    if best.slope < 0:
        what = "the dipoles and the ESP disagree in sign"
        fix = "one of them has another convention"
        return [*out, Finding("warn", what, raw.path, f"slope {best.slope:.3g}", "1", fix)]
    if best.slope > 0:
        what = "the dipoles do not fit the ESP: wrong unit?"
        found = f"they are {best.slope:.3g} times those of charges fitted to the ESP"
        return [*out, Finding("warn", what, raw.path, found, "1", "name the units, e.g. --units dipole=debye, esp=V")]
    if "charges" in values and not keys["esp"].said and len(best.rows) >= 2:
        out += _with_charges(raw, values, keys, best.charges, values["charges"][best.rows])
    return out


def _points_converted(raw: Raw, values, keys, plain: _Fit, best: _Fit) -> list[Finding]:
    if best.scale == 1.0:
        return []
    unit = "bohr" if best.scale == BOHR else "nm"
    values["esp_xyz"] = values["esp_xyz"] * best.scale
    keys["esp_xyz"] = replace(keys["esp_xyz"], unit=unit, factor=best.scale, said="physics")
    what = f"the points of the ESP look like {unit}, not Å (the file does not say): they were converted"
    found = (
        f"atomic charges leave {100 * plain.misfit:.3g} % of the potential as Å, {100 * best.misfit:.3g} % as {unit}"
    )
    if plain.slope > 0 and best.slope > 0:
        found += f"; dipoles over those of the charges: {plain.slope:.3g} and {best.slope:.3g}"
    return [Finding("warn", what, raw.path, found, fix=f"confirm it with --units esp_xyz={unit}")]


def _converted(raw: Raw, values, keys, units: Mapping[str, str], plain: _Fit) -> list[Finding]:
    changes = {q: u for q, u in units.items() if q in keys and u != OURS[q]}
    if not changes:
        return []
    for q, u in changes.items():
        value = (_ESP | _DIPOLE)[u]
        values[q] = values[q] * value
        keys[q] = replace(keys[q], unit=u, factor=value, said="physics")
    words = " and ".join(f"the {q} is in {u}" for q, u in changes.items()).replace("the esp", "the ESP")
    what = f"the units look as if {words} (the file does not say): converted"
    found = f"dipoles are {plain.slope:.4g} times those of charges fitted to the ESP"
    option = ", ".join(f"{q}={u}" for q, u in changes.items())
    return [Finding("warn", what, raw.path, found, "1", f'confirm it with --units "{option}"')]


def _with_charges(raw: Raw, values, keys, fitted: np.ndarray, given: np.ndarray) -> list[Finding]:
    slope, fit = _slope(given, fitted)
    if not (fit < 0.3 and slope > 0):
        return []
    unit = min(_ESP, key=lambda u: abs(math.log(slope * _ESP[u])))
    if unit == "V" or abs(math.log(slope * _ESP[unit])) > 0.7:
        return []
    values["esp"] = values["esp"] * _ESP[unit]
    keys["esp"] = replace(keys["esp"], unit=unit, factor=_ESP[unit], said="physics")
    what = f"the ESP looks like {unit}, not V (the file does not say): converted"
    found = f"charges fitted to it are {slope:.3g} times those in the file"
    return [Finding("warn", what, raw.path, found, "1", f"confirm it with --units esp={unit}")]


def _slope(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Robust slope of b on a through the origin, and the median relative error of the fit."""
    a, b = np.ravel(a), np.ravel(b)
    ok = np.isfinite(a) & np.isfinite(b) & (np.abs(a) > 1e-6)
    if ok.sum() < 4:
        return math.nan, math.inf
    a, b = a[ok], b[ok]
    slope = weighted_median(b / a, np.abs(a))
    if slope == 0 or not np.isfinite(slope):
        return slope, math.inf
    return slope, weighted_median(np.abs(b / (slope * a) - 1), np.abs(a))
