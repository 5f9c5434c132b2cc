"""consil optimize: relaxed geometries."""
