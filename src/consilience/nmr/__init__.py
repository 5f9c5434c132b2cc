"""NMR relaxation: spectral densities, rates, diffusion tensors, model-free dynamics, and data in NMR-STAR and tables."""
