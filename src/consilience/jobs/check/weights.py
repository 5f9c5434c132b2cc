"""Weight files of models proven sound before anything is loaded: safetensors headers, sizes, shapes, finite numbers."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np

from consilience.core.errors import Finding, clean

MAX_HEADER = 100 << 20
_WIDTH = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
_FLOAT = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


def inspect_safetensors(data: bytes, where: str) -> list[Finding]:
    """Findings on a safetensors file; an empty list means that every tensor lies inside the file and is finite."""
    header, reason = _header(data)
    if header is None:
        what = "invalid safetensors file: corrupt header"
        return [Finding("error", what, where, reason, fix="write the weights again, or copy the file again")]
    out: list[Finding] = []
    start = 8 + int.from_bytes(data[:8], "little")
    spans: list[tuple[int, int]] = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        place = f"{where}, tensor {clean(name)}"
        problem = _entry_problem(entry, len(data) - start)
        if problem:
            out.append(Finding("error", "invalid safetensors header: " + problem, place))
            continue
        a, b = entry["data_offsets"]
        spans.append((a, b))
        kind = _FLOAT.get(entry["dtype"])
        if kind and not np.isfinite(np.frombuffer(data, kind, (b - a) // _WIDTH[entry["dtype"]], start + a)).all():
            out.append(Finding("error", "weights are not finite numbers (nan or inf)", place))
        if len(out) >= 10:
            return out
    spans.sort()
    if any(b > c for (_, b), (c, _) in pairwise(spans)):
        out.append(Finding("error", "invalid safetensors header: tensors overlap", where))
    return out


def _header(data: bytes) -> tuple[dict[str, Any] | None, str]:
    if len(data) < 10:
        return None, f"the file has {len(data)} bytes"
    size = int.from_bytes(data[:8], "little")
    if size > min(MAX_HEADER, len(data) - 8):
        return None, f"the header claims a size of {size} bytes in a file of {len(data)}"
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
    except (ValueError, RecursionError) as err:
        return None, f"the header is not JSON ({clean(err)[:80]})"
    return (header, "") if isinstance(header, dict) else (None, "the header is not a mapping")


def _entry_problem(entry: Any, available: int) -> str:
    if not isinstance(entry, dict):
        return "no description"
    shape, offsets, width = entry.get("shape"), entry.get("data_offsets"), _WIDTH.get(str(entry.get("dtype")))
    if width is None:
        return f"unknown dtype {clean(entry.get('dtype'))}"
    if not (isinstance(shape, list) and all(type(n) is int and 0 <= n < 1 << 48 for n in shape) and len(shape) <= 16):
        return "impossible shape"
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int for n in offsets)):
        return "no data offsets"
    if not 0 <= offsets[0] <= offsets[1] <= available:
        return f"data offsets {offsets} lie outside the file"
    if offsets[1] - offsets[0] != math.prod(shape) * width:
        return f"shape {shape} does not match {offsets[1] - offsets[0]} bytes"
    return ""
