"""docs/cli.md is the commands' own help: regenerate it with `pytest --update-docs tests/test_docs_cli.py`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"


def help_text(*verb: str) -> str:
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "consilience.cli", *verb, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    text = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()
    return re.sub(r"^Usage: \S*(cli\.py|consilience\.cli)", "Usage: consil", text)


def page() -> str:
    main = help_text()
    commands = main.split("Commands:")[-1] if "Commands:" in main else ""
    verbs = re.findall(r"^  ([a-z][\w-]*)", commands, re.M)
    assert "refine" in verbs and "check" in verbs
    parts = ["# Commands\n\nMade from the commands' own help by `tests/test_docs_cli.py`.\n", f"```text\n{main}\n```\n"]
    parts += [f"## consil {verb}\n\n```text\n{help_text(verb)}\n```\n" for verb in verbs]
    return "\n".join(parts)


def test_cli_page_is_the_help(request: pytest.FixtureRequest) -> None:
    if not (ROOT / "src" / "consilience" / "cli.py").exists():
        pytest.skip("no command line yet")
    now = page()
    if request.config.getoption("--update-docs"):
        PAGE.write_text(now, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == now, "docs/cli.md is old: run with --update-docs"
