"""What outlives the process: objects, catalog, keys. Adapters of `evidence_store.ports`."""
