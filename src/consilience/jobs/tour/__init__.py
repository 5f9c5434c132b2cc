"""consil tour: every job on built-in examples, each result beside its known truth."""
