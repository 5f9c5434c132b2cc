"""Terms over one model as a user lists them in a YAML file: read, checked, brought onto refinement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from consilience.core.errors import InputError, clean
from consilience.jobs.common.options import RefineOptions
from consilience.jobs.fit.job_file import known_keys, options_of, resolved, typed

TERMS = {"xray.amplitude": "xray", "nmr.relaxation": "nmr", "geometry": "geometry", "potential": "potential"}
OWN = {  # keys of a term besides kind, data and weight: options of the refinement
    "xray.amplitude": ("labels", "free_value", "make_free", "d_min", "d_max", "target", "source"),
    "nmr.relaxation": ("diffusion", "tensor", "without"),
    "geometry": ("ligands", "monlib"),
    "potential": (),
}
NO_FILE = ("geometry",)
KEYS = ("schema_version", "model", "terms", "protocol", "output", "seed", "options")
BLOCKS = ("xyz", "b", "u", "occ", "diffusion", "dynamics", "hydrogens")
POLICIES = ("natural", "ratio", "fixed")
MOST_STAGES, MOST_STEPS = 1000, 100_000


@dataclass(frozen=True)
class StageSaid:
    """One stage as listed: blocks that move, steps of L-BFGS, how terms are weighted, names of terms (None: all)."""

    active: tuple[str, ...]
    steps: int = 5
    weights: str = "ratio"
    terms: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Mixture:
    """A model, the files of its data, options of the refinement, and stages (none: those of `consil refine`)."""

    model: Path
    data: tuple[Path, ...]
    options: RefineOptions
    stages: tuple[StageSaid, ...] = ()
    output: Path | None = None
    seed: int = 0
    said: Mapping[str, Any] = field(default_factory=dict)

    def as_yaml(self, folder: Path) -> str:
        """The same job with paths as seen from `folder`."""
        from consilience.jobs.common.provenance import shown_path

        def path(p: Path) -> str:
            return shown_path(p, folder)

        data = iter(self.data)
        terms = []
        for term in self.said["terms"]:
            out = dict(term)
            if "data" in out:
                several = isinstance(out["data"], list)
                files = [path(next(data)) for _ in (out["data"] if several else [0])] \
                    if out["kind"] != "potential" else [path(self.options.potential or Path())]  # fmt: skip
                out["data"] = files if several else files[0]
            for key in ("tensor", "monlib"):
                if out.get(key) is not None:
                    out[key] = path(Path(getattr(self.options, key)))
            if out.get("ligands"):
                out["ligands"] = [path(p) for p in self.options.ligands]
            terms.append(out)
        full = {**self.said, "model": path(self.model), "terms": terms, "seed": self.seed}
        full.pop("output", None)
        return yaml.safe_dump(full, sort_keys=False, allow_unicode=True, width=120)


def read_mixture(said: Mapping[str, Any], place: Path) -> Mixture:
    """A mixture from the mapping in the file at `place`. Raises InputError for anything that is not understood."""
    where, folder = str(place), place.parent
    known_keys(said, KEYS, where, ("schema_version", "model", "terms"))
    if said["schema_version"] != 1:
        raise InputError("this schema_version is not known", where, clean(said["schema_version"]), "1")
    if not isinstance(said["terms"], list) or not said["terms"]:
        raise InputError("terms is no list", f"{where}, terms", expected="- kind: ...")
    more = said.get("options", {})
    if not isinstance(more, Mapping):
        raise InputError("options is no mapping", f"{where}, options", expected="key: value")
    options = options_of(RefineOptions, more, folder, f"{where}, options")
    data: list[Path] = []
    weights: dict[str, float] = {}
    for i, term in enumerate(said["terms"]):
        options = _term(term, f"{where}, terms[{i}]", folder, options, data, weights)
    kinds = {t["kind"] for t in said["terms"]}
    if not kinds & {"xray.amplitude", "nmr.relaxation"}:
        fix = "add a term of kind xray.amplitude; for a potential alone use consil optimize"
        raise InputError("no term holds data", f"{where}, terms", fix=fix)
    given = {**(options.weights or {}), **weights}
    output = said.get("output", {})
    if not isinstance(output, Mapping):
        raise InputError("output is no mapping", f"{where}, output", expected="directory: NAME")
    known_keys(output, ("directory",), f"{where}, output")
    seed = typed(said.get("seed", 0), int, folder, f"{where}, seed")
    return Mixture(
        resolved(said["model"], folder, f"{where}, model"), tuple(data), replace(options, weights=given or None),
        _protocol(said.get("protocol"), f"{where}, protocol", kinds), _directory(output, where), seed, dict(said),
    )  # fmt: skip


def _term(
    term: Any, where: str, folder: Path, options: RefineOptions, data: list[Path], weights: dict[str, float]
) -> RefineOptions:
    """Options with those of one term; adds its files and its weight."""
    if not isinstance(term, Mapping):
        raise InputError("a term is a mapping", where, type(term).__name__, "kind: ..., data: ..., weight: ...")
    kind = term.get("kind")
    if kind == "forces":
        fix = "consil train DATA --model ...: its job.yaml is a job of consil fit too"
        raise InputError("forces train a potential, they say nothing of the coordinates of a model", where, fix=fix)
    if not isinstance(kind, str) or kind not in TERMS:
        known_keys({str(kind): 0}, TERMS, f"{where}.kind")
    kind = str(kind)
    needed = ("kind",) if kind in NO_FILE else ("kind", "data")
    known_keys(term, ("kind", "data", "weight", *OWN[kind]), where, needed)
    own = {k: term[k] for k in OWN[kind] if k in term}
    extra = options_of(RefineOptions, own, folder, where)
    options = replace(options, **{k: getattr(extra, k) for k in own})
    files = term.get("data", [])
    paths = [resolved(f, folder, f"{where}.data") for f in (files if isinstance(files, list) else [files])]
    if kind == "potential":
        if len(paths) != 1:
            raise InputError("one potential is a term", f"{where}.data", f"{len(paths)} folders")
        options = replace(options, potential=paths[0])
    else:
        data += paths
    weight = term.get("weight", "auto")
    if weight != "auto":
        value = typed(weight, float, folder, f"{where}.weight")
        if not 0.0 <= value < float("inf"):
            raise InputError("a weight is auto, or a number of 0 or more", f"{where}.weight", f"{value:g}")
        weights[TERMS[kind]] = value
    return options


def _protocol(said: Any, where: str, kinds: set[str]) -> tuple[StageSaid, ...]:
    if said is None:
        return ()
    if not isinstance(said, list) or len(said) > MOST_STAGES:
        raise InputError("protocol is no list of stages", where, expected="- active: [xyz, b]")
    if "xray.amplitude" not in kinds:
        fix = "leave out the protocol: relaxation data alone orient domains in stages of their own"
        raise InputError("stages of your own need diffraction data", where, fix=fix)
    out = []
    for i, stage in enumerate(said):
        here = f"{where}[{i}]"
        if not isinstance(stage, Mapping):
            raise InputError("a stage is a mapping", here, type(stage).__name__, "active: [...], steps: N")
        known_keys(stage, ("active", "solver", "steps", "weights", "terms"), here, ("active",))
        active = typed(stage["active"], tuple[str, ...], Path(), f"{here}.active")
        known_keys(dict.fromkeys(active), BLOCKS, f"{here}.active")
        known_keys({stage.get("solver", "lbfgs"): 0}, ("lbfgs",), f"{here}.solver")
        known_keys({stage.get("weights", "ratio"): 0}, POLICIES, f"{here}.weights")
        steps = typed(stage.get("steps", 5), int, Path(), f"{here}.steps")
        if not 1 <= steps <= MOST_STEPS or not active:
            raise InputError("a stage moves a block by at least one step", here, f"{steps} steps, {len(active)} blocks")
        terms = stage.get("terms")
        if terms is not None:
            listed = typed(terms, tuple[str, ...], Path(), f"{here}.terms")
            names = {**TERMS, **{v: v for v in TERMS.values()}, "adp": "adp", "jelly": "jelly"}
            known_keys(dict.fromkeys(listed), names, f"{here}.terms")
            terms = tuple(dict.fromkeys(names[t] for t in listed))
        out.append(StageSaid(active, steps, stage.get("weights", "ratio"), terms))
    return tuple(out)


def _directory(output: Mapping[str, Any], where: str) -> Path | None:
    name = output.get("directory")
    if name is None:
        return None
    if not isinstance(name, str) or not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
        what = "output.directory leaves the working folder"
        raise InputError(what, where, clean(name), "a name inside it; or use -o FOLDER")
    return Path(name)
