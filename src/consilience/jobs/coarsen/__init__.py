"""consil coarsen: all-atom trajectories with forces to beads with mean forces."""
