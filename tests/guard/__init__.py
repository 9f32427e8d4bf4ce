"""Guards numbers that must not change: ten tiny runs, recorded by older code.

`python -m tests.guard record` writes `golden/`: `numbers.json`, and the work directory
of each run after 4 of 10 steps, whose checkpoint has the optimizer's state.
`test_guard.py` compares the current code with it.
"""
