"""Checkpoints: arrays in safetensors and a JSON header, in one file that appears all at once or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from consilience.core.errors import InputError


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, flush to the disk, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_checkpoint(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Named arrays (any shape, float64/int/bool) and a JSON header to one file."""
    tensors = {k: np.asarray(v, order="C") for k, v in arrays.items()}  # keeps () apart from (1,)
    text = json.dumps(header)
    write_atomic(path, save(tensors, {"header": text, "sha256": _digest(tensors, text)}))


def _digest(tensors: Mapping[str, np.ndarray], header: str) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_checkpoint` wrote. Raises InputError for a damaged file."""
    try:
        with safe_open(path, "numpy") as f:
            metadata = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}
        if _digest(tensors, metadata["header"]) != metadata["sha256"]:
            raise ValueError("the contents do not match their checksum")
        return tensors, json.loads(metadata["header"])
    except (SafetensorError, KeyError, ValueError, OSError) as err:
        raise InputError("the checkpoint cannot be read", str(path), fix="start anew with --overwrite") from err
