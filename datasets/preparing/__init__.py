"""From downloads to a data set that train.py reads, and a check of it."""
