"""What recurrent ops share: scans, cells, decays, triangular solves."""
