"""Arrays over many devices and processes: meshes, shards of time, ring attention.

mesh                 logical axis names to mesh axes, and the shardings that follow
apply                runs a mixer's op on the ambient mesh
sequence_parallel    the same where the mesh cuts time, by the summaries of
                     `transitions`; attention reads across by `sharded_timeline`, `ring`
rows                 random numbers that depend on the row alone
distributed          several processes
"""
