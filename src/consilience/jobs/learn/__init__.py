"""consil learn: rounds of dynamics, labels where an ensemble disagrees, and training."""
