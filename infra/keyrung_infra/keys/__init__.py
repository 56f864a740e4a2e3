"""What `keyrung key` does with the keys of a project."""
