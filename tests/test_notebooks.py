"""The notebooks of the docs run as a reader runs them, and the reports that they write open in a browser.

`pytest --update-docs tests/test_notebooks.py` writes what they show back into docs/notebooks.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from consilience.examples import example_path

from .report.reports import assert_sound, browser

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
NAMES = sorted(p.stem for p in FOLDER.glob("*.ipynb"))
LIMIT = 600  # s for a cell: a loaded machine is slow, and a notebook that hangs is found

pytestmark = pytest.mark.filterwarnings("ignore")  # of the machinery of notebooks, which is not ours


def executed(name: str, folder: Path) -> nbformat.NotebookNode:
    """The notebook after all of its cells ran in a folder, with JAX as a user has it."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    env = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    env["IPYTHONDIR"] = str(folder / ".ipython")
    client = NotebookClient(
        notebook, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=env)
    return notebook


def portable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without times, and with the place of the examples left out of what was printed."""
    place = str(example_path("crystal").parent)
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = output["text"].replace(place, "examples")
            if "text/html" in output.get("data", {}):
                output["data"].pop("text/plain", None)
            for kind, text in output.get("data", {}).items():
                output["data"][kind] = text.replace(place, "examples")
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    return notebook


def test_there_is_one_for_each_field() -> None:
    assert NAMES == ["beads", "potential", "refine", "relaxation"]
    for name in NAMES:
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert any(c.get("outputs") for c in notebook.cells), f"{name} shows nothing: run with --update-docs"
        text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
        assert len(text) < 60_000 and str(FOLDER.parents[1]) not in text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_runs(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    notebook = executed(name, tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {time.monotonic() - begun:.0f} s, of the processors {spent:.0f} s")
    if request.config.getoption("--update-docs"):
        nbformat.write(portable(notebook), FOLDER / f"{name}.ipynb")
    reports = {p.parent.name: p for p in tmp_path.glob("*/report.html")}
    if (chromium := browser()) is not None:
        assert_sound(chromium, tmp_path / "browser", reports)
    shown = [o for c in notebook.cells for o in c.get("outputs", [])]
    assert any("text/html" in o.get("data", {}) for o in shown)
    assert not any(o.get("name") == "stderr" for o in shown), [o for o in shown if o.get("name") == "stderr"]
