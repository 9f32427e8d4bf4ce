"""Generates text from a model: sampling, beam search, sessions."""
