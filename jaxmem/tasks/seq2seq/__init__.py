"""Sequence to sequence: a text is read, another is written. Translation, summaries."""
