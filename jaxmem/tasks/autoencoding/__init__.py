"""Compression: short texts through a latent vector, and back."""

from jaxmem.tasks.autoencoding.task import Config, Job, Predictor, fit

__all__ = ["Config", "Job", "Predictor", "fit"]
