"""Atoms, topology, restraints, readers and writers."""
