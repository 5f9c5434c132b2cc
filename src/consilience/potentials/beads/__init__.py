"""Energies of beads, one for each residue: priors fitted to statistics and forces, a network on top, their laws."""
