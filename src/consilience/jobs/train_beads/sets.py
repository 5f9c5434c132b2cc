"""Bead files split into work, steer and free, for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from consilience.coarse.beads import Beads
from consilience.coarse.read import read_beads
from consilience.core.errors import Finding, InputError, clean
from consilience.jobs.common.options import TrainOptions
from consilience.jobs.train.data import STEER_SHARE, share_of
from consilience.potentials.beads.batch import Sample
from consilience.potentials.beads.chains import Chains, chains_of

MANY = 4  # proteins of which one can be spared, of each such number, to see whether a network serves others
BLOCKS = 8  # pieces of a trajectory of which each gives its share to the steer set
LEARNED = "learned"  # source of frames that were labelled on purpose: mean forces, all of them to work
GAP = 0.2  # of a steer block, left out on both sides of it: neighbours in time are alike


@dataclass(frozen=True)
class BeadSets:
    """Proteins by set; `free` may be empty. A protein has its frames in work and steer, or all in free.

    `transfer`: proteins of `steer` were set aside to see whether a network serves others.
    """

    work: tuple[Beads, ...]
    steer: tuple[Beads, ...]
    free: tuple[Beads, ...]
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]
    transfer: bool = False

    @property
    def of_prior(self) -> BeadSets:
        """The sets for a prior. Proteins that only steer a network serve it too: it has few numbers and is judged by
        proteins left out in turn."""
        return replace(self, work=(*self.work, *self.steer), steer=()) if self.transfer else self

    @property
    def by_name(self) -> dict[str, tuple[Beads, ...]]:
        """The sets that are there, as tables name them."""
        sets = {"train": self.work, "valid": self.steer, "free": self.free}
        return {k: v for k, v in sets.items() if v}


def load_bead_sets(
    files: Sequence[str | Path], options: TrainOptions, stride: int = 1, *, transfer: bool = False
) -> BeadSets:
    """Read and split. `--free` and `--valid` set aside whole proteins or trajectories (PROTEIN:NUMBER), or are files;
    `--valid` may be a share of each trajectory. With `transfer` one of each MANY proteins steers instead: a network
    that is to serve others learns those of its training by heart, and their later frames call that a gain.

    Raises InputError for bad files, names that are not there, and where nothing is left to train on.
    """
    findings: list[Finding] = []
    paths = [Path(f) for f in files]

    def read(path: str | Path) -> list[Beads]:
        found, noticed = read_beads(path, keys=options.frames.keys, units=options.frames.units)
        findings.extend(noticed)
        return [in_order(b.select(slice_of(len(b), stride))) for b in found]

    proteins = [b for f in paths for b in read(f)]
    free: list[Beads] = []
    if options.free:
        if Path(options.free).is_file():
            free = read(options.free)
            paths.append(Path(options.free))
        else:
            proteins, free = _set_aside(proteins, options.free, "--free")
    apart = transfer and len({tuple(b.residues) for b in proteins}) >= MANY
    valid = options.valid or str(STEER_SHARE)
    by_name = {b.name for b in proteins} & {w.strip().partition(":")[0] for w in valid.split(",")}
    share = None if by_name else share_of(valid)
    if by_name and not Path(valid).is_file():
        proteins, steer = _set_aside(proteins, valid, "--valid")
    elif share is None:
        steer = read(valid)
        paths.append(Path(valid))
    elif apart:
        proteins, steer = _left_out(proteins, share)
        names = ", ".join(b.name for b in steer)
        what = f"the network is not trained on {names}: it must serve others, and there it must not lose"
        findings.append(Finding("note", what, fix="--valid PROTEIN,... chooses others"))
    else:
        split = [split_in_time(b, share) for b in proteins]
        proteins, steer = [w for w, _ in split], [s for _, s in split]
    if not any(len(b) for b in proteins):
        raise InputError("no frames are left to train on", ", ".join(str(p) for p in paths))
    kept = [b for b in steer if len(b)]
    work = tuple(b for b in proteins if len(b))
    return BeadSets(work, tuple(kept), tuple(free), tuple(findings), tuple(paths), apart and share is not None)


def _left_out(proteins: list[Beads], share: float) -> tuple[list[Beads], list[Beads]]:
    """The rest, and one of each MANY proteins, of all sizes, with no more beads in all than a share of all frames."""
    by_size = sorted((b for b in proteins if len(b)), key=lambda b: (len(b.residues), b.name))
    count = len(by_size) // MANY
    chosen = [by_size[int((k + 0.5) * len(by_size) / count)] for k in range(count)]
    most = share * sum(len(b) * len(b.residues) for b in proteins) / count
    thin = [b.select(slice_of(len(b), max(1, int(np.ceil(len(b) * len(b.residues) / most))))) for b in chosen]
    return [b for b in proteins if not any(b is c for c in chosen)], thin


def slice_of(count: int, stride: int) -> np.ndarray:
    """Every stride-th of `count` frames."""
    return np.arange(0, count, stride)


def split_in_time(beads: Beads, share: float) -> tuple[Beads, Beads]:
    """(work, steer): of each trajectory some blocks in time are steer; the frames next to them belong to neither.

    Frames of source "learned" are work: they are few, far between, and follow no trajectory.
    """
    steer, gap = np.zeros(len(beads), bool), np.zeros(len(beads), bool)
    own = np.array([s == LEARNED for s in beads.source or [""] * len(beads)], bool)
    for number in np.unique(beads.trajectory[~own]):
        rows = np.flatnonzero((beads.trajectory == number) & ~own)
        blocks = int(np.clip(len(rows) * share / 5, 1, BLOCKS))
        for k in range(blocks):
            first, last = len(rows) * k // blocks, len(rows) * (k + 1) // blocks
            size = max(1, round((last - first) * share))
            begin = (first + last - size) // 2
            margin = int(np.ceil(GAP * size))
            gap[rows[max(begin - margin, 0) : begin + size + margin]] = True
            steer[rows[begin : begin + size]] = True
    return beads.select(~gap), beads.select(steer)


def chains_of_beads(beads: Beads) -> Chains:
    """The chains of a protein. Raises InputError for beads that are no amino acids."""
    return chains_of(beads.residues, beads.chain, beads.number)


def sample_of(beads: Beads, forces: np.ndarray | None = None, weight: np.ndarray | None = None) -> Sample:
    """A protein as the training takes it; forces: what is left for a network (None: all)."""
    own = beads.forces if forces is None else forces
    assert own is not None
    weight = np.ones(len(beads)) if weight is None else weight
    return Sample(chains_of_beads(beads), beads.positions, own, weight, beads.temperature)


def frame_weights(
    proteins: Sequence[Beads], fractions: Mapping[str, float] | None, weights: Mapping[str, float]
) -> list[np.ndarray]:
    """Weight of each frame: of its protein, times what gives labels (temperatures, sources) their stated shares.

    Raises InputError for labels or proteins that no frame has.
    """
    out = [np.full(len(b), float(weights.get(b.name, 1.0))) for b in proteins]
    unknown = sorted(set(weights) - {b.name for b in proteins})
    if unknown:
        known = ", ".join(b.name for b in proteins)
        raise InputError("data.weights names a protein that is not there", found=clean(unknown[0]), expected=known)
    if fractions is None:
        return out
    masks = {label: [_labelled(b, label) for b in proteins] for label in fractions}
    total = sum(fractions.values())
    for label, found in masks.items():
        count = sum(float(w[m].sum()) for w, m in zip(out, found, strict=True))
        if not count:
            raise InputError("data.fractions names a label that no frame has", found=clean(label),
                             expected="a temperature in K, or a source of the files")  # fmt: skip
    everything = sum(float(w.sum()) for w in out)
    done = [np.zeros_like(w) for w in out]
    for label, share in fractions.items():
        count = sum(float(w[m].sum()) for w, m in zip(out, masks[label], strict=True))
        for new, old, m in zip(done, out, masks[label], strict=True):
            new[m] += old[m] * share / total * everything / count
    return done


def _labelled(beads: Beads, label: str) -> np.ndarray:
    try:
        return np.abs(beads.temperature - float(label)) < 0.5
    except ValueError:
        return np.array([s == label for s in beads.source or [""] * len(beads)], bool)


def in_order(beads: Beads) -> Beads:
    """Beads in the order of their chains."""
    order = np.lexsort((beads.number, beads.chain))
    if np.array_equal(order, np.arange(len(order))):
        return beads
    return replace(
        beads,
        residues=tuple(beads.residues[i] for i in order),
        chain=beads.chain[order],
        number=beads.number[order],
        positions=beads.positions[:, order],
        forces=None if beads.forces is None else beads.forces[:, order],
        weights=None if beads.weights is None else beads.weights[order],
    )


def _set_aside(proteins: list[Beads], names: str, option: str) -> tuple[list[Beads], list[Beads]]:
    rest, free = list(proteins), []
    for word in (w.strip() for w in names.split(",") if w.strip()):
        name, _, number = word.partition(":")
        here = [b for b in rest if b.name == name]
        if not here or (number and not number.isdigit()):
            known = ", ".join(sorted({b.name for b in proteins}))
            raise InputError(f"{option} names no protein", found=clean(word), expected=f"a file, or of: {known}",
                             fix="PROTEIN for all of its frames, PROTEIN:NUMBER for one trajectory")  # fmt: skip
        for b in here:
            chosen = b.trajectory == int(number) if number else np.ones(len(b), bool)
            if not chosen.any():
                known = ", ".join(str(t) for t in np.unique(b.trajectory))
                raise InputError(f"{option} names no trajectory", found=clean(word), expected=f"{name}: {known}")
            free.append(b.select(chosen))
            rest = [b.select(~chosen) if r is b else r for r in rest]
    rest = [b for b in rest if len(b)]
    if not rest:
        raise InputError(f"{option} leaves no frames to train on", found=clean(names))
    return rest, free
