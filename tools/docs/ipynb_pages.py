"""Shows the notebooks of docs/notebooks as pages of the site: a hook of MkDocs that runs and fetches nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """A page NAME.md for every NAME.ipynb; the notebook itself stays beside it, to be downloaded."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            path = Path(config["docs_dir"]) / file.src_uri
            page = file.src_uri.removesuffix(".ipynb") + ".md"
            files.append(File.generated(config, page, content=as_markdown(path)))
    return files


def as_markdown(path: Path) -> str:
    """The cells of a notebook with what they showed."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts = list(_cells(notebook["cells"]))
    link = f"[This page as a notebook]({path.name})"
    return "\n\n".join([parts[0], link, *parts[1:]]) + "\n"


def _cells(cells: list[dict[str, Any]]) -> Iterator[str]:
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield text
            continue
        yield f"```python\n{text}\n```"
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text" in output:
                yield _plain("".join(output["text"]))
            elif "text/html" in data:
                yield "<div markdown=0>" + "".join(data["text/html"]) + "</div>"
            elif "text/plain" in data:
                yield _plain("".join(data["text/plain"]))


def _plain(text: str) -> str:
    return f"````text\n{text.rstrip()}\n````"
