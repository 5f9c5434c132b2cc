"""consil refine: a model against diffraction data, alone or with other evidence."""
