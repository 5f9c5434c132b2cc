"""What is told of one file that was checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from consilience.core.errors import Finding
from consilience.frames.frames import Frames
from consilience.jobs.check.beads import BeadData
from consilience.jobs.check.recipe import Recipe
from consilience.kinds import Kind
from consilience.nmr.data import RelaxationData
from consilience.structure.atoms import Structure
from consilience.xray.reflections import Reflections

_ORDER = {"ok": 0, "note": 1, "warn": 2, "error": 3}
KIND_NAMES: dict[Kind, str] = {
    "pdb": "model (PDB)",
    "mmcif": "model (mmCIF)",
    "mtz": "reflections (MTZ)",
    "sf-mmcif": "reflections (SF-mmCIF)",
    "dictionary": "restraint dictionary",
    "nmr-star": "NMR-STAR",
    "npz": "arrays (npz)",
    "extxyz": "molecules (extxyz)",
    "yaml": "configuration (YAML)",
    "json": "configuration (JSON)",
    "csv": "table (CSV)",
    "table": "table",
    "pickle": "Python pickle",
    "safetensors": "weights (safetensors)",
    "model": "model folder",
    "unmerged": "unmerged reflections",
}


@dataclass
class FileReport:
    """One input: what it is and what was found; `content` is what was read, where that is of use to other checks."""

    file: str
    kind: Kind
    findings: list[Finding] = field(default_factory=list)
    content: Structure | Reflections | RelaxationData | Frames | BeadData | Recipe | None = None

    @property
    def level(self) -> Literal["ok", "note", "warn", "error"]:
        """The worst level among the findings."""
        worst: Literal["ok", "note", "warn", "error"] = "ok"
        for f in self.findings:
            worst = f.level if _ORDER[f.level] > _ORDER[worst] else worst
        return worst

    @property
    def kind_name(self) -> str:
        """The kind in words."""
        if isinstance(self.content, BeadData):
            return self.content.label
        return KIND_NAMES.get(self.kind, self.kind)

    def as_dict(self) -> dict[str, Any]:
        """The entry in summary.json["files"]."""
        messages = [f"{f.level}: {f}" for f in self.findings]
        return {"file": self.file, "kind": self.kind, "level": self.level, "messages": messages}
