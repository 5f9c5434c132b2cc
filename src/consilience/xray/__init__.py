"""Diffraction: structure factors, solvent, scaling, likelihood targets, maps."""
