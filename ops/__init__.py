"""Networks, their weights, training and scores. CONTRIBUTING.md says what each file holds."""
