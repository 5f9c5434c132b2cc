"""Files read safely (gzip unpacked, sizes capped, every failure an InputError) and written whole or not at all."""

from __future__ import annotations

import io
import os
import re
import tarfile
import zipfile
import zlib
from pathlib import Path

from consilience.core.errors import InputError, RunError, clean

MAX_BYTES = 4 << 30
MAX_RATIO = 200
MAX_TEXT = 1 << 30
_RATIO_FLOOR = 4 << 20  # small files of one repeated line may compress better than MAX_RATIO
_CHUNK = 1 << 20
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")  # what a write that was killed leaves behind


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


def archive_findings(data: bytes, kind: str) -> list[str]:
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
