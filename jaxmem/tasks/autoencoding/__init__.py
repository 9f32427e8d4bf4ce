"""Compression: short texts through a latent vector, and back."""
