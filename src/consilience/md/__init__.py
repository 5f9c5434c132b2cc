"""Molecular dynamics, optimisation, vibrations and spectra for any energy function of positions and neighbours."""
