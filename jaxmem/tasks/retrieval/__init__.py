"""Retrieval: an encoder learns that a query and its document belong together."""

from jaxmem.tasks.retrieval.task import Config, Job, Predictor, fit, packages

__all__ = ["Config", "Job", "Predictor", "fit", "packages"]
