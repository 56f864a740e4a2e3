"""The verifier as a local server: the same core, over starlette and uvicorn."""
