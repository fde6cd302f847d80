"""From list files and videos to batches of clips."""
