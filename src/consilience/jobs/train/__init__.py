"""consil train on molecules and cells."""
