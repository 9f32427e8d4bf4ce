"""my_task is a task of jaxmem: a model names the first letter of a row.

`--plugins my_task` registers it for a command:

    pytest my_task
    jaxmem train my_task/config.py --plugins my_task --workdir runs/my_task
    jaxmem eval --workdir runs/my_task --split heldout --plugins my_task
    jaxmem predict --workdir runs/my_task --input FILE.jsonl --plugins my_task

`data.py` makes the batches, `task.py` has what the trainer calls, `config.py` is an
experiment. In a distribution of your own an entry point of the group "jaxmem.tasks"
replaces `--plugins`.
"""

from .task import MyTaskConfig as Config
from .task import MyTask as Task
from .task import MyTaskPredictor as Predictor
from .task import resolve_model

__all__ = ["Config", "Task", "Predictor", "resolve_model"]
