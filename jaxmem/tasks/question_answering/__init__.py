"""Extractive question answering: where in a text the answer begins and ends."""

from jaxmem.tasks.question_answering.task import Config, Job, Predictor, fit

__all__ = ["Config", "Job", "Predictor", "fit"]
