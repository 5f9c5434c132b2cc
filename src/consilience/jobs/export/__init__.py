"""consil export: a model made ready for ASE, OpenMM or LAMMPS."""
