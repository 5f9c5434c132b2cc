"""Molecular reference data: frames with energies, forces, dipoles, charges and potentials, read, checked and written."""
