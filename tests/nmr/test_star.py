"""NMR-STAR: units, fields and atoms as the tags say them, the traps of real entries, and any text at all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilience.core.errors import Finding, InputError
from consilience.nmr.data import RelaxationData
from consilience.nmr.read import read_relaxation
from consilience.nmr.star import read_star

from .relaxation_files import NAMES, frame, rates, star, star_rows


def read(folder: Path, text: str, **given: object) -> RelaxationData:
    path = folder / "a.str"
    path.write_text(text)
    return read_relaxation(path, **given)  # type: ignore[arg-type]


def levels(findings: tuple[Finding, ...]) -> list[str]:
    return [f.level for f in findings]


def test_clean_file(tmp_path: Path) -> None:
    data = read(tmp_path, star())
    assert [str(c) for c in data.columns] == ["R1 600.13 MHz", "R2 600.13 MHz", "NOE 600.13 MHz"]
    assert data.findings == () and [r.number for r in data.residues] == list(NAMES)
    for j, kind in enumerate(("R1", "R2", "NOE")):
        assert np.allclose(np.c_[data.value[:, j], data.sigma[:, j]], list(rates()[kind].values()))
    assert [r.name for r in data.residues] == list(NAMES.values()) and {r.chain for r in data.residues} == {""}


@pytest.mark.parametrize(("unit", "factor"), [("s", 1.0), ("ms", 1e3), ("us", 1e6), ("msec", 1e3), (".", 1e3)])
def test_times_become_rates_with_their_errors(tmp_path: Path, unit: str, factor: float) -> None:
    truth = rates()["R2"]
    rows = {n: f"{factor / v:.8g} {factor * s / v**2:.8g}" for n, (v, s) in truth.items()}
    data = read(tmp_path, star([frame("R2", 1, star_rows("R2", rows), unit=unit), frame("NOE", 2, star_rows("NOE"))]))
    assert np.allclose(np.c_[data.value[:, 0], data.sigma[:, 0]], list(truth.values()), rtol=1e-5)
    assert levels(data.findings) == (["note"] if unit == "." else [])


def test_a_wrong_unit_is_an_error_that_names_the_right_one(tmp_path: Path) -> None:
    rows = {n: f"{1e3 / v:.1f} 8.0" for n, (v, _) in rates()["R1"].items()}
    with pytest.raises(InputError, match=r"impossible values for unit s: .*ms"):
        read(tmp_path, star([frame("R1", 1, star_rows("R1", rows), unit="s"), frame("R2", 2, star_rows("R2"))]))
    rows = {n: f"{1 / v:.5f} 0.004" for n, (v, _) in rates()["R2"].items()}
    with pytest.raises(InputError, match="unit"):
        read(tmp_path, star([frame("R1", 1, star_rows("R1")), frame("R2", 2, star_rows("R2", rows))]))


def test_field_missing_or_odd(tmp_path: Path) -> None:
    text = star([frame(k, i, star_rows(k), field="") for i, k in enumerate(("R1", "R2", "NOE"))])
    with pytest.raises(InputError, match="--field"):
        read(tmp_path, text)
    assert {c.field for c in read(tmp_path, text, field_mhz=500.0).columns} == {500.0}
    loose = read(tmp_path, text, strict=False)
    assert math.isnan(loose.columns[0].field) and levels(loose.findings) == ["error"] * 3
    for field, hint in (
        ("14.1", "600 MHz"),
        ("60.83", "600 MHz"),
        ("600130000", "600.13 MHz"),
        ("0.6", "600 MHz"),
        ("0", "implausible"),
    ):
        with pytest.raises(InputError, match=hint):
            read(tmp_path, star([frame("R1", 1, star_rows("R1"), field=field)]))
    with pytest.raises(InputError, match="no number"):
        read(tmp_path, star([frame("R1", 1, star_rows("R1"), field="'six hundred'")]))


def test_rows_that_are_no_amides(tmp_path: Path) -> None:
    rows = [*star_rows("R2", atom="H"), "4 LEU CA 8.0 0.1", "7 TRP NE1 6.0 0.1", "8 ALA HA 6.0 0.1"]
    data = read(tmp_path, star([frame("R2", 1, rows), frame("R1", 2, star_rows("R1"))]))
    assert data.value.shape == (10, 2) and levels(data.findings) == ["note"] * 2
    rho = frame("R2", 3, star_rows("R2")).replace("heteronucl_T2_relaxation", "heteronucl_T1rho_relaxation")
    data = read(tmp_path, star([frame("R1", 1, star_rows("R1")), rho]))
    assert len(data.columns) == 1 and "T1rho" in data.findings[0].what


@pytest.mark.parametrize(
    ("text", "level"), [("nan", "warn"), ("-inf", "warn"), ("N/A", "note"), (".", ""), ("abc", "error")]
)
def test_values_that_are_no_numbers(tmp_path: Path, text: str, level: str) -> None:
    rows = star_rows("R1", {5: f"{text} 0.04"})
    data = read(tmp_path, star([frame("R1", 1, rows), frame("R2", 2, star_rows("R2"))]), strict=False)
    assert levels(data.findings) == [level] * bool(level) and np.isnan(data.value[3, 0])
    assert not level or "LYS 5" in data.findings[0].where


def test_tag_variants_and_empty_loops(tmp_path: Path) -> None:
    text = star().replace("_T1.Val", "_T1.T1_val").replace("_T2.Comp_index_ID", "_T2.Auth_seq_ID")
    text += "save_x\n   _X.Sf_category x\n   loop_\n      _Y.a\n      _Y.b\n   stop_\nsave_\n"
    assert read(tmp_path, text).value.shape == (10, 3)


def test_nmr_star_2(tmp_path: Path) -> None:
    body = "\n".join(f"{n} {NAMES[n]} N {1 / v:.6g} {s / v**2:.4g}" for n, (v, s) in rates()["R1"].items())
    text = (
        "data_4245\nsave_T1\n _Saveframe_category T1_relaxation\n _Spectrometer_frequency_1H 500\n"
        " _T1_coherence_type Nz\n _T1_value_units s\n loop_\n _Residue_seq_code\n _Residue_label\n _Atom_name\n"
        f" _T1_value\n _T1_value_error\n{body}\n stop_\nsave_\n"
    )
    data = read(tmp_path, text)
    assert data.columns[0][:2] == ("R1", 500.0)
    assert np.allclose(data.value[:, 0], [v for v, _ in rates()["R1"].values()], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "kind", "notes"), [("eta_xy", "etaxy", 0), ("longitudinal", "etaz", 0), ("c", "etaxy", 1)]
)
def test_cross_correlation(tmp_path: Path, name: str, kind: str, notes: int) -> None:
    tags = [f"Dipole_{t}_{i}" for i in (1, 2) for t in ("comp_index_ID", "comp_ID", "atom_ID")]
    columns = "\n".join(f"_Cross_correlation_D_CSA.{t}" for t in ("ID", *tags, "CSA_comp_index_ID_1", "Val", "Val_err"))
    body = "\n".join(f"{n} {n} {NAMES[n]} N {n} {NAMES[n]} H {n} 3.9 0.1" for n in NAMES)
    prefix = "_Cross_correlation_D_CSA_list."
    text = star() + (
        f"save_{name}\n{prefix}Sf_category dipole_CSA_cross_correlations\n{prefix}Spectrometer_frequency_1H 600.13\n"
        f"{prefix}Val_units s-1\nloop_\n{columns}\n{body}\nstop_\nsave_\n"
    )
    data = read(tmp_path, text)
    assert [c.kind for c in data.columns].count(kind) == 1 and data.value.shape == (10, 4)
    assert len(data.findings) == notes


def test_several_molecules_are_chains(tmp_path: Path) -> None:
    rows = [f"{r.split()[0]} {r.split(maxsplit=1)[1]}" for r in star_rows("R1")]
    text = star([frame("R1", 1, rows + rows)])
    text = text.replace("      _T1.Comp_index_ID\n", "      _T1.Entity_assembly_ID\n      _T1.Comp_index_ID\n")
    lines = []
    for line in text.split("\n"):
        w = line.split()
        lines.append(
            " ".join([w[0], "1" if int(w[0]) <= 10 else "2", *w[1:]]) if len(w) == 6 and w[0].isdigit() else line
        )
    text = "\n".join(lines) + (
        "\nsave_assembly\n   _Assembly.Sf_category assembly\n   loop_\n      _Entity_assembly.ID\n"
        "      _Entity_assembly.PDB_chain_ID\n      1 A\n      2 C\n   stop_\nsave_\n"
    )
    data = read(tmp_path, text)
    assert data.value.shape == (20, 1) and {r.chain for r in data.residues} == {"A", "C"}


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8, 0.97])
def test_truncated_file_names_the_line(tmp_path: Path, part: float) -> None:
    with pytest.raises(InputError, match=r"line \d+"):
        read(tmp_path, star()[: int(part * len(star()))])


def test_files_without_relaxation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="entry_information"):
        read(tmp_path, star([]))
    with pytest.raises(InputError, match="residue numbers"):
        read(tmp_path, star([frame("R1", 1, star_rows("R1"))]).replace("_T1.Comp_index_ID", "_T1.Place"))


@given(st.text(max_size=200), st.integers(0, 2000), st.integers(0, 200))
def test_any_text_gives_findings(noise: str, at: int, cut: int) -> None:
    text = star()
    text = text[:at] + noise + text[at + cut :]
    try:
        _, findings = read_star(text, "x.str")
    except InputError:
        return
    assert all(isinstance(f, Finding) for f in findings)


def test_trhbn(data_dir: Path) -> None:
    folder = data_dir / "nmr" / "trhbn_bmr17226"
    data = read_relaxation(folder / "bmr17226.str")
    assert data.value.shape == (101, 8) and data.measured.all(axis=1).sum() == 100
    assert "warn" not in levels(data.findings)
    tables = read_relaxation(sorted(p for p in folder.glob("*.txt") if p.name[:2] in ("R1", "R2", "NO")))
    assert np.allclose(tables.value, data.value, equal_nan=True, rtol=1e-9)
    assert np.allclose(tables.sigma, data.sigma, equal_nan=True, rtol=1e-9)
