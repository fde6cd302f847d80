"""From list files and videos to batches of clips. CONTRIBUTING.md says what each file holds."""
