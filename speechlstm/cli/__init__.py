"""The commands, one module each: wiring only."""
