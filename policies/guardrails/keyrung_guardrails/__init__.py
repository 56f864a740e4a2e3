"""What a production stack must hold, as rules over its resources."""
