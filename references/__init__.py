"""Plain references for tests and benchmarks: naive_h2cn (H2CN as its equations read) and family_loader (clips as the
TSN family's code reads them). ops/ and datasets/ import nothing from here."""
