"""From recordings to transcripts: batches, alignment, times, formats."""
