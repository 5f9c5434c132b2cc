"""NMR relaxation: spectral densities, rates, diffusion tensors, model-free dynamics, NMR-STAR and tables."""
