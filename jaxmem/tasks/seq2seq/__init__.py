"""Sequence to sequence: a text is read, another is written. Translation, summaries."""

from jaxmem.tasks.seq2seq.task import Config, Job, Predictor, fit, packages

__all__ = ["Config", "Job", "Predictor", "fit", "packages"]
