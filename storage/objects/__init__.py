"""Object stores: where sealed evidence bytes rest. Adapters of `evidence_store.ports.ObjectStore`."""
