"""Recordings become transcripts: batches, alignment, times, formats."""
