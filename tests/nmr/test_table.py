"""Tables of relaxation data: headers in all spellings, separators, decimal commas, file names, any text at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilience.core.errors import Finding, InputError
from consilience.kinds import recognise
from consilience.nmr.columns import field_from_name, kind_from_name, role_of
from consilience.nmr.data import RelaxationData, Residue
from consilience.nmr.read import read_relaxation
from consilience.nmr.table import read_table

from .relaxation_files import NAMES, rates

CSV = "residue,R1_600,R1_600_err,R2_600,R2_600_err,NOE_600,NOE_600_err\n"


def body(sep: str = ",", *, comma: bool = False, name: bool = False) -> str:
    data = rates()
    lines = []
    for n in NAMES:
        cells = [str(n), *([NAMES[n]] if name else []), *(f"{x:g}" for k in data for x in data[k][n])]
        lines.append(sep.join(c.replace(".", ",") if comma else c for c in cells))
    return "\n".join(lines) + "\n"


def read(folder: Path, text: str, name: str = "a.csv", **given: object) -> RelaxationData:
    path = folder / name
    path.write_text(text)
    return read_relaxation(path, **given)  # type: ignore[arg-type]


def is_right(data: RelaxationData) -> bool:
    truth = np.array([[rates()[k][n] for k in ("R1", "R2", "NOE")] for n in NAMES])
    kinds = [c.kind for c in data.columns] == ["R1", "R2", "NOE"]
    return kinds and np.allclose(data.value, truth[..., 0]) and np.allclose(data.sigma, truth[..., 1])


@pytest.mark.parametrize(
    "text",
    [
        CSV + body(),
        "# a comment\n" + CSV.upper() + body(),
        CSV.replace("_600", "_600MHz") + body(),
        CSV.replace(",", ", ") + body(", "),
        CSV.replace(",", "\t") + body("\t"),
        CSV.replace(",", ";") + body(";"),
        "# residue R1 R1_err R2 R2_err NOE NOE_err   (s^-1, s^-1, ratio)  1H frequency 600 MHz, BMRB 4245\n"
        + body("  "),
        "#resnum resname R1_600 dR1_600 R2_600 dR2_600 NOE_600 dNOE_600\n" + body(" ", name=True),
        "Residue number,R1 (600 MHz),err,R2 (600 MHz),err,hetNOE (600 MHz),err\n" + body(),
        "num,res_name,R1@600,sigma_R1@600,R2@600,sigma_R2@600,NOE@600,sigma_NOE@600\n" + body(name=True),
        "res,R1_600 (s-1),R1_600_sd,R2_600 (s-1),R2_600_sd,NOE_600,NOE_600_sd\r\n" + body().replace("\n", "\r\n"),
        "resid,R1_14.0921T,R1err_14.0921T,R2_14.0921T,R2err_14.0921T,NOE_14.0921T,NOEerr_14.0921T\n" + body(),
    ],
)
def test_spellings(tmp_path: Path, text: str) -> None:
    data = read(tmp_path, text)
    assert is_right(data) and data.findings == () and np.allclose(data.fields, 600.0, atol=0.1)


def test_decimal_commas_are_read_and_said(tmp_path: Path) -> None:
    for sep in (";", "\t", "  "):
        header = CSV.replace(",", sep)
        data = read(tmp_path, header + body(sep, comma=True), "a.dat" if sep == "  " else "a.csv")
        assert is_right(data) and [f.level for f in data.findings] == ["note"]
        assert "decimal comma" in data.findings[0].what
    with pytest.raises(InputError, match=r"line \d+(.|\n)*13 cells"):
        read(tmp_path, CSV + body(",", comma=True))


def test_times_in_tables(tmp_path: Path) -> None:
    rows = "\n".join(f"{n},{1e3 / v:.6f},{1e3 * s / v**2:.6f}" for n, (v, s) in rates()["R2"].items())
    for header in ("residue,T2_600 (ms),T2_600_err\n", "residue,T2_600_ms,T2_600_err\n"):
        data = read(tmp_path, header + rows + "\n")
        assert np.allclose(data.value[:, 0], [v for v, _ in rates()["R2"].values()], rtol=1e-5)
        assert np.allclose(data.sigma[:, 0], 0.11, rtol=1e-3) and data.findings == ()
    assert [f.level for f in read(tmp_path, "residue,T2_600,T2_600_err\n" + rows + "\n").findings] == ["note"]


def test_many_fields_and_cross_correlation(tmp_path: Path) -> None:
    header = "residue,R1_500,R1_500_err,R1_800,R1_800_err,etaxy_600,etaxy_600_err,eta_z_600,eta_z_600_err\n"
    rows = "".join(f"LEU{n},2.4,0.05,1.9,0.04,3.9,0.1,1.9,0.1\n" for n in range(3, 9))
    data = read(tmp_path, header + rows)
    assert [str(c) for c in data.columns] == ["R1 500 MHz", "R1 800 MHz", "etaxy 600 MHz", "etaz 600 MHz"]
    assert data.residues[0] == Residue(3, "LEU", "") and data.measured.all() and data.findings == ()


def test_single_rates_named_by_their_files(tmp_path: Path) -> None:
    paths = []
    for kind, header in (
        ("R1", "# residue value error\n"),
        ("R2", ""),
        ("NOE", "#Num Name  Value   Error\n1    GLY\n"),
    ):
        rows = rates()[kind]
        name = "{} {}" if "Name" in header else "{}"
        lines = [f"{name.format(n, NAMES[n])} {v} {s}\n" for n, (v, s) in rows.items()]
        paths.append(tmp_path / f"{kind.lower()}.600.out.gz")
        paths[-1].write_bytes(gzip.compress((header + "".join(lines)).encode()))
    data = read_relaxation(paths)
    assert is_right(data) and data.findings == () and data.residues[0].name == "SER"
    full = "mol_name res_num res_name spin_num spin_name value error\n" + "".join(
        f"mol1 {n} {NAMES[n]} None N {v} {s}\nmol1 {n} {NAMES[n]} None NE1 9.0 1.0\n"
        for n, (v, s) in rates()["R1"].items()
    )
    relax = read(tmp_path, full + "mol1 30 GLY None N None None\n", "R1_600MHz.txt")
    assert np.allclose(relax.value[:, 0], data.value[:, 0]) and [f.level for f in relax.findings] == ["note"]


def test_mfdata(tmp_path: Path) -> None:
    text = "".join(
        f"spin   {n}_{NAMES[n]}\nR1  600.000  {rates()['R1'][n][0]} 0.045 1\nR2 600.000 {rates()['R2'][n][0]} 0.11 1\n"
        f"NOE 600.000 {rates()['NOE'][n][0]} 0.03 {int(n != 5)}\n\n"
        for n in NAMES
    )
    data = read(tmp_path, text, "mfdata")
    assert data.value.shape == (10, 3) and data.findings == () and np.isnan(data.value).sum() == 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("# residue   R2/R1          dR2/R1\n2 2.8 0.02\n3 2.7 0.02\n", "ratios R2/R1"),
        ("# residue S2 S2_err\n7 0.32 0.02\n8 0.44 0.01\n", "no relaxation data"),
        ("2 2.8 0.02 4.4 0.1\n3 2.7 0.02 4.4 0.1\n", "without a header"),
        ("residue,R1,R1_err\n2,2.3,0.05\n3,2.4,0.05\n", "--field"),
        ("residue,R1_600,R1_600_err\n2,2.3,0.05\n3,2.4\n", "truncated"),
        ("residue,R1_600,R1_600_err\n2,2.3,0.05\n3,2.4,0.05,7\n4,2.4,0.05\n", "line 3"),
        ("residue,R1_600,R1_600_err\n2,2.3,0.05\n3,2.4x,0.05\n", "line 3"),
        ("residue,R1_600,R1_600_err\ntwo?,2.3,0.05\n3,2.4,0.05\n", "residue number"),
        ("residue,R1_14,R1_14_err\n2,2.3,0.05\n3,2.4,0.05\n", "tesla"),
        ("residue,R1_600,R1_600\n2,2.3,0.05\n3,2.4,0.05\n", "two columns"),
        ("R1_600,R1_600_err\n2.3,0.05\n2.4,0.05\n", "column of residue numbers"),
        ("residue,R1_600,R1_600_err\n", "no rows"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InputError, match=word):
        read(tmp_path, text)


def test_names_of_files_and_headers() -> None:
    assert kind_from_name("a/R1.500.txt") == ("R1", False) and kind_from_name("T2_600.dat") == ("R2", True)
    assert kind_from_name("600_hetNOE.csv")[0] == "NOE" and kind_from_name("R1R2NOE.txt")[0] == ""
    assert field_from_name("palmer500_R1R2NOE.txt") == 500.0 and field_from_name("bmr4245_500_x.txt") == 500.0
    assert field_from_name("R1.599.93.out") == 599.93 and np.isnan(field_from_name("R1_500_600.txt"))
    assert role_of("R1rho_600").kind == "R1rho" and role_of("R2/R1").what == "ratio" and role_of("tm").what == "unknown"


def test_recognised_by_content(tmp_path: Path) -> None:
    for text, kind in (
        ("# a b\n2 1.5 0.1\n3 1.6 0.1\n", "table"),
        ("2 ALA 1.5\n3 GLY 1.6\n", "table"),
        (CSV + body(), "csv"),
    ):
        (tmp_path / "x.dat").write_text(text)
        assert recognise(tmp_path / "x.dat") == kind


@given(
    st.text(max_size=300),
    st.integers(0, 300),
    st.sampled_from([CSV + body(), "", "# residue value error\n3 2.4 0.1\n"]),
)
def test_any_text_gives_findings(noise: str, at: int, base: str) -> None:
    try:
        lists, findings = read_table(base[:at] + noise + base[at:], "R1.500.txt")
    except InputError:
        return
    assert all(isinstance(f, Finding) for f in findings) and all(x.entries is not None for x in lists)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"residue,R1_600\n2,", b"data_1\nsave_a\n_Entry.Sf_category x\n", b"2 1.5\n"]),
)
def test_any_bytes_give_findings(tmp_path_factory: pytest.TempPathFactory, noise: bytes, head: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "R2.600.csv"
    path.write_bytes(head + noise)
    try:
        read_relaxation(path, strict=False)
    except InputError:
        pass


def test_ubiquitin_and_synthetic_data(data_dir: Path) -> None:
    for name in ("palmer500_R1R2NOE.txt", "bmr4245_500_R1R2NOE.txt"):
        data = read_relaxation(data_dir / "nmr" / "ubiquitin" / name)
        assert data.measured.all() and set(data.fields) == {500.0} and data.findings == ()
    for folder in (data_dir / "nmr" / "synth_relax").iterdir():
        if folder.is_dir():
            data = read_relaxation(sorted(folder.glob("*.out")))
            assert data.measured.all() and data.findings == ()
