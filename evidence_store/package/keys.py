"""The signing keys of a package: what the log's own entries register and revoke.

The log's first entry names the root key; the root registers every other. A key counts from its
registration on, and not from the index on that a revocation names. The root signs no events.
"""

from dataclasses import dataclass, field, replace

from evidence_store.errors import ProofError
from evidence_store.identifiers import KeyId
from evidence_store.ledger.control import CONTROL_LEAF, ControlEntry
from evidence_store.package import layout
from evidence_store.package.bag import BagReader
from evidence_store.package.findings import Findings, Outcome, Question
from evidence_store.package.sealing import Sealing


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A public key, and from which index to which it counts."""

    public: bytes
    from_index: int
    to_index: int | None = None

    def counts_at(self, index: int) -> bool:
        """Whether what stands at this index may be signed by it."""
        return self.from_index < index and (self.to_index is None or index < self.to_index)


@dataclass(slots=True)
class KeyRegister:
    """The keys that the enclosed entries register. `check` first."""

    bag: BagReader
    sealing: Sealing
    findings: Findings
    _keys: dict[KeyId, RegisteredKey] = field(default_factory=dict)

    def check(self) -> None:
        """Every control entry, in the log's order."""
        entries: dict[int, ControlEntry] = {}
        for path in self.bag.under(layout.CONTROL):
            if path.endswith(".json"):
                with self.findings.asking(Question.KEYS, path):
                    index, entry = self._read(path)
                    entries[index] = entry
        genesis = entries.pop(0, None)
        if genesis is None or genesis.kind != "genesis":
            detail = "the log's first entry is missing"
            self.findings.say(Question.KEYS, Outcome.REFUTED, "genesis", detail)
            return
        with self.findings.asking(Question.KEYS, "entry 0") as prove:
            genesis.verify(genesis.kid, genesis.public)
            prove(f"{genesis.kid} founded the log")
        for index, entry in sorted(entries.items()):
            with self.findings.asking(Question.KEYS, f"entry {index}") as prove:
                entry.verify(genesis.kid, genesis.public)
                prove(self._take(genesis.kid, index, entry))

    def key(self, kid: KeyId) -> RegisteredKey:
        """A key.

        Raises:
            ProofError: if no registration of it is enclosed.
        """
        found = self._keys.get(kid)
        if found is None:
            raise ProofError(f"no registration of {kid} is here")
        return found

    def _read(self, path: str) -> tuple[int, ControlEntry]:
        content = CONTROL_LEAF + self.bag.read(path)
        entry = ControlEntry.parse(content)
        proof = path.removesuffix("json") + "tlog-proof"
        index, sealed = self.sealing.included(content, proof)
        if entry.body.get("log") != sealed.checkpoint.origin:
            raise ProofError("it is of another log")
        if path != layout.control_path(index, "json"):
            raise ProofError(f"it is at {index} in the log")
        return index, entry

    def _take(self, root: KeyId, index: int, entry: ControlEntry) -> str:
        match entry.kind:
            case "key":
                # A second key under one name would be counted for what the first one signed.
                if entry.kid in self._keys or entry.kid == root:
                    raise ProofError(f"{entry.kid} is registered already")
                entry.verify(entry.kid, entry.public)
                self._keys[entry.kid] = RegisteredKey(entry.public, index)
                return f"{entry.kid} is registered at {index}"
            case "revocation":
                key = self.key(entry.kid)
                known = entry.from_index if key.to_index is None else key.to_index
                end = min(known, entry.from_index)
                self._keys[entry.kid] = replace(key, to_index=end)
                return f"{entry.kid} does not count from {end} on"
            case _:
                raise ProofError(f"expected a registration or a revocation, found {entry.kind!r}")
