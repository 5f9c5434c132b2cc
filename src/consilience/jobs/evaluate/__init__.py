"""consil evaluate and consil predict: a model on data it has not seen."""
