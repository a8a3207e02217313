"""HTML pages, contact sheets and tables."""
