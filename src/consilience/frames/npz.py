"""Reader of npz files of molecules: members proven harmless before they are loaded, elements and positions found."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.files import MAX_RATIO
from consilience.frames.elements import SYMBOLS, number_of
from consilience.frames.keys import plain
from consilience.frames.raw import Raw, at
from consilience.frames.unit_labels import parse_units

_FLOOR = 4 << 20  # small members may compress better than MAX_RATIO
_MAX_MEMBERS = 1000
_NUMBERS = ("numbers", "atomic_numbers", "Z", "z", "nuclear_charges", "charges_nuclear", "atom_types", "species",
            "symbols", "elements", "atomic_symbols")  # fmt: skip
_POSITIONS = ("R", "positions", "coords", "coordinates", "xyz", "pos", "r", "geometries", "geometry")
_COUNTS = ("N", "natoms", "n_atoms", "num_atoms", "_natoms")
_CELL = ("cell", "lattice", "box", "unit_cell")
_BEADS = ("species", "seq", "F_opt", "F_ca", "F_res", "masses", "constraints", "frc", "F_mean")


def arrays_of(data: bytes, path: str) -> dict[str, np.ndarray]:
    """All arrays of an npz file; pickled objects, hostile headers and damaged members raise InputError."""
    out: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            members = z.infolist()
            if len(members) > _MAX_MEMBERS:
                raise InputError("the npz file has too many arrays", path, str(len(members)), f"<= {_MAX_MEMBERS}")
            for m in members:
                name = m.filename.removesuffix(".npy")
                place = f"{path}, array '{clean(name)[:60]}'"
                if not m.filename.endswith(".npy") or PurePosixPath(m.filename).is_absolute() or ".." in m.filename:
                    raise InputError("this member is no array", place, clean(m.filename)[:60], "NAME.npy")
                if name in out:
                    raise InputError("the array stands twice in the file", place)
                if m.file_size > max(_FLOOR, MAX_RATIO * m.compress_size):
                    found = f"{m.file_size} bytes from {m.compress_size}"
                    raise InputError("the array expands beyond the allowed ratio", place, found, f"{MAX_RATIO}:1")
                with z.open(m) as handle:
                    raw = handle.read(m.file_size + 1)
                out[name] = _array(raw, place)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError) as err:
        what = "the npz file is truncated or corrupt (not a readable zip)"
        raise InputError(what, path, clean(err)[:80], fix="write or copy it again") from None
    except Exception as err:
        if type(err).__module__ in ("zlib", "lzma"):  # error classes of the decompressors
            raise InputError("the npz file is corrupt", path, clean(err)[:80], fix="copy it again") from None
        raise
    if not out:
        raise InputError("the npz file is empty: it holds no arrays", path)
    return out


def _array(raw: bytes, place: str) -> np.ndarray:
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except Exception as err:
        reason = clean(err).split("\n")[0][:80]
        raise InputError("the header of the array cannot be read (corrupt)", place, reason) from None
    if dtype.hasobject:
        what = (
            "the array holds pickled Python objects (dtype object): refused, because loading them can run any program"
        )
        raise InputError(what, place, "dtype object", "numbers or text", "save it as a plain numeric array")
    if dtype.kind not in "fiubUS" or dtype.fields is not None or dtype.subdtype is not None:
        raise InputError("arrays of this dtype are not read", place, clean(dtype)[:60], "numbers or text")
    body = len(raw) - stream.tell()
    if any(s < 0 for s in shape) or len(shape) > 16 or math.prod(shape) * dtype.itemsize != body:
        found = f"shape {shape} of {dtype} in {body} bytes"
        raise InputError("the header of the array does not match its size (corrupt or hostile)", place, found)
    if math.prod(shape) == 0 or dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(raw, dtype, offset=stream.tell())
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("=")) if dtype.kind != "S" else np.char.decode(array, "latin-1")


def is_molecular(names: Mapping[str, np.ndarray]) -> bool:
    """Whether an npz file holds molecules (elements are named) and not beads or all-atom frames for coarsening."""
    if _find(names, _NUMBERS[:6]) is not None or _find(names, _NUMBERS[8:]) is not None:
        return True
    if "species" in names and names["species"].dtype.kind == "U":
        return True
    return not any(k in names for k in _BEADS)


def _find(arrays: Mapping[str, np.ndarray], spellings: tuple[str, ...]) -> str | None:
    for s in spellings:
        if s in arrays:
            return s
        loose = [k for k in arrays if len(s) > 1 and plain(k) == plain(s)]
        if loose:
            return loose[0]
    return None


def read_npz(data: bytes, path: str, keys: Mapping[str, str]) -> Raw:
    """The frames of an npz file. Raises InputError where elements or positions are missing or do not fit."""
    arrays = arrays_of(data, path)
    found = "arrays: " + ", ".join(f"{clean(k)[:30]} {v.shape}" for k, v in list(arrays.items())[:20])
    x_key = _named(arrays, "positions", _POSITIONS, keys, path)
    if x_key is None:
        expected = "an array of positions: R, positions or coords, (frames, atoms, 3)"
        raise InputError("there are no positions", path, found, expected, "name the key of the positions")
    z_key = _named(arrays, "numbers", _NUMBERS, keys, path)
    if z_key is None:
        raise InputError("there are no elements", path, found, "an array Z, numbers or nuclear_charges (atoms)")
    x, single = _positions(arrays, x_key, path)
    numbers = _numbers(arrays, z_key, x.shape[:2], path)
    raw = Raw(path, numbers, np.where(numbers[..., None] > 0, x, 0.0), positions_key=x_key, single=single)
    _counts(raw, arrays, path)
    used = {x_key, z_key, *(k for s in _COUNTS if (k := _find(arrays, (s,))))}
    _labels(raw, arrays, used, path)
    _cell(raw, arrays, used, path)
    for name, a in arrays.items():
        if name not in used:
            raw.arrays[name] = a
            if a.dtype == np.float16:
                what = f"'{clean(name)[:40]}' is stored in half precision (float16): about three digits"
                raw.findings.append(Finding("warn", what, path, fix="store labels in double precision"))
    if x.dtype.kind in "iu":
        raw.findings.append(Finding("warn", "the positions are whole numbers", path, f"dtype {x.dtype}"))
    if single:
        raw.findings.append(Finding("note", "the positions have no axis of frames: read as one frame", path))
    return raw


def _named(arrays: Mapping[str, np.ndarray], what: str, names: tuple[str, ...], keys: Mapping[str, str], path: str):
    asked = keys.get(what)
    if asked is not None and asked not in arrays:
        raise InputError(f"there is no key '{clean(asked)}' for {what}", path, "keys: " + ", ".join(map(clean, arrays)))
    return asked or _find(arrays, names)


def _positions(arrays: dict[str, np.ndarray], key: str, path: str) -> tuple[np.ndarray, bool]:
    x = arrays[key]
    place = f"{path}, array '{clean(key)}'"
    if x.dtype.kind not in "fiu":
        raise InputError("the positions are no numbers", place, f"dtype {x.dtype}", "floating point")
    single = x.ndim == 2 and x.shape[1] == 3
    if single:
        x = x[None]
    if x.ndim != 3 or x.shape[2] != 3:
        fix = ""
        if x.ndim == 3 and x.shape[1] == 3:
            fix = "the axes of atoms and xyz are exchanged: transpose the array"
        elif x.ndim == 2 and x.shape[1] % 3 == 0:
            fix = "atoms and xyz are flattened into one axis: reshape the array"
        raise InputError("the positions have the wrong shape", place, f"{x.shape}", "(frames, atoms, 3)", fix)
    if not x.shape[0] or not x.shape[1]:
        raise InputError("the file has no frames, or no atoms", place, f"shape {x.shape}")
    return x if x.dtype.kind in "iu" else x.astype(float), single


def _numbers(arrays: dict[str, np.ndarray], key: str, shape: tuple[int, int], path: str) -> np.ndarray:
    z = arrays[key]
    place = f"{path}, array '{clean(key)}'"
    f, n = shape
    if z.ndim == 2 and z.shape == (f, 1) and n != 1:
        z = z[0] if n == f else z
    if z.shape not in ((n,), (f, n)):
        expected = f"({n},) or ({f}, {n}), as the positions are {(f, n, 3)}"
        raise InputError("the elements do not fit the positions (count of atoms)", place, f"shape {z.shape}", expected)
    if z.dtype.kind == "U":
        flat = [number_of(w) if w.strip() else 0 for w in z.ravel()]
        bad = next((w for w, v in zip(z.ravel(), flat, strict=True) if w.strip() and not v), None)
        if bad is not None:
            raise InputError(f"unknown element '{clean(bad)[:20]}'", place, str(bad), "a chemical symbol")
        out = np.array(flat).reshape(z.shape)
    else:
        if z.dtype.kind not in "fiu" or not np.array_equal(z, np.round(np.nan_to_num(z.astype(float), nan=0.5))):
            raise InputError("the elements are no whole numbers", place, f"{z.ravel()[:5]}", "atomic numbers")
        if z.min() < 0 or z.max() >= len(SYMBOLS):
            bad = z[(z < 0) | (z >= len(SYMBOLS))].ravel()[0]
            raise InputError("unknown element: no such atomic number", place, f"{bad}", f"1 to {len(SYMBOLS) - 1}")
        out = z.astype(int)
    numbers = np.broadcast_to(out, shape).copy()
    real = numbers > 0
    if (real != (np.arange(n) < real.sum(1)[:, None])).any():
        k = int(np.flatnonzero((real != (np.arange(n) < real.sum(1)[:, None])).any(1))[0])
        raise InputError("an element is 0 between real atoms (padding must stand last)", f"{at(path, k)}, {clean(key)}")
    if not real.any(1).all():
        raise InputError("a frame has no atoms", f"{at(path, int(np.flatnonzero(~real.any(1))[0]))}")
    return numbers


def _counts(raw: Raw, arrays: dict[str, np.ndarray], path: str) -> None:
    key = _find(arrays, _COUNTS)
    if key is None or arrays[key].dtype.kind not in "fiu":
        return
    counts = np.ravel(arrays[key])
    if counts.size not in (1, len(raw)):
        raw.findings.append(Finding("error", f"'{clean(key)}' does not fit the frames", path, f"{arrays[key].shape}"))
        return
    bad = np.flatnonzero(np.broadcast_to(counts, (len(raw),)) != (raw.numbers > 0).sum(1))
    if len(bad):
        k = int(bad[0])
        what = f"the count of atoms '{clean(key)}' disagrees with the elements in {len(bad)} frame(s)"
        found = f"{int(np.broadcast_to(counts, (len(raw),))[k])} atoms said, {int((raw.numbers[k] > 0).sum())} elements"
        raw.findings.append(Finding("error", what, at(path, k), found))


def _labels(raw: Raw, arrays: dict[str, np.ndarray], used: set[str], path: str) -> None:
    """Unit labels: an array "units" (text or JSON), or NAME_unit(s)."""
    for name, a in arrays.items():
        if a.dtype.kind != "U" or a.size != 1:
            continue
        text = str(a.ravel()[0])
        match = re.fullmatch(r"(?:(.+?)_)?(units?)", name, re.IGNORECASE)
        if not match:
            continue
        used.add(name)
        if match[1]:
            low = {"e": "energy", "f": "forces", "r": "length", "d": "dipole", "energies": "energy", "force": "forces",
                   "positions": "length", "coords": "length", "length": "length"}  # fmt: skip
            raw.units[match[1]] = text
            raw.units.setdefault(low.get(match[1].lower(), match[1].lower()), text)
            continue
        try:
            raw.units.update(parse_units(text, f"{path}, array '{clean(name)}'"))
        except InputError as err:
            raw.findings.append(Finding("warn", err.finding.what, err.finding.where, err.finding.found))


def _cell(raw: Raw, arrays: dict[str, np.ndarray], used: set[str], path: str) -> None:
    key = _find(arrays, _CELL)
    f = len(raw)
    if key is not None and arrays[key].dtype.kind in "fiu":
        used.add(key)
        c = arrays[key].astype(float)
        if c.shape in ((3,), (f, 3)):
            c = np.eye(3) * c[..., None, :]
        elif c.shape in ((9,), (f, 9)):
            c = c.reshape(*c.shape[:-1], 3, 3)
        if c.shape not in ((3, 3), (f, 3, 3)):
            raw.findings.append(Finding("error", "the cell has the wrong shape", path, f"{c.shape}", f"({f}, 3, 3)"))
            return
        raw.cell = np.broadcast_to(c, (f, 3, 3)).copy()
    if "pbc" in arrays:
        used.add("pbc")
        p = np.asarray(arrays["pbc"])
        if p.dtype.kind not in "biuf" or p.shape not in ((), (1,), (3,), (f,), (f, 1), (f, 3)):
            raw.findings.append(Finding("error", "pbc has the wrong shape", path, f"{p.shape}", f"({f}, 3)"))
            return
        flags = p.astype(bool)
        if flags.shape == (f,) and f != 3:
            flags = flags[:, None]
        raw.pbc = np.broadcast_to(flags, (f, 3)).copy()
    elif raw.cell is not None:
        raw.pbc = np.broadcast_to((np.abs(raw.cell).sum((1, 2)) > 0)[:, None], (f, 3)).copy()
