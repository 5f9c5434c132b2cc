"""Structure factors and their gradient by cctbx (FFT, default accuracy); runs in cctbx's own environment."""

import sys
import time

import iotbx.pdb
import numpy as np
from cctbx import crystal, miller, xray
from cctbx.array_family import flex


def main(model: str, problem: str, out: str, repeats: int) -> None:
    given = np.load(problem)
    structure = iotbx.pdb.input(file_name=model).xray_structure_simple()
    structure.convert_to_isotropic()
    structure.scattering_type_registry(table="it1992", d_min=float(given["d_min"]))
    for scatterer in structure.scatterers():
        scatterer.flags.set_grads(False)
        scatterer.flags.set_grad_site(True)
        scatterer.flags.set_grad_u_iso(True)
    symmetry = crystal.symmetry(unit_cell=structure.unit_cell(), space_group=structure.space_group())
    indices = flex.miller_index([tuple(int(i) for i in h) for h in given["hkl"]])
    wanted = miller.set(crystal_symmetry=symmetry, indices=indices, anomalous_flag=False)
    weights = flex.double(given["weights"].tolist())
    forward = xray.structure_factors.from_scatterers(miller_set=wanted)
    backward = xray.structure_factors.gradients(miller_set=wanted)
    f_times, g_times = [], []
    for _ in range(repeats):
        began = time.process_time()
        f = forward(xray_structure=structure, miller_set=wanted, algorithm="fft").f_calc().data()
        middle = time.process_time()
        result = backward(
            xray_structure=structure,
            u_iso_refinable_params=None,
            miller_set=wanted,
            d_target_d_f_calc=f * (2 * weights),
            n_parameters=0,
            algorithm="fft",
        )
        grad_xyz = result.d_target_d_site_cart()
        grad_u = result.d_target_d_u_iso()
        g_times.append(time.process_time() - began)
        f_times.append(middle - began)
    np.savez(
        out,
        f=np.array(f),
        xyz=np.array(grad_xyz),
        b=np.array(grad_u) / (8 * np.pi**2),
        sites=np.array(structure.sites_cart()),
        f_s=f_times,
        fg_s=g_times,
    )


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
