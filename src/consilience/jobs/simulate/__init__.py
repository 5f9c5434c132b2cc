"""consil simulate: dynamics of molecules and of beads."""
