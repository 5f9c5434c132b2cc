"""Structure factors and their gradient by torchref (its defaults on the CPU); runs in torchref's own environment."""

import sys
import time

import numpy as np
import torch
from torchref.model import ModelFT


def main(model: str, problem: str, out: str, repeats: int) -> None:
    given = np.load(problem)
    engine = ModelFT(max_res=float(given["d_min"]))
    engine.load_pdb(model)
    hkl = torch.tensor(given["hkl"], dtype=torch.int32)
    weights = torch.tensor(given["weights"], dtype=torch.float32)
    leaves = [p for p in engine.parameters() if p.requires_grad]
    f_times, fg_times = [], []
    for _ in range(repeats):
        engine.reset_cache()
        began = time.process_time()
        with torch.no_grad():
            engine(hkl)
        f_times.append(time.process_time() - began)
        engine.reset_cache()
        for leaf in leaves:
            leaf.grad = None
        began = time.process_time()
        f = engine(hkl)
        torch.sum(weights * (f.real**2 + f.imag**2)).backward()
        fg_times.append(time.process_time() - began)
    np.savez(out, f=f.detach().numpy(), f_s=f_times, fg_s=fg_times)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
