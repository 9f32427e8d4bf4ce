"""Memories side by side: equal-sized models, one budget, one table.

`plan` lists the runs, `worker` trains one of them in a process of its own, `ledger`
keeps the results, `table` makes the rows and `pictures` the plots. All files are in one
directory, so that a comparison that was stopped continues.
"""
