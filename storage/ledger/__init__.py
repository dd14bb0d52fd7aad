"""What the ledger keeps outside the catalog: the log's files, and what a witness knows."""
