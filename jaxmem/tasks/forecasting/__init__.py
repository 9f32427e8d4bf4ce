"""Forecasting: windows of a table over time, and what comes after them."""

from jaxmem.tasks.forecasting.task import Config, Job, Predictor, fit

__all__ = ["Config", "Job", "Predictor", "fit"]
