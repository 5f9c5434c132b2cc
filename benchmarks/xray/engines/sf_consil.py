"""Structure factors and their gradient by consilience, at the accuracy named last ("default" or "fine")."""

import sys
import time

import numpy as np

import consilience  # noqa: F401  first, so that XLA starts with its guard
from consilience._xla import guard

guard()

import gemmi  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from consilience.xray.fourier import ReflectionIndex, plan_structure_factors  # noqa: E402
from consilience.xray.scattering import form_factors  # noqa: E402


def main(model: str, problem: str, out: str, repeats: int, accuracy: str) -> None:
    jax.config.update("jax_enable_x64", True)
    given = np.load(problem)
    structure = gemmi.read_structure(model)
    atoms = [place.atom for place in structure[0].all()]
    xyz = np.array([a.pos.tolist() for a in atoms])
    b, occ = np.array([a.b_iso for a in atoms]), jnp.array([a.occ for a in atoms])
    a5, b5 = form_factors(np.array([a.element.name for a in atoms]))
    plan = plan_structure_factors(structure.cell, float(given["d_min"]), a5, b5, b, accuracy=accuracy)
    at = ReflectionIndex.build(given["hkl"], plan.shape, structure.cell, structure.find_spacegroup())

    @jax.jit
    def forward(plan, at, xyz, b):
        return plan(xyz, b, occ, at)

    @jax.jit
    def both(plan, at, xyz, b, weights):
        def loss(xyz, b):
            f = plan(xyz, b, occ, at)
            return jnp.sum(weights * (f.real**2 + f.imag**2)), f

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(xyz, b)

    f_times, fg_times, compile_s = [], [], time.perf_counter()
    jax.block_until_ready(forward(plan, at, xyz, b))
    jax.block_until_ready(both(plan, at, xyz, b, given["weights"]))
    compile_s = time.perf_counter() - compile_s
    for _ in range(repeats):
        began = time.process_time()
        f = jax.block_until_ready(forward(plan, at, xyz, b))
        f_times.append(time.process_time() - began)
        began = time.process_time()
        _, (grad_xyz, grad_b) = jax.block_until_ready(both(plan, at, xyz, b, given["weights"]))
        fg_times.append(time.process_time() - began)
    np.savez(out, f=np.array(f), xyz=grad_xyz, b=grad_b, sites=xyz, f_s=f_times, fg_s=fg_times, compile_s=compile_s)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5])
