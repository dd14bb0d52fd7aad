#!/usr/bin/env python3
"""Checks an evidence package without any other software of ours, and without a network.

    python verify.py [PACKAGE.zip or FOLDER] [--policy FILE] [--tsa-root FILE ...]

Python 3.9 or later and the package "cryptography" (42 or later); for time-stamps, openssl. Exit code 0: nothing
is refuted; 3: something is; 2: the call is wrong. Formats: RFC 8493 (BagIt), RFC 8785 (JSON), RFC 9162 (tree), C2SP signed-note,
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
import subprocess
import sys
import tempfile
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
FORMAT, BASE, LINK = "evidence-package/v2", "evidence-package/", 0xA000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*", re.ASCII)
OF_THE_LOG = re.compile(r"data/checkpoints/\d+(-\d+\.consistency|\.note)|data/timestamps/[^/]+\.(tsr|pem)", re.ASCII)
BESIDE = re.compile(r"(data/items/[^/]+/events/\d+)\.(disclosed|receipt\.cose)", re.ASCII)
LIMITS = """Not shown by any of this: that what was stated is true; that all that happened was recorded; what was recorded after
the export of this package, a revocation of a key included; and what report.html and bag-info.txt say, which nobody signed."""
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
            walked = [(folder, folders, files) for folder, folders, files in os.walk(path)]
            found = [os.path.join(folder, file) for folder, _, files in walked for file in files]
            entries = found + [os.path.join(folder, each) for folder, folders, _ in walked for each in folders]
            need(not any(map(os.path.islink, entries)), "a link in the folder")
            need(all(map(os.path.isfile, found)), "something in the folder that is no file")
            self.names = {os.path.relpath(each, path).replace(os.sep, "/") for each in found}
            need(all(map(NAME.fullmatch, self.names)), "a name that no package has")
            return
        self.zip = zipfile.ZipFile(path)
        members = self.zip.infolist()
        need(all(each.filename.startswith(BASE) for each in members), "a foreign file in the zip")
        plain = [each.filename[len(BASE):].rstrip("/") for each in members]
        need(all(name == "" or NAME.fullmatch(name) for name in plain), "a name in the zip that no package has")
        need(len({name.casefold() for name in plain}) == len(plain), "a name stands twice in the zip")
        need(all(each.external_attr >> 16 & 0xF000 != LINK for each in members), "a link in the zip")
        self.names = {each.filename[len(BASE):] for each in members if not each.is_dir()}
        need(all(each.compress_type == zipfile.ZIP_STORED for each in members), "a compressed file in the zip: unzip it first")
        need(sum(each.file_size for each in members) < os.path.getsize(path), "a zip that would unfold into more than it is")

    def open(self, name):
        need(name in self.names, name + " is missing")
        return self.zip.open(BASE + name) if self.zip else open(os.path.join(self.root, name), "rb")

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
    need(len({name.casefold() for name in bag.names}) == len(bag.names), "names that differ in capitals alone")
    need(bag.read("bagit.txt") == b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", "bagit.txt: no bag of BagIt 1.0")
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
    policy, keys, joined = {"logs": [], "witnesses": {}, "groups": {}}, set(), set()

    def new_key(encoded, types):  # one key under two names would be counted as two
        key = vkey(encoded)
        need(key["type"] in types and key["key"] not in keys, "a key that stands there already, or in another role than its own")
        keys.add(key["key"])
        return key

    for words in (line.split() for line in text.splitlines()):
        known = {*policy["witnesses"], *policy["groups"]}
        taken = known | {"none"}
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log" and len(words) in (2, 3):
            policy["logs"].append(new_key(words[1], (ED25519, MLDSA)))
        elif words[0] == "witness" and len(words) in (3, 4) and words[1] not in taken:
            policy["witnesses"][words[1]] = new_key(words[2], (COSIGNATURE, MLDSA))
        elif words[0] == "group" and len(words) > 3 and words[1] not in taken:
            members = words[3:]
            count = {"any": 1, "all": len(members)}.get(words[2]) or int(words[2])
            need(1 <= count <= len(set(members) & known) == len(members), "a group of others than those above it")
            need(not joined & set(members), "a member of two groups")
            joined.update(members)
            policy["groups"][words[1]] = (count, members)
        elif words[0] == "quorum" and len(words) == 2 and "quorum" not in policy and words[1] in taken:
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
        proof = bag.read(path[:-5] + "-%012d.consistency" % newest["size"]).decode()
        need(proof.endswith("\n"), "a proof of consistency that is cut short")
        check_consistency(note, newest, [from_base64(each) for each in proof[:-1].split("\n")])
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
    names = []
    for line in disclosures(bag, path):
        salt, name, _ = json.loads(from_base64url(line))
        need(isinstance(salt, str) and isinstance(name, str) and name not in names, "a field that is disclosed twice")
        names.append(name)
        digest = base64.urlsafe_b64encode(sha256(line.encode())).decode().rstrip("=")
        need(digest in event["_sd"], "a disclosure that is not its own")
    chain.append((commitment.hex(), event, index))
    if event["act"] in ("registered", "version_added"):
        for each in event["data"].get("measured", []):
            versions.setdefault(each["version"], (event["data"].get("type", "original"), each["sha256"]))
    return "%s by %s, entry %d of %d, %s" % (event["act"], event["by"], index, checkpoint["size"], times)

def read_composition(bag):
    """What the package is made of; that it was signed, the last event of each item shows."""
    content = bag.read("data/package.json")
    about = parse_canonical(content)
    need(about.get("format") == FORMAT, "expected the format %s: of another, nothing is shown to be whole" % FORMAT)
    need(set(about) == {"control", "format", "items", "package", "v"}, "a composition with other members")
    need(re.fullmatch("[0-9a-f]{32}", about["package"], re.ASCII), "a package without an identity")
    erns = [item["item"] for item in about["items"]]
    need(erns and erns == sorted(set(erns)), "items that are not there once and in order")
    need(all(type(each) is int and each >= 0 for each in about["control"]), "a place in the log that cannot be")
    need(about["control"] == sorted(set(about["control"])), "control entries that are not there once and in order")
    for item in about["items"]:
        need(set(item) == {"events", "item", "versions"} and type(item["events"]) is int, "an item that cannot be")
        need(1 <= item["events"] <= len(bag.names), "more events than the package has files")
        need(all(set(each) == {"sha256", "type", "version"} for each in item["versions"]), "a version that cannot be")
        need(all(type(each["version"]) is int and re.fullmatch("[a-z][a-z_]*", each["type"], re.ASCII)
                 for each in item["versions"]), "a version that cannot be")
    return about, sha256(content).hex()

def version_path(ern, version):
    return "data/items/%s/versions/%04d-%s" % (ern, version["version"], version["type"])

def check_composition(bag, about):
    """All that the export named is here, and under data/ nothing else that a court could take for evidence."""
    named = {"data/package.json", "data/policy.txt"}
    named.update("data/control/%012d.%s" % (n, ending) for n in about["control"] for ending in ("json", "tlog-proof"))
    for item in about["items"]:
        folder = "data/items/%s/" % item["item"]
        named.update([folder + "item.key", *(version_path(item["item"], each) for each in item["versions"])])
        named.update(folder + "events/%06d.%s" % (seq, ending)
                     for seq in range(1, item["events"] + 1) for ending in ("json", "sig", "tlog-proof"))
    there = {name for name in bag.names if name.startswith("data/")}
    need(named <= there, "the export names what is not here: %s" % sorted(named - there)[:5])
    for name in sorted(there - named):
        beside, of_the_log = BESIDE.fullmatch(name), OF_THE_LOG.fullmatch(name)
        if name.endswith(".consistency"):
            of_the_log = of_the_log and name.rsplit("-", 1)[0] + ".note" in there
        if name.endswith(".pem"):
            of_the_log = of_the_log and any(each.endswith("-%s.tsr" % name.rsplit("/", 1)[1][:-4]) for each in there)
        need(of_the_log or (beside and beside[1] + ".json" in named), "nothing that was signed names %s" % name)
    return "package %s: all that its export names is here, and nothing else" % about["package"]

def check_closed(chain, item, about, digest):
    last = chain[-1][1] if chain else None
    need(last and last["act"] == "exported" and last["data"] == {"composition": digest, "package": about["package"]},
         "the chain is not closed by the export of this very package: its end is missing, or the package was put together otherwise than was signed")
    need(item and len(chain) == item["events"], "another number of events than the export signed")
    return "%d events, shown up to entry %d of the log, %s: the export of this package, %s, by %s" % (
        len(chain), chain[-1][2], last["at"], about["package"], last["by"])

def check_version(bag, ern, named, versions):
    path, number = version_path(ern, named), named["version"]
    need(number in versions, "a version that no event measured")
    kind, digest = versions[number]
    need(bag.digest(path) == digest == named["sha256"], "the bytes are not those that were measured")
    same = [each for each in sorted(versions) if versions[each][0] == kind]
    name = kind if kind == "original" else "%s version %s%02d" % (kind.replace("_", " "), kind[0].upper(), 1 + same.index(number))
    need(kind == named["type"], "it is named %s, and is the %s of %s" % (named["type"], name, ern))
    return "%s of %s, sha256 %s" % (name, ern, digest)

def held_by(chain):
    """Who held it, as the signed receipts say."""
    if not chain:
        return None
    held = ["%s from %s (%s, event %d)" % (event["by"].split("/")[1], event["at"], event["act"], event["seq"])
            for _, event, _ in chain if event["act"] in ("registered", "received", "received_with_reservations")
            and event["data"].get("condition") != "missing"]
    return "held, as was signed, by " + "; ".join(held)

def openssl(*arguments):
    try:
        ran = subprocess.run(["openssl", "ts", *arguments], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    return ran

def check_stamp(bag, path, roots):
    """By the roots that the court brings, as of the stamp's own time; those in the package prove nothing."""
    size = int(path.rsplit("/", 1)[1].split("-", 1)[0])
    with tempfile.TemporaryDirectory() as folder:
        files = {name: os.path.join(folder, name) for name in ("note", "tsr", "pem")}
        for name, content in (("note", bag.read("data/checkpoints/%012d.note" % size)), ("tsr", bag.read(path)), ("pem", roots)):
            with open(files[name], "wb") as file:
                file.write(content)
        printed = openssl("-reply", "-in", files["tsr"], "-token_out", "-text")
        if printed is None:
            unshown.add("the time-stamps: openssl is not here")
            return None
        said = re.search(r"^Time stamp: (\w{3} [ \d]\d \d\d:\d\d:\d\d)(?:\.\d+)? (\d{4}) GMT$", printed.stdout, re.M)
        need(printed.returncode == 0 and said, "no time-stamp")
        at = datetime.strptime("%s %s" % said.groups(), "%b %d %H:%M:%S %Y").replace(tzinfo=timezone.utc)
        ran = openssl("-verify", "-data", files["note"], "-in", files["tsr"], "-CAfile", files["pem"], "-attime", str(int(at.timestamp())))
    if ran.returncode != 0:
        unshown.add("the time-stamp %s: it is under none of your roots" % path)
        return None
    return "it confirms the checkpoint of size %d on %s, by your roots" % (size, at.isoformat())

def check_all(bag, policy, roots):
    about, digest = read_composition(bag)
    ask("package.json", check_composition, bag, about)
    notes = bag.under("data/checkpoints", ".note")
    need(notes, "a package without a checkpoint")
    newest = parse_note(bag.read(notes[-1]))
    for path in notes:
        ask(path, check_checkpoint, bag, policy, path, newest)
    stamps = bag.under("data/timestamps", ".tsr")
    if stamps and roots is None:
        unshown.add("the time-stamps: by roots that the package brought itself they prove nothing; use --tsa-root")
    for path in stamps if roots is not None else []:
        ask(path, check_stamp, bag, path, roots)
    keys, root = {}, {}
    for path in bag.under("data/control", ".json"):
        ask(path, check_control, bag, policy, path, keys, root)
    items = {item["item"]: item for item in about["items"]}
    for ern in sorted({*items, *(name.split("/")[2] for name in bag.names if name.startswith("data/items/"))}):
        chain, versions = [], {}
        for path in bag.under("data/items/%s/events" % ern, ".json"):
            ask(path, check_event, bag, policy, keys, ern, path, chain, versions)
            ask(path, check_by_hand, bag, path)
        ask(ern, check_closed, chain, items.get(ern), about, digest)
        for named in items[ern]["versions"] if ern in items else []:
            ask(version_path(ern, named), check_version, bag, ern, named, versions)
        ask(ern, held_by, chain)
    return "all questions were asked"

def main():
    parser = argparse.ArgumentParser(description="Checks an evidence package.")
    parser.add_argument("package", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--policy", type=argparse.FileType("r", encoding="utf-8"), help="which log you trust (tlog-policy)")
    parser.add_argument("--tsa-root", action="append", type=argparse.FileType("rb"), metavar="FILE",
                        help="roots (PEM) of a time-stamp authority that you trust; may be repeated")
    given = parser.parse_args()
    if not os.path.exists(given.package):
        parser.error("there is no %s" % given.package)
    try:
        bag = Bag(given.package)
        policy = parse_policy(given.policy.read() if given.policy else bag.read("data/policy.txt").decode())
    except Exception as error:
        say("REFUTED  package: %r" % error)
        return 3
    if given.policy is None:
        unshown.add("that this is the right log: the policy comes with the package; use --policy")
    ask("bag", check_bag, bag)
    roots = b"\n".join(file.read() for file in given.tsa_root) if given.tsa_root else None
    ask("package", check_all, bag, policy, roots)
    for each in sorted(unshown):
        say("not shown: " + each)
    print(LIMITS)
    say("%d refuted" % len(refuted) if refuted else "Nothing is refuted.")
    return 3 if refuted else 0

if __name__ == "__main__":
    sys.exit(main())
