"""What this project is measured against, written plainly: naive_h2cn (H2CN as its equations read; the tests' oracle),
family_loader (clips as the TSN family's codes read them). ops/ and datasets/ import nothing from here."""
