"""consil train on beads: a prior, an Allegro network, or both."""
