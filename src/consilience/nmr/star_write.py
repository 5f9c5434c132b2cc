"""Write model-free results as NMR-STAR 3.2: an order_parameters saveframe with one row for each residue."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from consilience.core.errors import InputError
from consilience.files import write_atomic
from consilience.nmr.data import Residue

_VERSION = "3.2.14.1"
# tag, key of a row
_COLUMNS: tuple[tuple[str, str], ...] = (
    ("Order_param_val", "S2"),
    ("Order_param_val_fit_err", "S2_err"),
    ("Tau_e_val", "te_ps"),
    ("Tau_e_val_fit_err", "te_err"),
    ("Tau_f_val", "tf_ps"),
    ("Tau_f_val_fit_err", "tf_err"),
    ("Tau_s_val", "ts_ns"),
    ("Tau_s_val_fit_err", "ts_err"),
    ("Rex_val", "Rex"),
    ("Rex_val_fit_err", "Rex_err"),
    ("Model_free_sum_squared_errs", "chi2"),
    ("Sf2_val", "S2f"),
    ("Sf2_val_fit_err", "S2f_err"),
    ("Ss2_val", "S2s"),
    ("Ss2_val_fit_err", "S2s_err"),
)
# the models of model-free analysis by their parameters, in the words of the NMR-STAR dictionary
MODEL_FIT = {
    "m1": "S2",
    "m2": "S2, te",
    "m3": "S2, Rex",
    "m4": "S2, te, Rex",
    "m5": "S2f, S2, ts",
    "m6": "S2f, tf, S2, ts",
    "m7": "S2f, S2, ts, Rex",
    "m8": "S2f, tf, S2, ts, Rex",
    "m9": "Rex",
}
_BEFORE = ("ID", "Assembly_atom_ID", "Entity_assembly_ID", "Entity_ID", "Comp_index_ID", "Seq_ID", "Comp_ID", "Atom_ID",
           "Atom_type", "Atom_isotope_number")  # fmt: skip
_AFTER = ("Model_fit", "Auth_seq_ID", "Auth_comp_ID", "Auth_atom_ID", "Entry_ID", "Order_parameter_list_ID")


def order_parameters_text(
    rows: Sequence[Mapping[str, Any]],
    *,
    rex_field_mhz: float | None = None,
    entry_id: str = "consilience",
    name: str = "order_parameters_1",
    details: str = "",
) -> str:
    """NMR-STAR text of model-free results, one row for each residue in the order given.

    Keys of a row: residue (Residue), model (e.g. "m2", or the parameters: "S2, te"), S2, S2_err, S2f, S2f_err, S2s,
    S2s_err, te_ps, te_err (ps), tf_ps, tf_err (ps), ts_ns, ts_err (ns), Rex, Rex_err (s^-1 at `rex_field_mhz`, MHz of
    1H), chi2. Absent keys, None and NaN are written as ".". Chains become the entity assemblies 1, 2, ... in order of
    appearance. Raises InputError for a row without a Residue.
    """
    chains: dict[str, int] = {}
    lines = []
    tags = [*_BEFORE, *(t for t, _ in _COLUMNS), *_AFTER]
    for i, row in enumerate(rows, 1):
        r = row.get("residue")
        if not isinstance(r, Residue):
            raise InputError("a row of order parameters names no residue", found=str(row)[:100])
        chain = str(chains.setdefault(r.chain, len(chains) + 1))
        number, comp = str(r.number), r.name or "."
        cells = [str(i), ".", chain, chain, number, number, comp, "N", "N", "15"]
        cells += [_number(row.get(key)) for _, key in _COLUMNS]
        model = str(row.get("model") or ".")
        cells += [_quoted(MODEL_FIT.get(model, model)), number, comp, "N", _quoted(entry_id), "1"]
        lines.append("      " + " ".join(cells))
    entry = _tags(
        "Entry",
        {
            "Sf_category": "entry_information",
            "Sf_framecode": "entry_information",
            "ID": entry_id,
            "Title": "Model-free analysis of 15N relaxation",
            "NMR_STAR_version": _VERSION,
        },
    )
    frame = _tags(
        "Order_parameter_list",
        {
            "Sf_category": "order_parameters",
            "Sf_framecode": name,
            "Entry_ID": entry_id,
            "ID": "1",
            "Sample_condition_list_ID": ".",
            "Sample_condition_list_label": ".",
            "Tau_e_val_units": "ps",
            "Tau_f_val_units": "ps",
            "Tau_s_val_units": "ns",
            "Rex_field_strength": _number(rex_field_mhz),
            "Rex_val_units": "s-1",
            "Details": details or ".",
            "Text_data_format": ".",
            "Text_data": ".",
        },
    )
    head = "\n".join(f"      _Order_param.{t}" for t in tags)
    loop = "\n".join(["   loop_", head, "", *lines, "", "   stop_", ""]) if lines else ""
    first = f"data_{_name(entry_id)}\n\nsave_entry_information\n{entry}\nsave_\n"
    return f"{first}\nsave_{_name(name)}\n{frame}\n\n{loop}\nsave_\n"


def write_order_parameters(path: str | Path, rows: Sequence[Mapping[str, Any]], **given: Any) -> None:
    """Write `order_parameters_text(rows, **given)` to a file, whole or not at all; RunError where it cannot be."""
    write_atomic(path, order_parameters_text(rows, **given))


def _tags(category: str, values: Mapping[str, str]) -> str:
    width = max(len(v) for v in values)
    return "\n".join(f"   _{category}.{k:<{width}}  {_quoted(v)}" for k, v in values.items())


def _number(value: Any) -> str:
    if value is None or not math.isfinite(float(value)):
        return "."
    return f"{float(value):.8g}"


def _name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text) or "1"


def _quoted(text: str) -> str:
    """A value of STAR: bare where it may be, quoted, or a text block where it holds line ends or both quotes."""
    clean = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
    if "\n" in clean or ("'" in clean and '"' in clean):
        body = re.sub(r"(?m)^;", " ;", clean)
        return f"\n;\n{body}\n;"
    reserved = re.match(r"(?:data_|save_|loop_|stop_|global_)", clean, re.IGNORECASE)
    if clean and not reserved and not re.search(r"\s", clean) and clean[0] not in "_#$'\";[]":
        return clean
    return f'"{clean}"' if "'" in clean else f"'{clean}'"
