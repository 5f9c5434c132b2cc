"""From reported values and units to rates: T1 and T2 in s, ms or us, rates in s^-1, and units that cannot be true."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from consilience.core.errors import Finding
from consilience.nmr.data import Kind

# what a protein's 15N amides can show between 200 and 1300 MHz, as medians over residues; s^-1
PLAUSIBLE: dict[str, tuple[float, float]] = {"R1": (0.12, 12.0), "R2": (0.5, 400.0)}
_TYPICAL = {"R1": (0.25, 4.0), "R2": (1.0, 100.0)}  # where the unit has to be guessed
_TESLA = 42.577478  # MHz of 1H for each tesla
_N15 = 9.8656  # 1H frequency over that of 15N


class Unit(NamedTuple):
    """A unit of rates (`is_time` False: value * scale is s^-1) or of times (value * scale is s)."""

    name: str
    is_time: bool
    scale: float


UNITS = (
    Unit("s-1", False, 1.0),
    Unit("s", True, 1.0),
    Unit("ms", True, 1e-3),
    Unit("us", True, 1e-6),
    Unit("ms-1", False, 1e3),
    Unit("us-1", False, 1e6),
)
_SPELLING = {
    "s-1": "s-1 1/s /s hz sec-1 1/sec s^(-1) s^{-1} s**-1 per_s persecond rad/s radians/s s−1 rates rate second-1 s-",
    "s": "s sec secs second seconds t time",
    "ms": "ms msec millisecond milliseconds",
    "us": "us usec µs μs microsecond microseconds",
    "ms-1": "ms-1 1/ms msec-1 khz",
    "us-1": "us-1 1/us usec-1 µs-1 μs-1",
}


def unit_of(text: str) -> Unit | None:
    """The unit that a tag or a table's header spells; None where it says nothing that is known."""
    t = re.sub(r"[\s\"']", "", text).lower().replace("^-1", "-1")
    for u in UNITS:
        if t in _SPELLING[u.name].split():
            return u
    return None


@np.errstate(all="ignore")
def to_rates(
    kind: Kind, value: np.ndarray, sigma: np.ndarray, unit: str, where: str, *, hint: str = ""
) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """Rates in s^-1 with errors (err / T^2 where times are given), and findings about the unit.

    value, sigma (n,): as reported, NaN where absent; unit: as spelled in the file, "" or "." where it is not said:
    then the unit that makes the median plausible is taken, and said; `hint` ("s-1" or "s") decides between two.
    """
    if kind not in PLAUSIBLE:
        scale, finding = _other_scale(kind, unit, where)
        return value * scale, sigma * scale, finding
    used, findings = unit_of(unit), []
    given = np.abs(value[np.isfinite(value) & (value != 0)])
    if len(given) == 0:
        return value, sigma, []
    median = float(np.median(given))
    possible = [u for u in UNITS if _is_within(PLAUSIBLE[kind], median, u)]
    times = f"{_time(kind)} or {kind} from {given.min():.4g} to {given.max():.4g}"
    if used is None:
        possible = [u for u in possible if _is_within(_TYPICAL[kind], median, u)] or possible
        used = next((u for u in possible if u.name == hint), None) or _likely(kind, median, possible)
        said = f"unit '{unit}' is not known" if unit.strip(" .?") else "no unit is given"
        if used is None:
            what = f"{kind}: {said}, and no unit makes the values plausible"
            return value, sigma, [Finding("error", what, where, times, _range(kind), "give the unit")]
        doubt = len([u for u in possible if u.name in ("s-1", "s", "ms")]) > 1 and used.name != hint
        what = f"{kind}: {said}: the values are taken as {_in_words(kind, used)}"
        fix = "give the unit" + (f" ({' or '.join(u.name for u in possible)} are all plausible)" if doubt else "")
        findings.append(Finding("warn" if doubt else "note", what, where, times, _range(kind), fix))
    elif used not in possible:
        better = _likely(kind, median, possible)
        found = f"{_in_words(kind, used)} from {given.min():.4g} to {given.max():.4g} {used.name}"
        what = f"{kind}: impossible values for unit {used.name}"
        what += f": the numbers look like {_in_words(kind, better)} (wrong unit tag?)" if better else ": out of range"
        fix = f"correct the unit to {better.name}" if better else "check values and unit"
        findings.append(Finding("error", what, where, found, _range(kind), fix))
    if not used.is_time:
        return value * used.scale, sigma * used.scale, findings
    t = np.where(value == 0, np.nan, value * used.scale)
    if np.any(value == 0):
        what = f"{kind}: {int(np.sum(value == 0))} relaxation time(s) of zero: taken as missing"
        findings.append(Finding("warn", what, where, "0", "a positive time"))
    return 1.0 / t, sigma * used.scale / t**2, findings


def field_finding(field: float, where: str) -> Finding | None:
    """An error where a field cannot be a 1H frequency in MHz (or is not given: NaN); None where it is fine."""
    if not math.isfinite(field):
        return Finding(
            "error",
            "no spectrometer frequency: the field of this list is not known",
            where,
            "no field",
            "MHz of 1H",
            "give it with --field MHZ, or write it into the file",
        )
    if 200.0 <= field <= 1300.0:
        return None
    hint = "check the field"
    if 4.5 <= field <= 31.0:
        hint = f"{field:g} looks like tesla: {field:g} T = {field * _TESLA:.0f} MHz"
    elif 31.0 < field <= 132.0:
        hint = f"{field:g} looks like the frequency of 15N: that of 1H is then {field * _N15:.0f} MHz"
    elif 2e8 <= field <= 1.3e9:
        hint = f"{field:g} looks like Hz: {field / 1e6:g} MHz"
    elif 0.2 <= field <= 1.3:
        hint = f"{field:g} looks like GHz: {field * 1e3:g} MHz"
    what = f"implausible spectrometer frequency (field): {field:g} MHz"
    return Finding("error", what, where, f"{field:g} MHz", "200 to 1300 MHz of 1H", hint)


def _other_scale(kind: str, unit: str, where: str) -> tuple[float, list[Finding]]:
    """What cross-correlated rates are multiplied with to be s^-1 (an NOE has no unit)."""
    used = unit_of(unit) if kind.startswith("eta") else None
    if used is None:
        return 1.0, []
    if used.is_time:
        return 1.0, [Finding("error", f"{kind}: unit {used.name} is no unit of a rate", where, unit, "s-1")]
    return used.scale, []


def _is_within(limits: tuple[float, float], median: float, unit: Unit) -> bool:
    lo, hi = limits
    rate = median * unit.scale if not unit.is_time else 1.0 / (median * unit.scale)
    return lo <= rate <= hi


def _likely(kind: str, median: float, possible: list[Unit]) -> Unit | None:
    """The most usual unit among the possible ones: R1 below 1.1 reads as a time in s, larger ones as rates."""
    by_name = {u.name: u for u in possible}
    order = ["s-1", "s", "ms", "us", "ms-1", "us-1"]
    if (kind == "R1" and median < 1.1) or (kind == "R2" and median < 0.8):
        order = ["s", "s-1", "ms", "us", "ms-1"]
    if kind == "R2" and median > 60.0:
        order = ["ms", "s-1", "s", "us", "ms-1"]
    return next((by_name[n] for n in order if n in by_name), None)


def _time(kind: str) -> str:
    return kind.replace("R", "T")


def _in_words(kind: str, unit: Unit) -> str:
    return f"times {_time(kind)} in {unit.name}" if unit.is_time else f"rates {kind} in {unit.name}"


def _range(kind: str) -> str:
    lo, hi = PLAUSIBLE[kind]
    return f"{kind} between {lo:g} and {hi:g} s^-1, {_time(kind)} between {1e3 / hi:.3g} and {1e3 / lo:.3g} ms"
