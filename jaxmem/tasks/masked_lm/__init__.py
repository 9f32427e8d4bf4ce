"""Hidden words: an encoder learns text by saying what it does not see."""

from jaxmem.tasks.masked_lm.task import Config, Job, Predictor, fit

__all__ = ["Config", "Job", "Predictor", "fit"]
