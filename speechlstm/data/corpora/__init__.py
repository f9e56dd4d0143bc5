"""Importers: one module per corpus layout, each with a `read(root, ...)` that returns a `Corpus`."""
