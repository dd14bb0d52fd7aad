#!/usr/bin/env python3
"""Checks an evidence package without any other software of ours, and without a network.

    python verify.py [PACKAGE.zip or FOLDER] [--policy FILE]

Python 3.9 or later and the package "cryptography". Exit code 0: nothing is refuted; 3: something
is. Formats: RFC 8493 (BagIt), RFC 8785 (JSON), RFC 9162 (tree), C2SP signed-note, tlog-checkpoint,
tlog-cosignature, tlog-proof, tlog-policy. It is short so that an expert can read all of it.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import sys
import zipfile

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older library: said below, never passed over
    MLDSA44PublicKey = None

ED25519, COSIGNATURE, MLDSA = 1, 4, 6
refuted = []
unshown = set()


class Refuted(Exception):
    pass


def need(condition, problem):
    if not condition:
        raise Refuted(problem)


def ask(subject, question, *arguments):
    """Ask one question, and print the answer."""
    try:
        print("proved   %s: %s" % (subject, question(*arguments)))
    except (Refuted, KeyError, ValueError, IndexError, TypeError, AttributeError, struct.error) as error:
        refuted.append(subject)
        print("REFUTED  %s: %s" % (subject, error or type(error).__name__))


def sha256(content):
    return hashlib.sha256(content).digest()


def from_base64(text):
    content = base64.b64decode(text, validate=True)
    need(base64.b64encode(content).decode() == text, "base64 that is not canonical")
    return content


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# ------------------------------------------------------------------------- the bag


class Bag:
    def __init__(self, path):
        if os.path.isdir(path):
            self.zip = None
            self.root = path
            self.names = set()
            for folder, _, files in os.walk(path):
                for each in files:
                    self.names.add(os.path.relpath(os.path.join(folder, each), path).replace(os.sep, "/"))
        else:
            self.zip = zipfile.ZipFile(path)
            listed = [each.filename for each in self.zip.infolist() if not each.is_dir()]
            need(len(set(listed)) == len(listed), "a name stands twice in the zip")
            need(all(each.startswith("evidence-package/") for each in listed), "a foreign file in the zip")
            self.names = {each.split("/", 1)[1] for each in listed}

    def open(self, name):
        if self.zip is None:
            return open(os.path.join(self.root, name), "rb")
        return self.zip.open("evidence-package/" + name)

    def read(self, name):
        need(name in self.names, name + " is missing")
        with self.open(name) as file:
            return file.read()

    def digest(self, name):
        digest = hashlib.sha256()
        with self.open(name) as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
        return digest.hexdigest()

    def under(self, folder, ending):
        return sorted(n for n in self.names if n.startswith(folder + "/") and n.endswith(ending))


def check_bag(bag):
    for manifest, is_ours in (("manifest-sha256.txt", True), ("tagmanifest-sha256.txt", False)):
        listed = dict(reversed(line.split("  ", 1)) for line in bag.read(manifest).decode().splitlines())
        there = {n for n in bag.names if n.startswith("data/") == is_ours} - {"tagmanifest-sha256.txt"}
        need(set(listed) == there, "files are missing or foreign: %s" % sorted(set(listed) ^ there)[:5])
        for name, digest in listed.items():
            need(bag.digest(name) == digest, name + " is not what the manifest says")
    return "%d files are what the manifests say" % len(bag.names)


# ------------------------------------------------------------- signatures, checkpoints


def vkey(text):
    name, key_id, encoded = text.split("+", 2)
    content = from_base64(encoded)
    need(sha256(name.encode() + b"\n" + content)[:4].hex() == key_id, "a vkey with a wrong ID")
    return {"name": name, "id": bytes.fromhex(key_id), "type": content[0], "key": content[1:]}


def verify_ed25519(public, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise Refuted("a signature that is not by the key it names") from None


def parse_note(note):
    text, _, lines = note.decode().rpartition("\n\n")
    text += "\n"
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        content = from_base64(encoded)
        need(dash == "\u2014", "no signature line")
        signatures.append((name, content[:4], content[4:]))
    origin, size, root = text[:-1].split("\n")
    need(re.fullmatch("0|[1-9][0-9]*", size), "a size that is no number")
    return {"text": text, "origin": origin, "size": int(size), "root": from_base64(root), "signatures": signatures}


def signed_by(note, key):
    """Whether the key signed the note; a bad signature by a known key refutes it."""
    found = False
    for name, key_id, value in note["signatures"]:
        if (name, key_id) != (key["name"], key["id"]):
            continue
        if key["type"] == ED25519:
            verify_ed25519(key["key"], value, note["text"].encode())
        else:
            at, value = struct.unpack(">Q", value[:8])[0], value[8:]
            if key["type"] == COSIGNATURE:
                verify_ed25519(key["key"], value, ("cosignature/v1\ntime %d\n" % at + note["text"]).encode())
            elif MLDSA44PublicKey is None:
                unshown.add("ML-DSA-44 signatures: this version of cryptography does not have it")
            else:
                signer, origin = key["name"].encode(), note["origin"].encode()
                message = b"subtree/v1\n\0" + bytes([len(signer)]) + signer + struct.pack(">Q", at)
                message += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, note["size"]) + note["root"]
                try:
                    MLDSA44PublicKey.from_public_bytes(key["key"]).verify(value, message)
                except InvalidSignature:
                    raise Refuted("an ML-DSA signature that is not by the key it names") from None
        found = True
    return found


def parse_policy(text):
    policy = {"logs": [], "witnesses": {}, "groups": {}, "quorum": "none"}
    for words in (line.split() for line in text.splitlines()):
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log":
            policy["logs"].append(vkey(words[1]))
        elif words[0] == "witness":
            policy["witnesses"][words[1]] = vkey(words[2])
        elif words[0] == "group":
            count = {"any": 1, "all": len(words) - 3}.get(words[2]) or int(words[2])
            policy["groups"][words[1]] = (count, words[3:])
        elif words[0] == "quorum":
            policy["quorum"] = words[1]
        else:
            raise Refuted("a policy line that is not known: " + words[0])
    need(policy["logs"], "a policy without a log")
    return policy


def agrees(policy, name, cosigned):
    if name in policy["groups"]:
        count, members = policy["groups"][name]
        return sum(agrees(policy, each, cosigned) for each in members) >= count
    return name in cosigned


def sealed(policy, content):
    note = parse_note(content)
    keys = [key for key in policy["logs"] if key["name"] == note["origin"]]
    need(keys, "a checkpoint of a log that is not in the policy")
    need(all(signed_by(note, key) for key in keys), "a key of the log did not sign the checkpoint")
    cosigned = {name for name, key in policy["witnesses"].items() if signed_by(note, key)}
    need(policy["quorum"] == "none" or agrees(policy, policy["quorum"], cosigned), "the quorum did not cosign")
    return note


# ------------------------------------------------------------------------ the tree


def node(left, right):
    return sha256(b"\x01" + left + right)


def check_inclusion(entry, index, size, path, root):
    need(0 <= index < size, "an index outside of the tree")
    at, last, found = index, size - 1, sha256(b"\0" + entry)
    for step in path:
        need(last > 0 and len(step) == 32, "a proof that is too long")
        if at & 1 or at == last:
            found = node(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, step)
        at, last = at >> 1, last >> 1
    need(last == 0 and found == root, "a proof that does not lead to the root")


def check_consistency(size1, size2, root1, root2, path):
    need(0 < size1 < size2 and path, "sizes or proof that cannot be")
    steps = ([root1] if size1 & (size1 - 1) == 0 else []) + path
    at, last = size1 - 1, size2 - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    one = two = steps[0]
    for step in steps[1:]:
        need(last > 0 and len(step) == 32, "a proof that is too long")
        if at & 1 or at == last:
            one, two = node(step, one), node(step, two)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            two = node(two, step)
        at, last = at >> 1, last >> 1
    need(last == 0 and one == root1 and two == root2, "the checkpoint is not the beginning of the newest")


def included(policy, entry, proof):
    """The entry's index and the checkpoint, once the proof holds."""
    head, _, note = proof.partition(b"\n\n")
    lines = head.decode().split("\n")
    need(lines[0] == "c2sp.org/tlog-proof@v1", "no proof")
    lines = [line for line in lines[1:] if not line.startswith("extra ")]
    index = int(re.fullmatch("index (0|[1-9][0-9]*)", lines[0])[1])
    checkpoint = sealed(policy, note)
    check_inclusion(entry, index, checkpoint["size"], [from_base64(h) for h in lines[1:]], checkpoint["root"])
    return index, checkpoint


# -------------------------------------------------------------------- keys, events


def check_control(bag, policy, path, keys):
    content = bag.read(path)
    index, checkpoint = included(policy, b"\x02" + content, bag.read(path[:-4] + "tlog-proof"))
    need(path == "data/control/%012d.json" % index, "it stands elsewhere in the log")
    entry = json.loads(content)
    body, sigs = entry["body"], {each["kid"]: from_base64(each["sig"]) for each in entry["sigs"]}
    need(canonical(entry) == content and body["log"] == checkpoint["origin"], "not canonical, or of another log")
    if body["entry"] == "genesis":
        need(index == 0, "a genesis that is not the first entry")
        kid, public = body["root"]["kid"], from_base64(body["root"]["public"])
        keys["root"] = (kid, public)
    root, root_public = keys["root"]
    message = b"evidence-control/v1\n" + canonical(body)
    verify_ed25519(root_public, sigs[root], message)
    if body["entry"] == "genesis":
        return "%s founded the log" % root
    if body["entry"] == "revocation":
        public, start, _ = keys[body["kid"]]
        keys[body["kid"]] = (public, start, body["from"])
        return "%s does not count from %d on" % (body["kid"], body["from"])
    public = from_base64(body["public"])
    verify_ed25519(public, sigs[body["kid"]], message)
    keys[body["kid"]] = (public, index, None)
    return "%s is registered at %d" % (body["kid"], index)


def check_event(bag, policy, keys, ern, path, chain, versions):
    body, signature = bag.read(path), bag.read(path[:-4] + "sig")
    event = json.loads(body)
    need(canonical(event) == body, "not canonical")
    item_key = bytes.fromhex(bag.read("data/items/%s/item.key" % ern).decode().strip())
    public, start, end = keys[event["by"]]
    verify_ed25519(public, signature, b"evidence-event/v1\n" + body)
    commitment = sha256(b"evidence-leaf/v1\n" + struct.pack(">I", len(body)) + body + signature)
    tag = hmac.new(item_key, b"evidence-tag/v1\n" + struct.pack(">Q", event["seq"]), "sha256").digest()
    index, checkpoint = included(policy, b"\x01" + tag + commitment, bag.read(path[:-4] + "tlog-proof"))
    need(event["log"] == checkpoint["origin"], "an event of another log")
    need("data/checkpoints/%012d.note" % checkpoint["size"] in bag.names, "its checkpoint is not in the package")
    need(start < index and (end is None or index < end), "its key does not count at its place in the log")
    need(event["anchor"] is None or event["anchor"]["size"] <= index, "its anchor comes after it")
    need((event["item"], event["seq"]) == (ern, len(chain) + 1), "gap in the item's chain")
    need(event["prev"] == (chain[-1][0] if chain else None), "gap in the item's chain")
    need(path.endswith("/%06d.json" % event["seq"]), "another number than its name")
    if path[:-4] + "disclosed" in bag.names:
        for line in bag.read(path[:-4] + "disclosed").decode().split():
            digest = base64.urlsafe_b64encode(sha256(line.encode())).decode().rstrip("=")
            need(digest in event["_sd"], "a disclosure that is not its own")
    chain.append((commitment.hex(), event["act"]))
    if event["act"] in ("registered", "version_added"):
        for each in event["data"].get("measured", []):
            versions.setdefault(each["version"], (event["data"].get("type", "original"), each["sha256"]))
    return "%s by %s, entry %d of %d" % (event["act"], event["by"], index, checkpoint["size"])


def check_closed(chain):
    need(chain and chain[-1][1] == "exported", "the chain is not closed by its export: its end is missing")
    return "%d events, the last one closes the chain" % len(chain)


def check_version(bag, path, ern, versions):
    kind, digest = versions[int(path.rsplit("/", 1)[1].split("-")[0])]
    need(bag.digest(path) == digest, "the bytes are not those that were measured")
    return "%s of %s, sha256 %s" % (kind.replace("_", " "), ern, digest)


def check_checkpoint(bag, policy, path, newest):
    note = sealed(policy, bag.read(path))
    need(path == "data/checkpoints/%012d.note" % note["size"], "it is of another size")
    if note["size"] != newest["size"]:
        proof = bag.read(path[:-5] + "-%012d.consistency" % newest["size"]).decode().split()
        check_consistency(note["size"], newest["size"], note["root"], newest["root"], list(map(from_base64, proof)))
    return "size %d, signed and consistent" % note["size"]


def check_item(bag, policy, keys, ern):
    chain, versions = [], {}
    for path in bag.under("data/items/%s/events" % ern, ".json"):
        ask(path, check_event, bag, policy, keys, ern, path, chain, versions)
    ask(ern, check_closed, chain)
    for path in bag.under("data/items/%s/versions" % ern, ""):
        ask(path, check_version, bag, path, ern, versions)


def check_all(bag, policy):
    ask("bag", check_bag, bag)
    notes = bag.under("data/checkpoints", ".note")
    newest = parse_note(bag.read(notes[-1]))
    for path in notes:
        ask(path, check_checkpoint, bag, policy, path, newest)
    keys = {}
    for path in bag.under("data/control", ".json"):
        ask(path, check_control, bag, policy, path, keys)
    erns = sorted({name.split("/")[2] for name in bag.names if name.startswith("data/items/")})
    need(erns, "a package without items")
    for ern in erns:
        check_item(bag, policy, keys, ern)
    return "it was read to the end"


def main(arguments):
    own = None
    if "--policy" in arguments:
        at = arguments.index("--policy")
        with open(arguments[at + 1], encoding="utf-8") as file:
            own = file.read()
        del arguments[at : at + 2]
    try:
        bag = Bag(arguments[0] if arguments else os.path.dirname(os.path.abspath(__file__)))
        policy = parse_policy(own or bag.read("data/policy.txt").decode())
    except (Refuted, OSError, ValueError, zipfile.BadZipFile) as error:
        print("REFUTED  package: %s" % error)
        return 3
    if own is None:
        unshown.add("that this is the right log: the policy came with the package; use --policy")
    if bag.under("data/timestamps", ".tsr"):
        unshown.add("the time-stamps: check them with openssl ts -verify")
    ask("package", check_all, bag, policy)
    for each in sorted(unshown):
        print("not shown: " + each)
    print("Not shown by any of this: that what was stated is true, or that all that happened was recorded.")
    print("%d refuted" % len(refuted) if refuted else "Nothing is refuted.")
    return 3 if refuted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
