"""The derived index: what the audit chain says, as tables.

One schema in SQLite and in PostgreSQL, kept by migrations. Whatever happens to it, it is made again from the chain.
"""
