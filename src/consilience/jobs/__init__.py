"""One file per command: reads inputs, builds model, terms and protocol, calls fit, writes outputs."""
