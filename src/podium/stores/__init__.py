"""Where runs, mail and sessions are kept: in memory, or in one SQLite file.

Every store implements `podium.ports.Store` and passes `podium.testing.stores.StoreConformance`. Nothing is imported
here, so that a program that keeps its runs in memory never loads `sqlite3`.
"""
