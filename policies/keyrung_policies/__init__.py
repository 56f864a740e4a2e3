"""Step-up policies as typed rules: compiled, signed, evaluated."""
