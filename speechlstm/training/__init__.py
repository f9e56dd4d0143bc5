"""Training on one's own speech."""
