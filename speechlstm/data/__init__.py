"""Recordings and their texts: reading audio, manifests, corpora, files."""
