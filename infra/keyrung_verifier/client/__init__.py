"""The client's side of a step-up: what a 401 asks for, and transports for httpx that answer and try again once."""
