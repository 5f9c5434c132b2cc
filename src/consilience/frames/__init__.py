"""Molecular reference data: energies, forces, dipoles, charges and potentials, read, checked and written."""
