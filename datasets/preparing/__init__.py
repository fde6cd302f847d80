"""From downloads to a data set that can be trained on, and a check of it."""
