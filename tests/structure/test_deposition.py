"""The mmCIF of a refinement obeys the dictionary of the PDB, by gemmi's validator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import gemmi
import pytest

from consilience.examples import example_path
from consilience.structure.read import read_structure
from consilience.structure.write import write_mmcif

SUMMARY = {
    "r_work": 0.1258, "r_free": 0.1319, "n_work": 4087, "n_free": 274, "d_min": 1.75, "d_max": 28.17, "b_mean": 16.9,
    "rmsd_bond": 0.0098, "rmsd_angle": 1.2, "k_sol": 0.418, "b_sol": 46.7,
    "shells": [{"d_min": 2.4, "d_max": 28.17, "n": 1745, "r_work": 0.13, "r_free": 0.14},
               {"d_min": 1.75, "d_max": 2.4, "n": 2616, "r_work": 0.14, "r_free": 0.16}],
}  # fmt: skip


def dictionaries() -> Iterator[Path]:
    """PDBx/mmCIF dictionaries on this machine: $CONSIL_MMCIF_DIC, CCP4's, and that of a peer of the benchmarks."""
    if said := os.environ.get("CONSIL_MMCIF_DIC"):
        yield Path(said)
    if ccp4 := os.environ.get("CLIB"):
        yield from sorted(Path(ccp4).glob("data/mmcif_pdbx*.dic*"))
    peers = Path(os.environ.get("CONSIL_PEERS") or Path.home() / ".cache" / "consilience-peers")
    yield from sorted(peers.glob("*/lib/python*/site-packages/iotbx/cif/dictionaries/mmcif_pdbx_v*.dic.gz"))


@pytest.fixture(scope="module")
def rules() -> tuple[gemmi.cif.Ddl, list[str]]:
    """The validator and what it says; relations to categories that a depositor does not write are left out."""
    path = next((p for p in dictionaries() if p.is_file()), None)
    if path is None:
        pytest.skip("no PDBx/mmCIF dictionary here: set CONSIL_MMCIF_DIC to mmcif_pdbx_v50.dic")
    said: list[str] = []
    validator = gemmi.cif.Ddl(logger=said.append, use_context=False, use_linked_groups=False)
    validator.read_ddl(gemmi.cif.read(str(path)))
    said.clear()
    return validator, said


@pytest.mark.parametrize("name", ["start", "true"])
def test_refined_models_obey_the_dictionary(name: str, rules: tuple[gemmi.cif.Ddl, list[str]], tmp_path: Path) -> None:
    validator, said = rules
    said.clear()
    write_mmcif(read_structure(example_path(f"crystal/{name}.pdb")), tmp_path / "refined.cif", SUMMARY)
    document = gemmi.cif.read(str(tmp_path / "refined.cif"))
    assert validator.validate_cif(document) and said == []
    block = document.sole_block()
    assert float(block.find_values("_refine.ls_R_factor_R_free")[0]) == 0.1319
    assert len(block.find_values("_refine_ls_shell.d_res_high")) == 2
    assert "consilience" in list(block.find_values("_software.name"))


@pytest.mark.parametrize(
    ("tag", "value"), [("_refine.ls_number_reflns_R_free", "many"), ("_refine.no_such_item", "1")], ids=["value", "tag"]
)
def test_the_validator_sees_a_mistake(
    tag: str, value: str, rules: tuple[gemmi.cif.Ddl, list[str]], tmp_path: Path
) -> None:
    validator, said = rules
    write_mmcif(read_structure(example_path("crystal/start.pdb")), tmp_path / "refined.cif", SUMMARY)
    document = gemmi.cif.read(str(tmp_path / "refined.cif"))
    loop = document.sole_block().find_loop("_refine.entry_id").get_loop()
    if tag in loop.tags:
        document.sole_block().find_loop(tag)[0] = value
    else:
        loop.add_columns([tag], value)
    said.clear()
    validator.validate_cif(document)
    assert any(tag in line for line in said)
