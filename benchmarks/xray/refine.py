"""Whole refinements from shaken starts: consil, servalcat and torchref, scored by one validator."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import gemmi
from cases import MONLIB, NAMES, PEERS, Case, Usage, fingerprint, measure, peer
from shake import write_shaken
from validate import servalcat_arguments, validate

BARS = {"4xof": 0.209, "5a3h": 0.176, "rnase25": 0.213, "1dur": 0.185}
GEOMETRY = {"bond": (0.5, 1.1), "angle": (0.0, 1.25), "chiral": (0.0, 1.1), "plane": (0.0, 1.0)}
CPU_BARS = {"4xof": None, "5a3h": 1.0, "rnase25": 1.5, "1dur": 1.5}
VERSIONS = {"servalcat": "0.4.142", "torchref": "0.7.0"}
SERVALCAT_CYCLES, TORCHREF_CYCLES = 20, 5


def run_servalcat(case: Case, start: Path, out: Path) -> tuple[Usage, Path]:
    """Twenty cycles with servalcat's own weights."""
    command = servalcat_arguments(case, start, out / "refined", SERVALCAT_CYCLES)
    return measure(command, out / "log", cwd=out), out / "refined.pdb"


def run_torchref(case: Case, start: Path, out: Path) -> tuple[Usage, Path]:
    """Five macrocycles (its default) with its own weights; it takes one dictionary file, so ours are joined."""
    command = [str(peer("torchref", "torchref.refine")), "-m", str(start), "-sf", str(case.data), "-o", str(out)]
    command += ["-csf", case.labels[0], "-csig", case.labels[1], "-n", str(TORCHREF_CYCLES), "--device", "cpu"]
    if case.ligands:
        command += ["--cif", str(join_dictionaries(case.ligands, out / "ligands.cif"))]
    usage = measure(command, out / "log", cwd=out)
    models = [p for p in sorted(out.rglob("*.pdb")) if p.resolve() != start.resolve()]
    return usage, models[-1] if models else out / "missing.pdb"


def run_consil(case: Case, start: Path, out: Path, cache: Path) -> tuple[Usage, Path]:
    """Our command with its own weights, isotropic B, the same monomer library and dictionaries."""
    command = [sys.executable, "-m", "consilience.cli", "refine", str(start), str(case.data), *map(str, case.ligands)]
    command += ["--labels", ",".join(case.labels), "--free-value", str(case.free_value), "--adp", "iso"]
    command += ["--monlib", str(MONLIB), "-o", str(out / "run"), "--quiet"]
    return measure(command, out / "log", env={"XDG_CACHE_HOME": str(cache)}), out / "run" / "refined.cif"


def join_dictionaries(files: list[Path], out: Path) -> Path:
    """One file with the component blocks of several."""
    joined = gemmi.cif.Document()
    for path in files:
        for block in gemmi.cif.read(str(path)):
            if block.find_values("_chem_comp_atom.atom_id"):
                joined.add_copied_block(block)
    joined.write_file(str(out))
    return out


def peer_result(engine: str, case: Case, start: Path, seed: int, fresh: bool) -> dict:
    """Cached by the contents of every input, so that a rerun costs nothing."""
    settings = [engine, VERSIONS[engine], str(SERVALCAT_CYCLES), str(TORCHREF_CYCLES), case.name, str(seed)]
    key = fingerprint(settings, [start, case.data, *case.ligands])
    out = PEERS / "runs" / f"{engine}-{case.name}-{seed}-{key}"
    kept = out / "result.json"
    if kept.exists() and not fresh:
        return json.loads(kept.read_text())
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    usage, model = (run_servalcat if engine == "servalcat" else run_torchref)(case, start, out)
    result = scored(engine, case, seed, usage, model)
    kept.write_text(json.dumps(result, indent=1))
    return result


def consil_result(case: Case, start: Path, seed: int, cache: Path, keep: Path) -> dict:
    out = keep / f"consil-{case.name}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    usage, model = run_consil(case, start, out, cache)
    result = scored("consil", case, seed, usage, model)
    summary = model.parent / "summary.json"
    if summary.exists():
        own = json.loads(summary.read_text())
        result["own"] = {k: own.get(k) for k in ("r_work", "r_free", "rmsz", "compile_s", "wall_s", "peak_rss_mb")}
        result["own"]["gradient_error"] = (own.get("gradients") or {}).get("max_rel_error")
    return result


def scored(engine: str, case: Case, seed: int, usage: Usage, model: Path) -> dict:
    result = {"engine": engine, "case": case.name, "seed": seed, **asdict(usage), "validated": None}
    if model.exists() and usage.status in (0, 3):
        result["validated"] = validate(case, model)
    return result


def median(results: list[dict], *path: str) -> float | None:
    values = []
    for result in results:
        value = result
        for key in path:
            value = value[key] if value else None
        if value is not None:
            values.append(value)
    return statistics.median(values) if values else None


def table(results: list[dict]) -> str:
    """Medians over the shakes, and ratios to servalcat."""
    head = f"{'case':8} {'engine':10} {'n':>2} {'R-work':>7} {'R-free':>7} {'bar':>6}  {'bond':>5} {'angle':>5} "
    head += f"{'chir':>5} {'plane':>5} {'vdw':>5} {'CPU s':>7} {'ratio':>6} {'wall s':>7} {'MB':>6} {'compile':>7}"
    lines = [head]
    for case in dict.fromkeys(r["case"] for r in results):
        reference = median([r for r in results if r["case"] == case and r["engine"] == "servalcat"], "user_s")
        for engine in ("consil", "servalcat", "torchref"):
            own = [r for r in results if r["case"] == case and r["engine"] == engine]
            if not own:
                continue
            z = [median(own, "validated", "rmsz", k) for k in ("bond", "angle", "chiral", "plane", "vdw")]
            cpu = median(own, "user_s")
            cells = [f"{case:8} {engine:10} {len(own):2d}"]
            cells += [show(median(own, "validated", k), 7, 4) for k in ("r_work", "r_free")]
            cells += [show(BARS[case] if engine == "consil" else None, 6, 3), "", *(show(v, 5, 2) for v in z)]
            cells += [show(cpu, 7, 1), show(cpu / reference if cpu and reference else None, 6, 2)]
            cells += [show(median(own, "wall_s"), 7, 1), show(median(own, "peak_mb"), 6, 0)]
            cells += [show(median(own, "own", "compile_s") if engine == "consil" else None, 7, 1)]
            lines.append(" ".join(cells))
    return "\n".join(lines)


def show(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def missed(results: list[dict]) -> list[str]:
    """The bars that our medians do not meet."""
    out = []
    for case in dict.fromkeys(r["case"] for r in results):
        own = [r for r in results if r["case"] == case and r["engine"] == "consil"]
        if not own:
            continue
        r_free = median(own, "validated", "r_free")
        if r_free is None or r_free > BARS[case]:
            out.append(f"{case}: R-free {show(r_free, 0, 4)} against {BARS[case]}")
        for kind, (low, high) in GEOMETRY.items():
            z = median(own, "validated", "rmsz", kind)
            if z is not None and not low <= z <= high:
                out.append(f"{case}: {kind} r.m.s.Z {z:.2f} outside {low}-{high}")
        reference = median([r for r in results if r["case"] == case and r["engine"] == "servalcat"], "user_s")
        cpu, bar = median(own, "user_s"), CPU_BARS[case]
        if bar and reference and cpu and cpu > bar * reference:
            out.append(f"{case}: CPU {cpu:.1f} s is {cpu / reference:.2f} of servalcat's, bar {bar}")
        memory = median(own, "peak_mb")
        if case == "5a3h" and memory and memory > 1200:
            out.append(f"5a3h: {memory:.0f} MB, bar 1200")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=NAMES, help=f"among {' '.join(NAMES)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--engines", nargs="+", default=["consil", "servalcat", "torchref"])
    parser.add_argument("--torchref-seeds", type=int, nargs="+", default=[1], help="torchref is slow: fewer shakes")
    parser.add_argument("--fresh", action="store_true", help="run the peers again, too")
    parser.add_argument("--json", type=Path, help="write all results here")
    parser.add_argument("--keep", type=Path, help="keep our runs in this folder")
    parser.add_argument("--cold", action="store_true", help="start with an empty cache of compiled programs")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        keep = args.keep or Path(folder)
        cache = Path(folder) / "cache" if args.cold else PEERS / "runs" / "consil-cache"
        for case in map(Case.load, args.cases):
            for seed in args.seeds:
                start = write_shaken(case.folder, seed, Path(folder) / f"{case.name}-{seed}.pdb")
                for engine in args.engines:
                    if engine == "torchref" and seed not in args.torchref_seeds:
                        continue
                    if engine == "consil":
                        result = consil_result(case, start, seed, cache, keep)
                    else:
                        result = peer_result(engine, case, start, seed, args.fresh)
                    results.append(result)
                    score = result["validated"] or {"r_work": None, "r_free": None}
                    line = f"{case.name} seed {seed} {engine}: status {result['status']}, R-work {score['r_work']}, "
                    print(line + f"R-free {score['r_free']}, CPU {result['user_s']:.1f} s", file=sys.stderr, flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))
    print(table(results))
    for line in missed(results):
        print("not met:", line)


if __name__ == "__main__":
    main()
