"""Looks at a deployment from outside and says what is not as it was deployed, and how to mend it."""
