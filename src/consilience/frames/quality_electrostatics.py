"""Findings on charges, dipoles and ESP of frames: sums of charges, points inside atoms, charges that leave the ESP."""

from __future__ import annotations

import math

import numpy as np

from consilience.core.errors import Finding
from consilience.frames.electrostatic_units import SAMPLE, fit_charges
from consilience.frames.elements import VAN_DER_WAALS
from consilience.frames.frames import Frames
from consilience.frames.raw import frames_at
from consilience.units import COULOMB

SUM_LIMIT = 0.02  # e: how far atomic charges may miss the total charge


def electrostatics(frames: Frames) -> list[Finding]:
    """Charges against the total charge, points of the ESP against the atoms, and charges against the ESP."""
    path = ", ".join(frames.files)
    return [*_sums(frames, path), *_points(frames, path), *_reproduced(frames, path)]


def _sums(frames: Frames, path: str) -> list[Finding]:
    out = []
    q, total = frames.charges, frames.total_charge
    if total is not None:
        odd = np.flatnonzero(np.isfinite(total) & (np.abs(total - np.round(total)) > 1e-3))
        if len(odd):
            what = f"the total charge is no whole number in {len(odd)} frame(s)"
            out.append(Finding("warn", what, frames_at(path, odd), f"{total[odd[0]]:.4g} e"))
    if q is None:
        return out
    sums = q.sum(1)
    key = next((k.key for k in frames.keys if k.quantity == "charges"), "charges")
    if total is not None:
        bad = np.flatnonzero(np.abs(sums - total) > SUM_LIMIT)
        if len(bad):
            k = int(bad[0])
            what = f"the atomic charges '{key}' do not sum to the total charge in {len(bad)} of {len(frames)} frame(s)"
            found = f"frame {k}: sum of charges {sums[k]:+.4g} e, total charge {total[k]:+.4g} e"
            spread = float(np.nanstd(sums - total))
            if len(bad) > 1:
                found += f"; mean difference {np.nanmean(sums - total):+.3g} e, standard deviation {spread:.2g} e"
            out.append(Finding("warn", what, frames_at(path, bad), found, "equal within 0.02 e"))
        return out
    whole = np.round(sums)
    bad = np.flatnonzero(np.abs(sums - whole) > SUM_LIMIT)
    if len(bad):
        k = int(bad[0])
        what = f"the atomic charges '{key}' do not sum to a whole number in {len(bad)} of {len(frames)} frame(s)"
        found = f"frame {k}: sum of charges {sums[k]:+.4g} e"
        out.append(Finding("warn", what, frames_at(path, bad), found, "the total charge of the molecule"))
    elif np.any(whole != 0):
        k = int(np.flatnonzero(whole != 0)[0])
        what = f"the atomic charges of {int((whole != 0).sum())} frame(s) sum to an ion; the file gives no total charge"
        out.append(Finding("note", what, frames_at(path, [k]), f"{whole[k]:+g} e", fix="say it with --charge"))
    return out


def _points(frames: Frames, path: str) -> list[Finding]:
    if frames.esp_xyz is None:
        return []
    out = []
    if frames.esp is None:
        out.append(Finding("warn", "points of an ESP without its values", path, fix="name its key (esp)"))
    inside = []
    for k in range(len(frames)) if len(frames) <= 500 else np.linspace(0, len(frames) - 1, 500).astype(int):
        p = frames.esp_xyz[k]
        p = p[np.isfinite(p).all(1)]
        real = frames.mask[k]
        if not len(p) or not np.isfinite(frames.positions[k]).all():
            continue
        d = np.linalg.norm(p[:, None] - frames.positions[k][real], axis=-1)
        if (d / VAN_DER_WAALS[frames.numbers[k][real]]).min() < 0.5:
            inside.append((int(k), float(d.min())))
    if inside:
        what = f"points of the ESP lie inside atoms in {len(inside)} frame(s)"
        found = f"frame {inside[0][0]}: {inside[0][1]:.3g} Å from a nucleus"
        fix = "are the points and the positions in the same unit and the same frame?"
        out.append(Finding("warn", what, frames_at(path, [k for k, _ in inside]), found, fix=fix))
    return out


def _reproduced(frames: Frames, path: str) -> list[Finding]:
    """The ESP must be one that charges at the atoms can describe, roughly."""
    if frames.esp is None:
        return []
    if frames.esp_xyz is None or frames.esp_xyz.shape[:2] != frames.esp.shape:
        what = "values of an ESP without points, or of another number than the points"
        found = "none" if frames.esp_xyz is None else f"{frames.esp.shape[1]} values, {frames.esp_xyz.shape[1]} points"
        return [Finding("error" if frames.esp_xyz is not None else "warn", what, path, found, "esp_xyz (frames, p, 3)")]
    rows = np.linspace(0, len(frames) - 1, min(SAMPLE, len(frames))).astype(int)
    fits = [fit_charges(frames.positions[k], frames.mask[k], frames.esp_xyz[k], frames.esp[k]) for k in rows]
    ratio = np.array([rest / size if size > 0 else math.nan for _, rest, size in fits])
    size = float(np.nanmedian([s for _, _, s in fits]))
    out = []
    if np.nanmedian(ratio) > 0.6:
        what = "the ESP does not look like that of these molecules: charges at the atoms leave most of it"
        found = f"{100 * float(np.nanmedian(ratio)):.3g} % of its rms is left"
        fix = "do points, values and positions belong together (order, frame, unit)?"
        out.append(Finding("warn", what, path, found, "about 10 %", fix))
    elif size > 0 and not 0.01 < size < 40:
        what = "the ESP has an unusual size: wrong unit?"
        out.append(Finding("warn", what, path, f"rms {size:.3g} V", "0.1 to 10 V", "name it, e.g. --units esp=hartree"))
    if frames.charges is not None and not out:
        out += _stated(frames, path, rows, fits)
    return out


def _stated(frames: Frames, path: str, rows: np.ndarray, fits: list) -> list[Finding]:
    """Charges that are said to be ESP charges must reproduce the ESP about as well as the best ones."""
    key = next((k.key for k in frames.keys if k.quantity == "charges"), "")
    if "esp" not in key.lower() and "resp" not in key.lower():
        return []
    assert frames.charges is not None and frames.esp is not None and frames.esp_xyz is not None
    worse = []
    for k, (_, rest, size) in zip(rows, fits, strict=True):
        real, p, v = frames.mask[k], frames.esp_xyz[k], frames.esp[k]
        ok = np.isfinite(v) & np.isfinite(p).all(1)
        a = COULOMB / np.maximum(np.linalg.norm(p[ok][:, None] - frames.positions[k][real], axis=-1), 1e-3)
        mine = float(np.sqrt(((a @ frames.charges[k][real] - v[ok]) ** 2).mean()))
        worse.append((mine - rest) / size)
    if np.nanmedian(worse) < 0.3:
        return []
    what = f"the charges '{key}' do not reproduce the ESP"
    found = f"they leave {100 * float(np.nanmedian(worse)):.3g} % of its rms more than fitted charges"
    return [Finding("warn", what, path, found, "a few %", "check the unit of the ESP and of its points")]
