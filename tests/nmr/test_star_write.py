"""Order parameters in NMR-STAR: read back by pynmrstar with every number where the dictionary has it."""

from __future__ import annotations

from pathlib import Path

import pynmrstar
import pytest

from consilience.core.errors import InputError
from consilience.nmr.data import Residue
from consilience.nmr.star_write import order_parameters_text, write_order_parameters

ROWS = [
    {"residue": Residue(2, "SER"), "model": "m2", "S2": 0.85, "S2_err": 0.01, "te_ps": 32.5, "te_err": 4.0,
     "chi2": 1.25},
    {"residue": Residue(3, "GLY"), "model": "m4", "S2": 0.8, "te_ps": 20.0, "Rex": 1.5, "Rex_err": 0.2},
    {
        "residue": Residue(4, "LEU", "B"), "model": "m5", "S2": 0.6, "S2f": 0.9, "S2f_err": 0.02, "S2s": 0.667,
        "ts_ns": 1.1, "ts_err": 0.3, "Rex": None, "Rex_err": float("nan"),
    },
]  # fmt: skip


def test_read_back_by_pynmrstar(tmp_path: Path) -> None:
    path = tmp_path / "dynamics.str"
    write_order_parameters(path, ROWS, rex_field_mhz=500.0, details='it\'s "quoted"\nand two lines', entry_id="run 1")
    entry = pynmrstar.Entry.from_file(str(path))
    frame = entry.get_saveframes_by_category("order_parameters")[0]
    assert (
        frame["Tau_e_val_units"] == ["ps"] and frame["Tau_s_val_units"] == ["ns"] and frame["Rex_val_units"] == ["s-1"]
    )
    assert float(frame["Rex_field_strength"][0]) == 500.0 and "two lines" in frame["Details"][0]
    loop = frame["_Order_param"]
    columns = {t: loop.get_tag(t) for t in loop.tags}
    assert columns["Comp_index_ID"] == ["2", "3", "4"] and columns["Comp_ID"] == ["SER", "GLY", "LEU"]
    assert columns["Entity_assembly_ID"] == ["1", "1", "2"] and set(columns["Atom_isotope_number"]) == {"15"}
    assert columns["Model_fit"] == ["S2, te", "S2, te, Rex", "S2f, S2, ts"]
    for tag, key in (
        ("Order_param_val", "S2"), ("Order_param_val_fit_err", "S2_err"), ("Tau_e_val", "te_ps"), 
        ("Tau_s_val", "ts_ns"),
        ("Rex_val", "Rex"), ("Rex_val_fit_err", "Rex_err"), ("Sf2_val", "S2f"), ("Sf2_val_fit_err", "S2f_err"),
        ("Ss2_val", "S2s"), ("Model_free_sum_squared_errs", "chi2"), ("Tau_e_val_fit_err", "te_err"),
    ):  # fmt: skip
        for text, row in zip(columns[tag], ROWS, strict=True):
            want = row.get(key)
            assert text == "." if want is None or want != want else float(text) == want, (tag, row)


def test_every_tag_is_in_the_dictionary() -> None:
    folder = Path(pynmrstar.__file__).parent / "reference_files"
    known = (folder / "xlschem_ann.csv").read_text(encoding="latin-1")
    tags = [w for w in order_parameters_text(ROWS).split() if w.startswith("_")]
    assert len(tags) > 40 and all(f",{t}," in known for t in tags if not t.startswith("_Entry."))


def test_no_rows_and_bad_rows() -> None:
    assert "loop_" not in order_parameters_text([])
    assert pynmrstar.Entry.from_string(order_parameters_text([], details="; odd\n;text")) is not None
    with pytest.raises(InputError, match="residue"):
        order_parameters_text([{"S2": 0.8}])
