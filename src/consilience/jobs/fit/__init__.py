"""consil fit: a job.yaml run again, or a mixture of terms over one model."""
