"""Findings of the analysis as people and tools read them: Markdown, SARIF, JSON, one HTML page. Nothing here solves."""
