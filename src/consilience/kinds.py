"""What a file is, recognised by its content; by its name only where the content says nothing."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Literal

from consilience.core.errors import InputError
from consilience.files import read_bytes, size_of

Kind = Literal[
    "empty",
    "pdb",
    "mmcif",
    "sf-mmcif",
    "mtz",
    "dictionary",
    "cif",
    "nmr-star",
    "npz",
    "extxyz",
    "safetensors",
    "model",
    "json",
    "yaml",
    "csv",
    "table",
    "pickle",
    "tar",
    "zip",
    "unmerged",
    "map",
    "hdf5",
    "unknown",
]

_PDB_RECORD = re.compile(
    rb"(HEADER|TITLE |COMPND|SOURCE|KEYWDS|EXPDTA|AUTHOR|REVDAT|JRNL  |REMARK|SEQRES|CRYST1|SCALE[123]|ORIGX[123]|"
    rb"MODEL |ATOM  |HETATM|ANISOU|TER|END|LINK  |SSBOND|HELIX |SHEET |HET   |HETNAM|FORMUL|DBREF|SEQADV|CISPEP|"
    rb"MTRIX[123]|CONECT|MASTER|SITE  |NUMMDL|MODRES|OBSLTE|CAVEAT|SPLIT |MDLTYP|SIGATM|USER  )"
)
_CIF_START = re.compile(rb"\A(?:\s+|#[^\n]*\n)*(data_|loop_|save_|global_)", re.IGNORECASE)
_SUFFIX_KIND: dict[str, Kind] = {
    ".pdb": "pdb",
    ".ent": "pdb",
    ".mtz": "mtz",
    ".safetensors": "safetensors",
    ".npz": "npz",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".csv": "csv",
    ".str": "nmr-star",
    ".cif": "cif",
    ".mmcif": "cif",
}


def recognise(path: str | Path) -> Kind:
    """What a file is, judged by its content; the name is used only where the content says nothing.

    Raises InputError for a path that cannot be read. A folder with model.json is a "model".
    """
    p = Path(path)
    if p.is_dir():
        if (p / "model.json").is_file():
            return "model"
        raise InputError("this folder holds no model.json", where=str(p), expected="a file, or a model folder")
    if size_of(p) == 0:
        return "empty"
    return recognise_bytes(read_bytes(p), p.name)


def recognise_bytes(data: bytes, name: str = "") -> Kind:
    """As `recognise`, for content already read (and decompressed)."""
    binary = _recognise_binary(data)
    if binary is not None:
        return binary
    if not data.strip():
        return "empty"
    suffixes = [s.lower() for s in Path(name).suffixes if s.lower() != ".gz"]
    hint = _SUFFIX_KIND.get(suffixes[-1], "unknown") if suffixes else "unknown"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode()
    if data[:3] == b"\xef\xbb\xbf":
        data = data[3:]
    if not data.strip():
        return "empty"
    if _CIF_START.match(data[: 1 << 20]):
        return _recognise_cif(data)
    return _recognise_text(data, hint) or hint


def _recognise_binary(data: bytes) -> Kind | None:
    if data[:4] == b"MTZ ":
        return "mtz"
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _recognise_zip(data)
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if re.match(rb"(\((dp|lp|i)\d*\n|c[A-Za-z_][\w.]*\n\w+\n|\]q\x00|\}q\x00)", data[:200]):
        return "pickle"
    if data[257:262] == b"ustar":
        return "tar"
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if data[208:212] == b"MAP ":
        return "map"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") > 0 and b"\0" in data[:8]:
        return "safetensors"
    return None


def _recognise_zip(data: bytes) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            names = z.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
        first = data[30 : 30 + int.from_bytes(data[26:28], "little")]
        return "npz" if first.endswith(b".npy") else "zip"
    if names and all(n.endswith(".npy") for n in names):
        return "npz"
    if any(n.endswith((".pkl", ".pickle")) for n in names):
        return "pickle"
    return "zip"


def _recognise_cif(data: bytes) -> Kind:
    def has(tags: bytes) -> bool:
        return re.search(rb"^[ \t]*_(" + tags + rb")", data, re.MULTILINE | re.IGNORECASE) is not None

    if has(rb"Entry\.NMR_STAR_version"):
        return "nmr-star"
    if has(rb"atom_site\."):
        return "mmcif"
    if has(rb"(refln|diffrn_refln)\."):
        return "sf-mmcif"
    if has(
        rb"(Entry\.NMR_STAR_version|Entry\.Sf_category|Heteronucl\w+\.|[A-Za-z_]+\.Sf_framecode|Saveframe_category\s)"
    ):
        return "nmr-star"
    if has(rb"(chem_comp_atom|chem_comp_bond|chem_comp_tree|chem_link|chem_mod)[._]") or re.search(
        rb"^data_comp_", data, re.MULTILINE
    ):
        return "dictionary"
    if has(rb"(entity|struct|cell|symmetry|exptl|entry|entity_poly|audit_conform)\."):
        return "mmcif"
    return "cif"


def _recognise_text(data: bytes, hint: Kind) -> Kind | None:
    head = data[: 1 << 16]
    lines = [line for line in head.replace(b"\r", b"\n").split(b"\n") if line.strip()]
    if not lines:
        return None
    if head.lstrip().startswith(b"!FORMAT=XDS"):
        return "unmerged"
    records = sum(bool(_PDB_RECORD.match(line)) for line in lines[:200])
    if records and 2 * records >= min(len(lines), 200):
        return "pdb"
    stripped = head.lstrip()
    if stripped[:1] in (b"{", b"[") and hint != "yaml":
        return "json"
    if re.match(rb"\s*\d+\s*$", lines[0]) and len(lines) > 1:
        atom = re.compile(rb"\s*[A-Za-z]{1,3}\d*(\s+[-+.\dEeDdna]+){3}")
        if hint == "extxyz" or b"=" in lines[1] or (len(lines) > 2 and atom.match(lines[2])):
            return "extxyz"
    if hint in ("yaml", "csv", "nmr-star", "json", "extxyz"):
        return hint
    for sep in (b",", b";", b"\t"):
        counts = {line.count(sep) for line in lines[:5] if not line.startswith(b"#")}
        if len(lines) > 1 and len(counts) == 1 and counts.pop() > 0:
            return "csv"
    if _is_table(lines[:200]):
        return "table"
    if re.match(rb"(---\s*$|[A-Za-z_][\w-]*\s*:(\s|$))", next((x for x in lines if x.strip()[:1] != b"#"), b"")):
        return "yaml"
    return None


def _is_table(lines: list[bytes]) -> bool:
    """Columns of numbers, each row led by a number or a name; or blocks "spin NAME" (mfdata of ModelFree)."""
    rows = [line.split() for line in lines if line.strip()[:1] not in (b"#", b"%", b"!")]
    if len(rows) > 1 and rows[0][0].lower() == b"spin" and rows[1][0] in (b"R1", b"R2", b"NOE"):
        return True
    cell = re.compile(rb"[-+]?(\d+[.,]?\d*|[.,]\d+)([EeDd][-+]?\d+)?|nan|None|[-.]|inf", re.IGNORECASE)
    good = [len(r) > 1 and sum(bool(cell.fullmatch(x)) for x in r) >= max(1, (len(r) + 1) // 2) for r in rows]
    return bool(rows) and sum(good) >= max(1.0, 0.6 * len(rows)) and (sum(good) > 1 or len(lines) > len(rows))
