"""Training of a recognizer."""
