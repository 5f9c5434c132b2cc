"""What every job shares: options, configuration, the folder it writes, provenance, parts of reports."""
