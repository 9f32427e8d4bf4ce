"""Dialogue: a language model that learns what one of the speakers says."""
