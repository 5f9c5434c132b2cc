"""Energy functions of molecules and beads; energies in eV with their sign, forces only through `forces_from`."""
