"""From all-atom trajectories to beads: maps of positions and forces, bead files and their quality, starting priors."""
