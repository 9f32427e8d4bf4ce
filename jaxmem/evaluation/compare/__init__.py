"""Memories side by side: equal-sized models, one budget, one table.

`plan` is what is to be run, `worker` one run in a process of its own, `ledger` what has
ended, `table` the rows and `pictures` the plots. All of it stands in one directory, so
that a comparison that was stopped continues.
"""
