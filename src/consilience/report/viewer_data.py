"""The 3-D view as its script needs it: structure, maps, arrows, colours."""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import asdict
from typing import Any

import numpy as np

from consilience.report.figures import BLUE_TO_RED
from consilience.report.page import Arrow, Coloring, Map, Viewer


def viewer_data(viewer: Viewer) -> dict[str, Any]:
    """Structure, maps, arrows and colourings, the large ones packed. Raises ValueError for what cannot be drawn."""
    chosen = viewer.color_by if isinstance(viewer.color_by, tuple) else (viewer.color_by,)
    return {
        "format": viewer.format,
        "hydrogens": viewer.hydrogens,
        "structure": _packed(viewer.structure_text.encode("utf-8")),
        "maps": [map_data(m) | {"data": m.volume.base64()} for m in viewer.maps],
        "arrows": [_arrow_data(a) for a in viewer.arrows],
        "colorings": [_coloring_data(c) for c in chosen],
        "scale": BLUE_TO_RED,
    }


def map_data(map_: Map) -> dict[str, Any]:
    """Labels, levels and geometry of a map; its values stand apart. Raises ValueError for levels without colours."""
    volume = map_.volume
    colours = (map_.colour,) * len(map_.levels) if isinstance(map_.colour, str) else map_.colour
    if len(colours) != len(map_.levels) or not map_.levels:
        raise ValueError(f"map {map_.label!r}: {len(map_.levels)} levels, {len(colours)} colours")
    return {
        "label": map_.label,
        "levels": map_.levels,
        "colours": colours,
        "visible": map_.visible,
        "shape": volume.codes.shape,
        "to_xyz": volume.to_xyz,
        "step": volume.step,
        "offset": volume.offset,
        "sigma": volume.sigma,
    }


def _arrow_data(arrow: Arrow) -> dict[str, Any]:
    ends = np.array([arrow.start, arrow.end], float)
    if ends.shape != (2, 3) or not np.isfinite(ends).all() or not re.fullmatch("#[0-9a-fA-F]{6}", arrow.colour):
        raise ValueError(f"arrow {arrow.label!r}: ends must be three finite coordinates, its colour #rrggbb")
    return asdict(arrow)


def _coloring_data(coloring: str | Coloring) -> dict[str, Any]:
    if isinstance(coloring, Coloring):
        values = {f"{chain}|{resi}": float(v) for (chain, resi), v in coloring.values.items()}
        return {**asdict(coloring), "values": values, "kind": "values"}
    labels = {"b": "B factor", "chain": "chain", "element": "element", "secondary": "secondary structure"}
    if coloring not in labels:
        raise ValueError(f"color_by {coloring!r}: expected one of {sorted(labels)} or a Coloring")
    return {"kind": coloring, "label": labels[coloring], "unit": "Å²" if coloring == "b" else ""}


def _packed(data: bytes) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode("ascii")
