"""A question to a memory: examples of a task, scored in bits an answer and accuracy."""

from jaxmem.tasks.synthetic.task import Config, Job, fit

__all__ = ["Config", "Job", "fit"]
