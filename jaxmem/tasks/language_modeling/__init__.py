"""Language modelling: text in contiguous lanes, scored in bits a byte."""

from jaxmem.tasks.language_modeling.task import Config, Job, fit

__all__ = ["Config", "Job", "fit"]
