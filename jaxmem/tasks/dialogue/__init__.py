"""Dialogue: a language model that learns what one of the speakers says."""

from jaxmem.tasks.dialogue.task import Config, Job, Predictor, fit

__all__ = ["Config", "Job", "Predictor", "fit"]
