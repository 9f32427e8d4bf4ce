"""Masked language modelling: an encoder learns text by predicting masked tokens."""
