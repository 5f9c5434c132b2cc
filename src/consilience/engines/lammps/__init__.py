"""Bead models in LAMMPS: bonded and pair terms as compiled styles, a network as a program of XLA, and proof of both."""
