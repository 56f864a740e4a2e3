"""The run-time half: decides, challenges, verifies, mints short assertions, records every step."""
