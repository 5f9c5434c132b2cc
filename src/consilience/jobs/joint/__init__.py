"""Several kinds of evidence about one model: what joins a refinement, whether it agrees, and what it gives."""
