#!/usr/bin/env python3
"""Checks an evidence package without any other software of ours, and without a network.

    python verify.py [PACKAGE.zip or FOLDER] [--policy FILE]

Python 3.9 or later and the package "cryptography" (42 or later). Exit code 0: nothing is refuted;
3: something is. Formats: RFC 8493 (BagIt), RFC 8785 (JSON), RFC 9162 (tree), C2SP signed-note,
tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy; WebAuthn. Short, so that an expert can read it all.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import struct
import sys
import zipfile
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
except ImportError:  # an older library: said below, never passed over
    MLDSA44PublicKey = None

ED25519, COSIGNATURE, MLDSA = 1, 4, 6
ES256, ES256_Y, EDDSA = (bytes.fromhex(each) for each in ("a5010203262001215820", "225820", "a4010103272006215820"))  # COSE keys
CLOCK_TOLERANCE_SECONDS = 300
P = 2**255 - 19  # of Ed25519; below, the y of its points of small order: such a key signs anything
SMALL_ORDER = {0, 1, P - 1, 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
               0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7}
LIMITS = """Not shown by any of this: that what was stated is true; that all that happened was recorded; that no key was
revoked elsewhere in the log; and what report.html says, which nobody signed."""
refuted, unshown = [], set()

class Refuted(Exception):
    """What a package says does not hold."""

def need(condition, problem):
    if not condition:
        raise Refuted(problem)

def say(text):
    """Print a line; nothing in a package can add lines, or move the cursor."""
    print(str(text).encode("ascii", "backslashreplace").decode().translate({n: "?" for n in (*range(32), 127)}))

def ask(subject, question, *arguments):
    """Ask one question, and print the answer, if there is one. Whatever goes wrong refutes."""
    try:
        answer = question(*arguments)
        if answer is not None:
            say("proved   %s: %s" % (subject, answer))
    except Exception as error:
        refuted.append(subject)
        say("REFUTED  %s: %s" % (subject, error if isinstance(error, Refuted) else repr(error)))

def sha256(content):
    return hashlib.sha256(content).digest()

def from_base64(text):
    content = base64.b64decode(text, validate=True)
    need(base64.b64encode(content).decode() == text, "base64 that is not canonical")
    return content

def parse_canonical(content):
    value = json.loads(content)
    again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    need(again == content and isinstance(value, dict) and value.get("v", 1) == 1, "not canonical JSON of version 1")
    return value

class Bag:
    def __init__(self, path):
        self.root, self.zip = path, None
        if os.path.isdir(path):
            found = [os.path.join(folder, file) for folder, _, files in os.walk(path) for file in files]
            need(not any(map(os.path.islink, found)), "a link in the folder")
            self.names = {os.path.relpath(each, path).replace(os.sep, "/") for each in found}
            return
        self.zip = zipfile.ZipFile(path)
        members = [each for each in self.zip.infolist() if not each.is_dir()]
        self.names = {each.filename[len("evidence-package/"):] for each in members}
        need(len(self.names) == len(members), "a name stands twice in the zip")
        need(all(each.filename.startswith("evidence-package/") for each in members), "a foreign file in the zip")
        need(all(each.compress_type == zipfile.ZIP_STORED for each in members), "a compressed file in the zip: unzip it first")
        need(sum(each.file_size for each in members) < os.path.getsize(path), "a zip that would unfold into more than it is")

    def open(self, name):
        need(name in self.names, name + " is missing")
        return self.zip.open("evidence-package/" + name) if self.zip else open(os.path.join(self.root, name), "rb")

    def read(self, name):
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

def vkey(text):
    name, key_id, encoded = text.split("+", 2)
    content = from_base64(encoded)
    need(sha256(name.encode() + b"\n" + content)[:4].hex() == key_id, "a vkey with a wrong ID")
    need(content[0] in (ED25519, COSIGNATURE, MLDSA), "a vkey of a type that is not known")
    if content[0] == MLDSA and MLDSA44PublicKey is None:
        unshown.add("ML-DSA-44 signatures of %s: this version of cryptography does not have ML-DSA" % name)
    return {"name": name, "id": bytes.fromhex(key_id), "type": content[0], "key": content[1:]}

def verify(kind, public, signature, message):
    try:
        kind.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise Refuted("a signature that is not by the key it names") from None

def verify_ed25519(public, signature, message):
    y = int.from_bytes(public, "little") & (2**255 - 1)
    need(y < P and y not in SMALL_ORDER, "a key under which signatures mean nothing")
    verify(Ed25519PublicKey, public, signature, message)

def parse_note(content):
    text, _, lines = content.decode().rpartition("\n\n")
    note = {"text": text + "\n", "signatures": []}
    need(lines.endswith("\n"), "a note that is cut short")
    for line in lines[:-1].split("\n"):
        dash, name, encoded = line.split(" ")
        need(dash == "\u2014", "no signature line")
        note["signatures"].append((name, from_base64(encoded)[:4], from_base64(encoded)[4:]))
    note["origin"], size, root = text.split("\n")
    need(re.fullmatch("0|[1-9][0-9]{0,18}", size, re.ASCII), "a size that is no number")
    note["size"], note["root"] = int(size), from_base64(root)
    return note

def signed_by(note, key):
    """When the key signed (0 if its type keeps no time); None: it did not, or that cannot be checked here."""
    times = []
    for name, key_id, value in note["signatures"]:
        if (name, key_id) != (key["name"], key["id"]):
            continue  # others are passed over; a bad one by a known key refutes
        if key["type"] == ED25519:
            verify_ed25519(key["key"], value, note["text"].encode())
            times.append(0)
            continue
        at, value = struct.unpack(">Q", value[:8])[0], value[8:]
        if key["type"] == COSIGNATURE:
            verify_ed25519(key["key"], value, ("cosignature/v1\ntime %d\n" % at + note["text"]).encode())
        elif MLDSA44PublicKey is None:
            continue
        else:
            signer, origin = key["name"].encode(), note["origin"].encode()
            message = b"subtree/v1\n\0" + bytes([len(signer)]) + signer + struct.pack(">Q", at)
            message += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, note["size"]) + note["root"]
            verify(MLDSA44PublicKey, key["key"], value, message)
        times.append(at)
    return min(times, default=None)

def parse_policy(text):
    policy = {"logs": [], "witnesses": {}, "groups": {}}
    for words in (line.split() for line in text.splitlines()):
        known = {*policy["witnesses"], *policy["groups"]}
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log":
            policy["logs"].append(vkey(words[1]))
        elif words[0] == "witness" and words[1] not in known:
            policy["witnesses"][words[1]] = vkey(words[2])
        elif words[0] == "group" and words[1] not in known:
            members = words[3:]
            count = {"any": 1, "all": len(members)}.get(words[2]) or int(words[2])
            need(1 <= count <= len(set(members) & known) == len(members), "a group of others than those above it")
            policy["groups"][words[1]] = (count, members)
        elif words[0] == "quorum" and "quorum" not in policy and words[1] in known | {"none"}:
            policy["quorum"] = words[1]
        else:
            raise Refuted("a policy line that cannot be: " + " ".join(words)[:80])
    need(policy["logs"] and "quorum" in policy, "a policy without a log or a quorum")
    return policy

def sealed(policy, content):
    """The checkpoint in a note, once the policy is satisfied."""
    note = parse_note(content)
    keys = [key for key in policy["logs"] if key["name"] == note["origin"]]
    need(keys, "a checkpoint of a log that is not in the policy")
    keys = [key for key in keys if MLDSA44PublicKey or key["type"] != MLDSA]
    need(keys and all(signed_by(note, key) is not None for key in keys), "a key of the log did not sign the checkpoint")
    times = {name: signed_by(note, key) for name, key in policy["witnesses"].items()}
    note["cosigned"] = {name: at for name, at in times.items() if at is not None}
    agreeing = {"none", *note["cosigned"]}
    for name, (count, members) in policy["groups"].items():  # each knows only those above it
        agreeing.update([name] if sum(each in agreeing for each in members) >= count else [])
    need(policy["quorum"] in agreeing, "the quorum did not cosign")
    return note

def climb(at, last, hashes, steps):
    """RFC 9162, 2.1.3.2 and 2.1.4.2: `hashes` are [old root, new root], or [root] alone."""
    for step in steps:
        need(last > 0 and len(step) == 32, "a proof that is too long")
        if at & 1 or at == last:
            hashes = [sha256(b"\1" + step + each) for each in hashes]
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashes = [*hashes[:-1], sha256(b"\1" + hashes[-1] + step)]
        at, last = at >> 1, last >> 1
    need(last == 0, "a proof that is too short")
    return hashes

def check_consistency(old, new, path):
    need(old["origin"] == new["origin"] and 0 < old["size"] < new["size"] and path, "sizes or a proof that cannot be")
    steps = ([old["root"]] if old["size"] & (old["size"] - 1) == 0 else []) + path
    at, last = old["size"] - 1, new["size"] - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    roots = climb(at, last, [steps[0], steps[0]], steps[1:])
    need(roots == [old["root"], new["root"]], "the checkpoint is not the beginning of the newest")

def included(bag, policy, entry, path):
    """The entry's index and its checkpoint, once the proof holds and the checkpoint is the one enclosed."""
    head, _, content = bag.read(path).partition(b"\n\n")
    magic, *lines = head.decode().split("\n")
    need(magic == "c2sp.org/tlog-proof@v1", "no proof")
    lines = lines[1:] if lines[0].startswith("extra ") else lines
    index = int(re.fullmatch("index (0|[1-9][0-9]{0,18})", lines[0], re.ASCII)[1])
    note = sealed(policy, content)
    enclosed = parse_note(bag.read("data/checkpoints/%012d.note" % note["size"]))
    need(note["text"] == enclosed["text"], "two roots for one size: the log was forked")
    need(index < note["size"], "an index outside of the tree")
    found = climb(index, note["size"] - 1, [sha256(b"\0" + entry)], [from_base64(each) for each in lines[1:]])
    need(found == [note["root"]], "a proof that does not lead to the root")
    return index, note

def check_checkpoint(bag, policy, path, newest):
    note = sealed(policy, bag.read(path))
    need(path == "data/checkpoints/%012d.note" % note["size"], "it is of another size")
    if note["size"] != newest["size"]:
        proof = bag.read(path[:-5] + "-%012d.consistency" % newest["size"]).decode().split()
        check_consistency(note, newest, [from_base64(each) for each in proof])
    return "size %d, signed and consistent; cosigned by %s" % (note["size"], ", ".join(note["cosigned"]) or "no witness")

def check_control(bag, policy, path, keys, root):
    content = bag.read(path)
    index, checkpoint = included(bag, policy, b"\x02" + content, path[:-4] + "tlog-proof")
    need(path == "data/control/%012d.json" % index, "it stands elsewhere in the log")
    entry = parse_canonical(content)
    body, sigs = entry["body"], {each["kid"]: from_base64(each["sig"]) for each in entry["sigs"]}
    need(body["log"] == checkpoint["origin"] and body["v"] == 1, "of another log or version")
    if index == 0:
        need(body["entry"] == "genesis", "the first entry is no genesis")
        root.update(kid=body["root"]["kid"], public=from_base64(body["root"]["public"]))
    need(root, "the log's first entry is missing")
    message = b"evidence-control/v1\n" + content[len(b'{"body":'):content.index(b',"sigs":[')]
    verify_ed25519(root["public"], sigs[root["kid"]], message)
    if index == 0:
        return "%s founded the log" % root["kid"]
    kid = body["kid"]
    if body["entry"] == "revocation":
        public, start, end = keys[kid]
        keys[kid] = (public, start, min(body["from"], body["from"] if end is None else end))
        return "%s does not count from %d on" % (kid, keys[kid][2])
    need(body["entry"] == "key" and kid not in keys and kid != root["kid"], "no registration of a new key")
    public = from_base64(body["public"])
    verify_ed25519(public, sigs[kid], message)
    keys[kid] = (public, index, None)
    return "%s is registered at %d" % (kid, index)

def check_time(bag, policy, event, index, checkpoint):
    """Between which times it was recorded, as the witnesses have it; and what it says itself."""
    said = datetime.strptime(event["at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
    since, until, anchor = None, min(checkpoint["cosigned"].values(), default=None), event["anchor"]
    if anchor is not None:
        need(anchor["size"] <= index, "its anchor comes after it")
        path = "data/checkpoints/%012d.note" % anchor["size"]
        if path in bag.names:
            note = sealed(policy, bag.read(path))
            need(note["root"].hex() == anchor["root"], "its anchor is not a checkpoint of the log")
            since = min(note["cosigned"].values(), default=None)
    need(since is None or said >= since - CLOCK_TOLERANCE_SECONDS, "dated back: it holds what was not there yet")
    need(until is None or said <= until + CLOCK_TOLERANCE_SECONDS, "dated forward: it was in the log before")
    words = [datetime.fromtimestamp(t, timezone.utc).isoformat() if t else "a time that is not shown" for t in (since, until)]
    return "after %s, before %s" % tuple(words)

def from_base64url(text):
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(content).decode().rstrip("=") == text, "base64url that is not canonical")
    return content

def once(pairs):
    need(len(dict(pairs)) == len(pairs), "a name that stands twice")
    return dict(pairs)

def verify_passkey(key, signature, message):
    """The key is COSE (RFC 9053) in CTAP2's one encoding, so that it need not be parsed."""
    if key[:-32] == EDDSA:
        return verify_ed25519(key[-32:], signature, message)
    x, y = key[len(ES256):len(ES256) + 32], key[-32:]
    need(len(y) == 32 and key == ES256 + x + ES256_Y + y, "a passkey that is neither ES256 nor EdDSA")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    try:
        numbers.public_key().verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise Refuted("a signature that is not by the passkey it names") from None

def disclosures(bag, path):
    return bag.read(path[:-4] + "disclosed").decode().split() if path[:-4] + "disclosed" in bag.names else []

def check_by_hand(bag, path):
    """The officer's passkey signed the event as it is without the passkey's answer; with others of the same act, in a tree."""
    body = bag.read(path)
    event = parse_canonical(body)
    answers = [line for line in disclosures(bag, path) if json.loads(from_base64url(line))[1] == "passkey"]
    said = event["data"].get("by_hand")
    if "by_hand" not in event["data"]:
        need(not answers, "a passkey's answer to what was not signed by hand")
        return None
    need(set(said) == {"origin", "passkey", "rp_id"} and len(answers) < 2, "by_hand or answers that cannot be")
    if not answers:
        unshown.add("that a passkey signed what says so, where its answer is withheld")
        return None
    answer = once(json.loads(from_base64url(answers[0]), object_pairs_hook=list)[2])
    own = base64.urlsafe_b64encode(sha256(answers[0].encode())).decode().rstrip("=")
    head, others = ('{"_sd":[%s]' % ",".join('"%s"' % each for each in listed)
                    for listed in (event["_sd"], [each for each in event["_sd"] if each != own]))
    need(body.startswith(head.encode()) and event["_sd"].count(own) == 1, "an answer that is not its own")
    index, size = answer["index"], answer["size"]
    need(type(index) is type(size) is int and 0 <= index < size < 2**63, "a place that cannot be")
    act = sha256(b"\0evidence-act/v1\n" + others.encode() + body[len(head.encode()):])
    root = climb(index, size - 1, [act], [bytes.fromhex(each) for each in answer["path"]])[0]
    challenge = base64.urlsafe_b64encode(sha256(b"evidence-acts/v1\n" + struct.pack(">Q", size) + root)).decode().rstrip("=")
    key, data, client, signature = (from_base64url(answer[each]) for each in ("public_key", "authenticator_data", "client_data", "signature"))
    need(sha256(key).hex() == said["passkey"], "another passkey than the event says")
    start = '{"type":"webauthn.get","challenge":"%s","origin":"%s"' % (challenge, said["origin"])
    need(client.startswith(start.encode()), "an answer that was given to another act, or at another site")
    need(client[len(start):].startswith((b"}", b',"crossOrigin":false}', b',"crossOrigin":false,')), "a page within another's")
    need("topOrigin" not in json.loads(client, object_pairs_hook=once), "a page within another's")
    need(data[:32] == sha256(said["rp_id"].encode()), "an answer that was given to another site")
    need(len(data) >= 37 and data[32] & 5 == 5, "a passkey that did not verify who used it")
    need(not data[32] & 64 and (len(data) > 37) == (data[32] >= 128), "authenticator data that cannot be")
    verify_passkey(key, signature, data + sha256(client))
    return "signed by hand with the passkey %s at %s" % (said["passkey"], said["origin"])

def check_event(bag, policy, keys, ern, path, chain, versions):
    body, signature = bag.read(path), bag.read(path[:-4] + "sig")
    event = parse_canonical(body)
    item_key = bytes.fromhex(bag.read("data/items/%s/item.key" % ern).decode().strip())
    public, start, end = keys[event["by"]]
    verify_ed25519(public, signature, b"evidence-event/v1\n" + body)
    commitment = sha256(b"evidence-leaf/v1\n" + struct.pack(">I", len(body)) + body + signature)
    tag = hmac.new(item_key, b"evidence-tag/v1\n" + struct.pack(">Q", event["seq"]), "sha256").digest()
    index, checkpoint = included(bag, policy, b"\x01" + tag + commitment, path[:-4] + "tlog-proof")
    need(event["log"] == checkpoint["origin"], "an event of another log")
    need(start < index and (end is None or index < end), "its key does not count at its place in the log")
    need((event["item"], event["seq"]) == (ern, len(chain) + 1), "gap in the item's chain")
    need(event["prev"] == (chain[-1][0] if chain else None), "gap in the item's chain")
    need(path.endswith("/%06d.json" % event["seq"]), "another number than its name")
    times = check_time(bag, policy, event, index, checkpoint)
    for line in disclosures(bag, path):
        digest = base64.urlsafe_b64encode(sha256(line.encode())).decode().rstrip("=")
        need(digest in event["_sd"], "a disclosure that is not its own")
    chain.append((commitment.hex(), event["act"]))
    if event["act"] in ("registered", "version_added"):
        for each in event["data"].get("measured", []):
            versions.setdefault(each["version"], (event["data"].get("type", "original"), each["sha256"]))
    return "%s by %s, entry %d of %d, %s" % (event["act"], event["by"], index, checkpoint["size"], times)

def check_closed(chain):
    need(chain and chain[-1][1] == "exported", "the chain is not closed by its export: its end is missing")
    return "%d events, the last one closes the chain" % len(chain)

def check_version(bag, path, ern, versions):
    kind, digest = versions[int(path.rsplit("/", 1)[1].split("-")[0])]
    need(bag.digest(path) == digest, "the bytes are not those that were measured")
    same = [number for number in sorted(versions) if versions[number][0] == kind]
    name = kind if kind == "original" else "%s version %s%02d" % (
        kind.replace("_", " "), kind[0].upper(), 1 + [versions[number][1] for number in same].index(digest))
    return "%s of %s, sha256 %s" % (name, ern, digest)

def check_all(bag, policy):
    notes = bag.under("data/checkpoints", ".note")
    need(notes, "a package without a checkpoint")
    newest = parse_note(bag.read(notes[-1]))
    for path in notes:
        ask(path, check_checkpoint, bag, policy, path, newest)
    keys, root = {}, {}
    for path in bag.under("data/control", ".json"):
        ask(path, check_control, bag, policy, path, keys, root)
    erns = sorted({name.split("/")[2] for name in bag.names if name.startswith("data/items/")})
    about = json.loads(bag.read("data/package.json"))
    for ern in erns:
        chain, versions = [], {}
        for path in bag.under("data/items/%s/events" % ern, ".json"):
            ask(path, check_event, bag, policy, keys, ern, path, chain, versions)
            ask(path, check_by_hand, bag, path)
        ask(ern, check_closed, chain)
        for path in bag.under("data/items/%s/versions" % ern, ""):
            ask(path, check_version, bag, path, ern, versions)
    need(about["format"] == "evidence-package/v1", "another format than evidence-package/v1")
    need(erns and erns == sorted(about["items"]), "other items than package.json lists")
    return "it holds the %d items that it lists" % len(erns)

def main():
    parser = argparse.ArgumentParser(description="Checks an evidence package.")
    parser.add_argument("package", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--policy", type=argparse.FileType("r", encoding="utf-8"), help="which log you trust (tlog-policy)")
    given = parser.parse_args()
    try:
        bag = Bag(given.package)
        policy = parse_policy(given.policy.read() if given.policy else bag.read("data/policy.txt").decode())
    except Exception as error:
        say("REFUTED  package: %r" % error)
        return 3
    if given.policy is None:
        unshown.add("that this is the right log: the policy comes with the package; use --policy")
    if bag.under("data/timestamps", ".tsr"):
        unshown.add("the time-stamps: check them with openssl ts -verify")
    ask("bag", check_bag, bag)
    ask("package", check_all, bag, policy)
    for each in sorted(unshown):
        say("not shown: " + each)
    print(LIMITS)
    say("%d refuted" % len(refuted) if refuted else "Nothing is refuted.")
    return 3 if refuted else 0

if __name__ == "__main__":
    sys.exit(main())
