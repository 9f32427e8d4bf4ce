"""Masked language modeling: an encoder learns text by predicting masked tokens."""
