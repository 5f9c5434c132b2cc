"""consil relaxation: tumbling and model-free dynamics from relaxation data."""
