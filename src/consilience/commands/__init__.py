"""The commands of `consil`, one file for each field; thin: options in, a job called, a status out."""
