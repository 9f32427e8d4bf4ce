"""What must not change while the tree is moved: ten tiny runs, as they once were.

`python -m tests.guard record` writes `golden/`: `numbers.json`, and of every run its
work directory after 4 of 10 steps, so a checkpoint with the state of the optimizer.
`test_guard.py` asks the code at hand for the same.
"""
