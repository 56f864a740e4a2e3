"""What is shipped to AWS Lambda: one zip for each processor architecture, with both handlers in it."""
