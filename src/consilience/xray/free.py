"""The free set: find the flag column by content, decode it, decide which value is free, or make a new set."""

from __future__ import annotations

import re
from typing import Literal

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError, clean

_HINT = re.compile(r"free|test|cross|status", re.IGNORECASE)
_OTHER = re.compile(r"mult|redund|n_?obs|count|batch|isym|frac|run|sweep|hand|phase|bin", re.IGNORECASE)
_MAKE = "make a set with --make-free (5 %, fixed seed), or name the column with --labels F,SIGF,FREE"


def decode_flags(raw: np.ndarray) -> tuple[np.ndarray, bool]:
    """Flags as floats (NaN where absent) from a float32 column, and whether they were raw integers in float slots.

    Some programs write the bytes of an integer where a float is due; 1 then reads as 1.4e-45.
    """
    raw = np.ascontiguousarray(raw, np.float32)
    finite = raw[np.isfinite(raw)]
    tiny = (finite != 0) & (np.abs(finite) < 1e-30)
    if tiny.any() and not (np.abs(finite) >= 1e-30).any():
        return raw.view(np.int32).astype(float), True
    return raw.astype(float), False


def histogram(flags: np.ndarray) -> dict[float, int]:
    """Count of each flag value (NaN left out), most common first."""
    values, counts = np.unique(flags[np.isfinite(flags)], return_counts=True)
    order = np.argsort(-counts)
    return {float(values[i]): int(counts[i]) for i in order}


def find_free_column(mtz: gemmi.Mtz, observed: np.ndarray) -> int | None:
    """Number of the column that looks like a free flag, judged over the `observed` rows; None where there is none.

    A column counts by content (few integer values, one small class or equal classes); a telling name or type I decides
    between several, and a telling name alone is enough, so that a damaged flag is reported instead of overlooked.
    Integers with the name of something else (multiplicity, batch, ...) never count.
    """
    best: tuple[int, int] | None = None
    data = np.asarray(mtz.array)
    for i, c in enumerate(mtz.columns):
        hint = bool(_HINT.search(c.label))
        if (c.type != "I" and not (hint and c.type in "RBYW")) or (_OTHER.search(c.label) and not hint):
            continue
        flags, _ = decode_flags(data[:, i])
        score = 4 * _looks_like_flags(flags[observed]) + 2 * hint + (c.type == "I")
        if (hint or score >= 4) and (best is None or score > best[0]):
            best = (score, i)
    return None if best is None else best[1]


def _looks_like_flags(flags: np.ndarray) -> bool:
    values = flags[np.isfinite(flags)]
    if len(values) == 0 or np.any(values != np.round(values)) or values.min() < -1 or values.max() > 10_000:
        return False
    counts = np.array(list(histogram(values).values()))
    if len(counts) < 2:
        return False
    fractions = counts / counts.sum()
    if len(counts) == 2:
        return bool(fractions.min() < 0.4)
    return len(counts) >= 4 and bool(np.sort(fractions)[1:-1].min() > 0.5 * np.median(fractions))


def choose_free(
    flags: np.ndarray, label: str, source: str, free_value: float | None
) -> tuple[np.ndarray, float, list[Finding]]:
    """(n,) bool free mask over observed reflections, the flag value that is free, and remarks.

    Two classes: the smaller is free (CCP4 0 of 0/1, phenix 1 of 0/1, SHELX -1 of 1/-1). More classes: 0, unless its
    share is impossible. Raises InputError, with the histogram, where work or test set would be empty, where a value
    that the user named is absent, or where two equal classes leave the choice open.
    """
    counts = histogram(flags)
    total = sum(counts.values())
    shown = ", ".join(f"{v:g}: {n}" for v, n in list(counts.items())[:12]) or "no values"
    where = f"{source}, column {clean(label)}"
    if len(counts) == 0:
        raise InputError("the free flag column is empty: no test set", where=where, fix=_MAKE)
    if free_value is not None and float(free_value) not in counts:
        what = f"no reflection has the free flag value {free_value:g}: the test set is empty"
        raise InputError(what, where=where, found=f"flag values {shown}", fix="choose one of these with --free-value")
    if len(counts) == 1:
        value = next(iter(counts))
        what = "all free flags are equal: the work set or the test set is empty"
        raise InputError(what, where=where, found=f"flag values {shown} (constant {value:g})", fix=_MAKE)
    if free_value is not None:
        value = float(free_value)
    elif len(counts) == 2:
        value = min(counts, key=lambda v: counts[v])
        if counts[value] > 0.4 * total:
            raise InputError(
                "the free flags divide the data into two halves: it is not clear which value is free",
                where=where,
                found=f"flag values {shown}",
                fix="say it with --free-value N",
            )
    else:
        plausible = [v for v in (0.0, 1.0, -1.0) if 0.004 * total <= counts.get(v, 0) <= 0.3 * total]
        if not plausible:
            what = "it is not clear which free flag value marks the test set"
            raise InputError(what, where=where, found=f"flag values {shown}", fix="say it with --free-value N")
        value = plausible[0]
    mask = flags == value
    n = int(mask.sum())
    findings: list[Finding] = []
    share = n / max(len(flags), 1)
    if share < 0.005 or share > 0.25:
        what = f"unusual free set: {n} of {len(flags)} reflections ({100 * share:.1f} %)"
        fix = "check --free-value, or make a set with --make-free"
        findings.append(Finding("warn", what, where, f"flag values {shown}", "5 to 10 %", fix))
    elif n < 500:
        what = (
            f"small test set: {n} free reflections; R-free is uncertain by about {100 / np.sqrt(2 * n):.1f} % of itself"
        )
        findings.append(Finding("note", what, source))
    absent = int((~np.isfinite(flags)).sum())
    if absent:
        level: Literal["note", "warn"] = "warn" if absent > 0.05 * len(flags) else "note"
        what = f"{absent} observed reflections carry no free flag: they go to the work set"
        findings.append(Finding(level, what, where))
    return mask, value, findings


def make_free_flags(
    n: int, d: np.ndarray, keys: np.ndarray, *, seed: int = 0, shells: bool = False
) -> tuple[np.ndarray, int]:
    """Set numbers 0..k-1 for unique reflections (0 is the free set), and k: 5 % free, up to 10 % for small data.

    `n` observed reflections set the share (about 500 free ones are wanted); `d` (m,) Å and `keys` (m,) order the
    reflections, so that the result does not depend on their order in the file. `shells` takes thin resolution shells
    whole, for twinned crystals and non-crystallographic symmetry.
    """
    share = min(0.10, max(0.05, 500.0 / max(n, 1)))
    k = max(2, round(1.0 / share))
    rng = np.random.default_rng(seed)
    m = len(keys)
    out = np.empty(m, int)
    if not shells:
        out[np.argsort(keys, kind="stable")] = rng.permutation(m) % k
        return out, k
    count = k * max(1, min(20, m // (20 * k)))
    sets = np.concatenate([rng.permutation(k) for _ in range(count // k)])
    order = np.lexsort((keys, -np.asarray(d)))
    out[order] = sets[(np.arange(m) * count) // m]
    return out, k
