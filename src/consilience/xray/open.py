"""Open MTZ and SF-mmCIF files as gemmi.Mtz: sizes checked before memory is taken, unmerged data refused with advice."""

from __future__ import annotations

import re
import struct
import tempfile
from pathlib import Path

import gemmi
import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.files import decode, read_bytes
from consilience.kinds import recognise_bytes
from consilience.structure.read import PARSE_ERRORS, parse_cif

_ASCII = bytes(b if b < 0x80 else 0x3F for b in range(256))  # titles in other encodings are no reason to stop
_MERGE = "merge the data first (aimless, or dials.merge) and give the merged file"


def open_reflections(path: str | Path) -> tuple[gemmi.Mtz, np.ndarray | None, list[Finding]]:
    """The file as an MTZ with a cell and a space group, `_refln.status` per row (SF-mmCIF only), and remarks.

    Raises InputError for damaged or truncated files, headers that claim more than the file holds, unmerged data, and
    files without indices, cell or space group.
    """
    source = str(path)
    data = read_bytes(path)
    kind = recognise_bytes(data, Path(source).name)
    if kind == "mtz":
        if data[:4] != b"MTZ ":
            what = "this is not an MTZ file: the header does not begin with 'MTZ '"
            raise InputError(what, where=source, found=repr(data[:4]), fix="the file is corrupt, or has the wrong name")
        status, notes, mtz = None, [], _open_mtz(data, source)
    elif kind == "sf-mmcif":
        mtz, status, notes = _open_cif(data, source)
    elif kind == "unmerged":
        raise InputError("unmerged XDS data", where=source, fix=_MERGE)
    else:
        expected = "an MTZ or SF-mmCIF file"
        raise InputError("these are not reflection data", where=source, found=f"content: {kind}", expected=expected)
    _check(mtz, source)
    return mtz, status, notes


def _open_mtz(data: bytes, source: str) -> gemmi.Mtz:
    start = _check_header(data, source)
    data = data[:start] + data[start:].translate(_ASCII)
    with tempfile.NamedTemporaryFile(suffix=".mtz") as copy:  # gemmi reads MTZ from disk only
        copy.write(data)
        copy.flush()
        try:
            mtz = gemmi.read_mtz_file(copy.name)
        except (*PARSE_ERRORS, MemoryError) as err:
            reason = clean(err).replace(copy.name, Path(source).name).strip()
            what = "the MTZ file cannot be read: it is corrupt or truncated"
            raise InputError(what, where=source, found=reason, fix="copy or download it again") from None
    return mtz


def _check_header(data: bytes, source: str) -> int:
    """Where the header begins. The reflections that NCOL claims must end before it, and it must lie in the file."""
    what = "the MTZ file is truncated or its header is corrupt"
    fix = "copy or download it again"
    if len(data) < 84:
        raise InputError(what, where=source, found=f"{len(data)} bytes", expected="at least a header", fix=fix)
    big = data[8:9] in (b"\x11", b"\x10")  # machine stamp: IEEE big endian
    (offset,) = struct.unpack(">i" if big else "<i", data[4:8])
    if offset == -1:
        (offset,) = struct.unpack(">q" if big else "<q", data[12:20])
    start = 4 * (offset - 1)
    if not 80 <= start < len(data):
        found = f"header at byte {start} of {len(data)}"
        raise InputError(what, where=source, found=found, expected="a header inside the file", fix=fix)
    if b"MTZENDOFHEADERS" not in data[start:]:
        found = "no MTZENDOFHEADERS record: the header is incomplete"
        raise InputError(what, where=source, found=found, fix=fix)
    match = re.search(rb"NCOL\s+(-?\d+)\s+(-?\d+)", data[start:])
    if match is None:
        raise InputError(what, where=source, found="no NCOL record in the header", fix=fix)
    columns, rows = int(match[1]), int(match[2])
    claimed = 80 + 4 * columns * rows
    if not (3 <= columns <= 10_000 and rows >= 0) or claimed > start:
        what = "the MTZ header claims more reflections than the size of the file allows (truncated or corrupt)"
        found = f"{columns} columns of {rows} reflections = {claimed} bytes, but the data end at byte {start}"
        raise InputError(what, where=source, found=found, fix=fix)
    return start


def _check(mtz: gemmi.Mtz, source: str) -> None:
    types = [c.type for c in mtz.columns]
    if len(mtz.batches) or ("B" in types and "Y" in types):
        raise InputError("unmerged data (the file has batches)", where=source, fix=_MERGE)
    if types[:3] != ["H", "H", "H"]:
        raise InputError("the first three columns are not the indices H K L", where=source, found=" ".join(types[:6]))
    known = {d.id for d in mtz.datasets}
    lost = [c.label for c in mtz.columns if c.dataset_id not in known]
    if lost:
        what = "the MTZ header is corrupt: columns belong to a data set that it does not define"
        raise InputError(what, where=source, found=clean(", ".join(lost[:5])))
    if mtz.nreflections == 0:
        raise InputError("the file holds no reflections (empty)", where=source)
    if mtz.spacegroup is None:
        found = f"'{clean(mtz.spacegroup_name)}'" if mtz.spacegroup_name else "none"
        what = "the reflection file names no known space group"
        raise InputError(what, where=source, found=found, fix="write it into the header (e.g. with gemmi or cad)")


def _open_cif(data: bytes, source: str) -> tuple[gemmi.Mtz, np.ndarray | None, list[Finding]]:
    """The first block with merged observations, as an MTZ."""
    doc = parse_cif(decode(data, source), source)
    try:
        blocks = [b for b in gemmi.as_refln_blocks(doc) if b.default_loop is not None]
    except PARSE_ERRORS as err:
        what = "the reflection mmCIF cannot be read"
        raise InputError(what, where=source, found=clean(err).strip()) from None
    merged = [b for b in blocks if b.is_merged()]
    if not merged:
        if blocks:
            raise InputError("unmerged data (_diffrn_refln only)", where=source, fix=_MERGE)
        raise InputError("the file holds no reflections (no _refln loop)", where=source)
    notes: list[Finding] = []
    reasons: list[str] = []
    options: list[tuple[gemmi.Mtz, gemmi.ReflnBlock]] = []
    for block in merged:
        try:
            mtz = gemmi.CifToMtz().convert_block_to_mtz(block)
        except PARSE_ERRORS as err:
            reasons.append(clean(err).strip().split("\n")[0])
            continue
        if any(c.type in "FJGK" for c in mtz.columns):
            options.append((mtz, block))
    if not options:
        what = "no block with indices and measured amplitudes or intensities"
        tags = ", ".join(list(merged[0].column_labels())[:20])
        found = "; ".join(reasons[:2]) or f"columns {tags}"
        raise InputError(
            what, where=source, found=clean(found), fix="expected _refln.F_meas_au or _refln.intensity_meas"
        )
    mtz, block = options[0]
    if len(merged) > 1 or len(blocks) > 1:
        name = clean(block.block.name)
        notes.append(Finding("note", f"{len(blocks)} blocks of reflections: the block {name} is used", source))
    status = list(block.block.find_values("_refln.status"))
    if len(status) != mtz.nreflections:
        return mtz, None, notes
    return mtz, np.array([s.strip("'\"").lower() for s in status]), notes
