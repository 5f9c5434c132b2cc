"""Self-contained HTML pages, JSON and CSV."""
