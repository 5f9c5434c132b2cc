"""The rules of the house: who imports whom, file lengths, and what never appears in the library."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "consilience"
DOMAINS = {"xray", "nmr", "potentials", "coarse"}
MODULES = sorted(PACKAGE.rglob("*.py"))
TEXTS = sorted(p for d in ("src", "tests", "benchmarks", "docs", "examples", "tools") for p in (ROOT / d).rglob("*.*"))
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere, with relative imports resolved."""
    home = ["consilience", *path.relative_to(PACKAGE).parts[:-1]]
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            names |= {module} | {f"{module}.{a.name}" for a in node.names}
    return names


def parts_used(path: Path) -> set[str]:
    """First-level parts of the package that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("consilience.")}


@each_module
def test_domains_never_import_each_other(path: Path) -> None:
    home = path.relative_to(PACKAGE).parts[0]
    if home in DOMAINS:
        assert not parts_used(path) & (DOMAINS - {home})
    if home in DOMAINS | {"core", "structure", "md", "export", "report"}:
        assert not parts_used(path) & {"jobs", "cli"}


@each_module
def test_core_imports_no_domain(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] == "core":
        assert parts_used(path) <= {"core", "units", "_xla", "forces", "errors"}
    if path.relative_to(PACKAGE).parts[0] in {"md", "export"}:
        assert not parts_used(path) & DOMAINS


@each_module
def test_files_are_short_and_say_what_they_do(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
    doc = ast.get_docstring(tree(path))
    assert doc and len(doc.splitlines()[0]) > 10, "the first line says what the file does"


@each_module
def test_nothing_forbidden_is_imported(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert not re.search(r"\bsys\.path\b|\bos\.chdir\b|allow_pickle=True", path.read_text(encoding="utf-8"))


@each_module
def test_library_does_not_print(path: Path) -> None:
    home = path.relative_to(PACKAGE).parts[0]
    if home in {"report", "cli.py"}:
        return
    calls = [n for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert not [c.lineno for c in calls if c.func.id == "print"]


@each_module
def test_public_names_are_documented(path: Path) -> None:
    bare = []
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                bare.append(node.name)
    assert not bare


def test_no_paths_of_somebodys_machine() -> None:
    pattern = re.compile(r"(?<![\w.$}~])/(?:home|root|Users|work|scratch|cluster|mnt)/\w")
    found = []
    for path in TEXTS:
        if path.suffix in {".py", ".md", ".yml", ".yaml", ".sh", ".toml", ".json", ".html", ".svg"}:
            if path.stat().st_size < 500_000 and pattern.search(path.read_text(encoding="utf-8", errors="replace")):
                found.append(str(path.relative_to(ROOT)))
    assert not found


def test_repository_files_are_small() -> None:
    big = [p.name for p in TEXTS if p.is_file() and p.stat().st_size > 2_000_000]
    assert not big


@pytest.mark.parametrize("command", ["import consilience", "import consilience.cli"])
def test_import_without_jax(command: str) -> None:
    if "cli" in command and not (PACKAGE / "cli.py").exists():
        pytest.skip("no command line yet")
    code = f"{command}; import sys; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def test_readme_commands_are_single_lines() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    fenced, inside = [], False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        elif inside:
            fenced.append(line)
    assert "consil tour" in fenced[0]
    assert "pytest" in fenced[1]
    assert len([line for line in fenced if line.startswith(("python3 -m pip", "uv "))]) == 2
