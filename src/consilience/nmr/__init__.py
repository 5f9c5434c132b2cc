"""NMR relaxation: spectral densities, rates, diffusion tensors, model-free dynamics, data in NMR-STAR and tables."""
