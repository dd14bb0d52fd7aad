"""COSE receipts (RFC 9942) over the log's tree: for those who speak SCITT. An export, not our proof.

A receipt signs the root alone: no size, no time, no witness. `proof.LogProof` says more.
"""

from collections.abc import Sequence

import cbor2

from evidence_store.errors import MalformedError
from evidence_store.ledger.signing import PrivateKey

_COSE_SIGN1 = 18
_ALG, _KID, _VDS, _VDP = 1, 4, 395, 396
_EDDSA, _RFC9162_SHA256, _INCLUSION = -8, 1, -1


def receipt(
    root: bytes, size: int, index: int, path: Sequence[bytes], private: PrivateKey, kid: bytes
) -> bytes:
    """A receipt that the entry at `index` is in the tree, signed by the log's Ed25519 key.

    Raises:
        MalformedError: if the tree has one entry only: the format cannot spell its empty path.
    """
    if not path:
        raise MalformedError("COSE receipt: expected a tree of two entries or more")
    protected = cbor2.dumps({_ALG: _EDDSA, _KID: kid, _VDS: _RFC9162_SHA256}, canonical=True)
    proof = cbor2.dumps([size, index, list(path)], canonical=True)
    signed = cbor2.dumps(["Signature1", protected, b"", root], canonical=True)
    message = [protected, {_VDP: {_INCLUSION: [proof]}}, None, private.sign(signed)]
    return cbor2.dumps(cbor2.CBORTag(_COSE_SIGN1, message), canonical=True)
