"""Recognise input files by content and read them safely: gzip unpacked, sizes capped, every failure an InputError."""

from __future__ import annotations

import io
import os
import re
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from consilience.core.errors import InputError, RunError, clean

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

MAX_BYTES = 4 << 30
MAX_RATIO = 200
MAX_TEXT = 1 << 30
_RATIO_FLOOR = 4 << 20  # small files of one repeated line may compress better than MAX_RATIO
_CHUNK = 1 << 20
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # what a write that was killed leaves behind

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


def size_of(path: str | Path) -> int:
    """Bytes of a regular file; InputError for a missing path, a folder, a device or an unreadable file."""
    p = Path(path)
    try:
        stat = p.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("no such file", where=str(p), fix=_neighbours(p)) from None
    except (OSError, ValueError) as err:
        raise InputError("the file cannot be opened", where=str(p), found=_reason(err)) from None
    if p.is_dir():
        raise InputError("this is a folder, not a file", where=str(p), fix="name the file inside it")
    if not p.is_file():
        raise InputError("this is not a regular file", where=str(p), expected="a file on disk")
    return stat.st_size


def read_bytes(path: str | Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file, decompressed where it is gzip; capped in size and in expansion ratio.

    Raises InputError (file named) when missing, a folder, unreadable, empty, larger than `max_bytes`, a damaged
    gzip, or a gzip that expands more than 200-fold.
    """
    size = size_of(path)
    if size == 0:
        raise InputError("the file is empty (0 bytes)", where=str(path), fix="check how the file was written or copied")
    if size > max_bytes:
        raise InputError("the file is too large", where=str(path), found=f"{size} bytes", expected=f"<= {max_bytes}")
    try:
        with open(path, "rb") as handle:
            if handle.read(2) != b"\x1f\x8b":
                handle.seek(0)
                return handle.read()
            handle.seek(0)
            data = _gunzip(handle, size, str(path), max_bytes)
    except OSError as err:
        raise InputError("the file cannot be read", where=str(path), found=_reason(err)) from None
    if not data:
        raise InputError("the file is empty after decompression (0 bytes)", where=str(path))
    return data


def read_text(path: str | Path, *, max_bytes: int = MAX_TEXT) -> str:
    """The content of a text file; a byte-order mark is removed, UTF-8 with Latin-1 as the fallback."""
    return decode(read_bytes(path, max_bytes=max_bytes), str(path))


def decode(data: bytes, where: str) -> str:
    """Text of `data` (UTF-8, UTF-16 with a mark, or Latin-1); InputError where it holds NUL bytes."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError("the file is not valid UTF-16 text", where=where) from None
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise InputError(
            "the file holds NUL bytes: it is corrupt or not text (cannot parse it)",
            where=f"{where}, line {line}",
            fix="copy or download the file again",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


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


def _gunzip(handle: io.BufferedReader, size: int, where: str, max_bytes: int) -> bytes:
    """Decompress a gzip stream chunk by chunk, so that a bomb is refused before it fills memory."""
    out, total = bytearray(), 0
    inflate = zlib.decompressobj(wbits=31)
    try:
        pending = handle.read(_CHUNK)
        while pending:
            out += inflate.decompress(pending, _CHUNK)
            total = len(out)
            if total > max_bytes or (total > _RATIO_FLOOR and total > MAX_RATIO * size):
                raise InputError(
                    "the gzip file expands beyond the allowed size or ratio (invalid or hostile)",
                    where=where,
                    found=f"{total} bytes and more from {size} ({total // size}:1)",
                    expected=f"at most {MAX_RATIO}:1 and {max_bytes} bytes",
                    fix="decompress it yourself if you trust it",
                )
            pending = inflate.unconsumed_tail
            if inflate.eof:
                rest = (inflate.unused_data + handle.read(_CHUNK)).lstrip(b"\0")
                if rest[:2] != b"\x1f\x8b":
                    break
                inflate, pending = zlib.decompressobj(wbits=31), rest
            elif not pending:
                pending = handle.read(_CHUNK)
        out += inflate.flush()
    except zlib.error as err:
        raise InputError("the gzip file is corrupt", where=where, found=str(err), fix="copy it again") from None
    if not inflate.eof:
        raise InputError("the gzip file is truncated", where=where, fix="copy or download it again")
    return bytes(out)


def archive_findings(data: bytes, kind: Kind) -> list[str]:
    """Why a tar or zip archive is unsafe (members outside the folder, links, devices); nothing is extracted."""
    bad: list[str] = []
    if kind == "tar":
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for m in tar:
                    if _escapes(m.name):
                        bad.append(f"member path '{clean(m.name)}' lies outside the archive")
                    elif not (m.isfile() or m.isdir()):
                        bad.append(f"member '{clean(m.name)}' is a link or device")
        except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError) as err:
            bad.append(f"the archive is corrupt: {err}")
        return bad
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            for info in z.infolist():
                if _escapes(info.filename):
                    bad.append(f"member path '{clean(info.filename)}' lies outside the archive")
                elif info.file_size > max(_RATIO_FLOOR, MAX_RATIO * len(data)):
                    bad.append(f"member '{clean(info.filename)}' claims {info.file_size} bytes")
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError) as err:
        bad.append(f"the archive is corrupt: {err}")
    return bad


def _escapes(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name) is not None


def _reason(err: BaseException) -> str:
    return getattr(err, "strerror", None) or str(err)


def _neighbours(path: Path) -> str:
    import difflib

    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return "check the path"
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"did you mean {path.parent / close[0]}?" if close else "check the path"


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write a whole file under a temporary name, flush it to the disk, then rename: no reader sees half of it."""
    target = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(raw)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except OSError as err:
        raise RunError(f"cannot write {target}: {_reason(err)}") from None
    finally:
        temporary.unlink(missing_ok=True)
