"""Where the keys rest that content is sealed to."""
