"""consil check: files, configurations and models looked at before anything runs."""
