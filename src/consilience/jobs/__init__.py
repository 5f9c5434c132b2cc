"""One folder per command, its `job` first: reads, builds model, terms and protocol, fits, writes."""
