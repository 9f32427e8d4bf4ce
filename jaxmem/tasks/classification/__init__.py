"""Classification: a text, or a pair of texts, and its class."""

from jaxmem.tasks.classification.task import Config, Job, Predictor, fit, packages

__all__ = ["Config", "Job", "Predictor", "fit", "packages"]
