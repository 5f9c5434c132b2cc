"""The rules of the house: who imports whom, file lengths, and what never appears in the library."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "consilience"
DOMAINS = {"xray", "nmr", "potentials", "coarse"}
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = ("src", "tests", "benchmarks", "docs", "examples", "tools")
FILES = [*ROOT.glob("*.*"), *(p for d in FOLDERS for p in (ROOT / d).rglob("*.*") if "__pycache__" not in p.parts)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def home(path: Path) -> str:
    """First-level part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0]


@cache
def imported(path: Path) -> frozenset[str]:
    """Full names of what a file imports anywhere, with relative imports resolved."""
    package = ["consilience", *path.relative_to(PACKAGE).parts[:-1]]
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            names |= {module} | {f"{module}.{a.name}" for a in node.names}
    return frozenset(names)


def parts_used(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("consilience.")}


def offenders(rule: Callable[[Path], Iterable[object]], paths: Iterable[Path] = MODULES) -> list[str]:
    """One line per file that breaks a rule; a rule returns what is wrong in a file."""
    found = {path: list(rule(path)) for path in paths}
    return [f"{path.relative_to(ROOT)}: {', '.join(map(str, what))}" for path, what in found.items() if what]


def test_domains_never_import_each_other() -> None:
    assert not offenders(lambda p: parts_used(p) & (DOMAINS - {home(p)}) if home(p) in DOMAINS else ())


def test_core_imports_no_domain() -> None:
    allowed = {"core", "units", "_xla", "forces"}
    assert not offenders(lambda p: parts_used(p) - allowed if home(p) == "core" else ())


def test_nothing_below_imports_the_jobs() -> None:
    below = DOMAINS | {"core", "structure", "frames", "md", "engines", "report"}
    assert not offenders(lambda p: parts_used(p) & {"jobs", "cli"} if home(p) in below else ())
    assert not offenders(
        lambda p: parts_used(p) & DOMAINS if home(p) in {"md", "engines", "structure", "frames"} else ()
    )
    neutral = {"core", "units", "files", "kinds", "frames"}
    assert not offenders(lambda p: parts_used(p) - neutral if home(p) == "frames" else ())


def test_files_are_short() -> None:
    def rule(path: Path) -> list[int]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        return [lines] if lines > 500 else []

    assert not offenders(rule)


def test_files_say_what_they_do() -> None:
    assert not offenders(lambda p: [] if len((ast.get_docstring(tree(p)) or "").split("\n")[0]) > 10 else ["docstring"])


def test_public_names_are_documented() -> None:
    def rule(path: Path) -> list[str]:
        things = [n for n in tree(path).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        return [n.name for n in things if not n.name.startswith("_") and not ast.get_docstring(n)]

    assert not offenders(rule)


def test_nothing_forbidden_is_used() -> None:
    def modules(path: Path) -> set[str]:
        return {n.split(".")[0] for n in imported(path)} & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}

    def words(path: Path) -> list[str]:
        return re.findall(r"\bsys\.path\b|\bos\.chdir\b|allow_pickle=True", path.read_text(encoding="utf-8"))

    assert not offenders(modules)
    assert not offenders(words)


def test_library_does_not_print() -> None:
    def rule(path: Path) -> list[int]:
        if home(path) in {"report", "cli.py"}:
            return []
        calls = [n for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        return [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]

    assert not offenders(rule)


def test_no_paths_of_somebodys_machine() -> None:
    pattern = re.compile(r"(?<![\w.$}~])/(?:home|root|Users|work|scratch|cluster|mnt)/\w")

    def rule(path: Path) -> list[str]:
        return pattern.findall(path.read_text(encoding="utf-8", errors="replace"))

    kinds = {".py", ".md", ".yml", ".yaml", ".sh", ".toml", ".json", ".html", ".svg"}
    assert not offenders(rule, [p for p in FILES if p.suffix in kinds and p.stat().st_size < 500_000])


def test_repository_files_are_small() -> None:
    assert not offenders(lambda p: [p.stat().st_size] if p.stat().st_size > 2_000_000 else [], FILES)


HELP = """
import sys
sys.argv = ["consil", "--help"]
try:
    from consilience.cli import main
    main()
except SystemExit:
    pass"""


@pytest.mark.parametrize("code", ["import consilience", "import consilience.cli", HELP], ids=["package", "cli", "help"])
def test_no_jax_before_it_is_needed(code: str) -> None:
    if "cli" in code and not (PACKAGE / "cli.py").exists():
        pytest.skip("no command line yet")
    code += "\nimport sys; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False", done.stdout + done.stderr


@pytest.mark.skipif(os.environ.get("CONSIL_TYPECHECK") == "0", reason="switched off by CONSIL_TYPECHECK=0")
def test_annotations_are_enforced_under_test() -> None:
    from consilience.core.balance import Policy, balance

    with pytest.raises(Exception, match="type"):
        balance("not an objective", {}, ("xyz",), Policy())  # type: ignore[arg-type]


def test_readme_commands_are_single_lines() -> None:
    fenced, inside = [], False
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside:
            fenced.append(line)
    assert "consil tour" in fenced[0]
    assert "pytest" in fenced[1]
    assert len([line for line in fenced if line.startswith("python3 -m pip")]) == 2
