#!/bin/sh
# Checks an evidence package with coreutils and openssl (3.0 or later) alone, in the folder it was unzipped to.
#   sh verify.sh [POLICY]
# Checks: every file against the manifests; the log's Ed25519 signature on every checkpoint; that each event is signed by a key
# that the log's root registered, stands in the log, follows the one before, and that the last closes the chain; contents.
# Does not check: ML-DSA signatures, cosignatures of witnesses, consistency between checkpoints, disclosures: verify.py does.
# Exit code 0: nothing is refuted; 3: something is.
set -u
cd "$(dirname "$0")" || exit 2
policy=${1:-data/policy.txt}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
refuse() { echo "REFUTED  $1"; exit 3; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { # hexadecimal digits on stdin, bytes on stdout
  while read -r digits || [ -n "$digits" ]; do
    while [ -n "$digits" ]; do
      rest=${digits#??}; byte=${digits%"$rest"}; digits=$rest
      printf "\\$(printf %03o "0x$byte")"
    done
  done
}
sha() { openssl dgst -sha256 -binary | hex; }
node() { printf '01%s%s' "$1" "$2" | unhex | sha; }
ed25519() { # public key (hex), signature file, message file
  printf '302a300506032b6570032100%s' "$1" | unhex > "$tmp/key.der"
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$tmp/key.der" -rawin -sigfile "$2" -in "$3" > /dev/null 2>&1
}
value() { sed -n 's/.*"'"$2"'":"\([^"]*\)".*/\1/p' "$1"; } # of a member that occurs once

# ---- files
sha256sum --quiet --strict -c manifest-sha256.txt > /dev/null 2>&1 || refuse "a file is not what the manifest says"
sha256sum --quiet --strict -c tagmanifest-sha256.txt > /dev/null 2>&1 || refuse "a tag file is not what its manifest says"
find data -type f | sort > "$tmp/there"; cut -d' ' -f3- manifest-sha256.txt | sort > "$tmp/listed"
cmp -s "$tmp/there" "$tmp/listed" || refuse "a file is missing or foreign"
echo "proved   every file is what the manifests say"

# ---- the log's Ed25519 key, from the policy
line=$(grep '^log ' "$policy" | cut -d' ' -f2 | while read -r v; do
  k=$(printf %s "$v" | cut -d+ -f3- | openssl base64 -d -A | hex); case $k in 01*) echo "$v $k";; esac; done | head -1)
[ -n "$line" ] || refuse "the policy has no Ed25519 key of a log"
vkey=${line% *}; logkey=${line##* }; logkey=${logkey#01}; origin=${vkey%%+*}; rest=${vkey#*+}; keyid=${rest%%+*}

checkpoint() { # a note file: sets size and root once the log's signature holds
  awk 'length($0) == 0 { exit } { print }' "$1" > "$tmp/text"
  [ "$(sed -n 1p "$tmp/text")" = "$origin" ] || refuse "$2: a checkpoint of another log"
  [ "$(wc -l < "$tmp/text")" -eq 3 ] || refuse "$2: no checkpoint"
  size=$(sed -n 2p "$tmp/text"); root=$(sed -n 3p "$tmp/text" | openssl base64 -d -A | hex)
  good=no
  for sig in $(awk -v o="$origin" '$1 == "—" && $2 == o { print $3 }' "$1"); do
    printf %s "$sig" | openssl base64 -d -A | hex > "$tmp/sighex"
    case $(cat "$tmp/sighex") in
      "$keyid"*)
        cut -c9- "$tmp/sighex" | unhex > "$tmp/sig"
        ed25519 "$logkey" "$tmp/sig" "$tmp/text" || refuse "$2: a checkpoint that the log did not sign"
        good=yes ;;
    esac
  done
  [ $good = yes ] || refuse "$2: a checkpoint without the log's signature"
}
included() { # leaf file, proof file, subject: sets index, size and root once the proof holds
  awk 'found { print } length($0) == 0 && !found { found = 1 }' "$2" > "$tmp/note"
  checkpoint "$tmp/note" "$3"
  index=$(sed -n 's/^index \([0-9][0-9]*\)$/\1/p' "$2" | head -1)
  [ -n "$index" ] && [ "$index" -lt "$size" ] || refuse "$3: an index outside of the log"
  found=$( (printf '\000'; cat "$1") | sha); at=$index; last=$((size - 1))
  for step in $(awk 'length($0) == 0 { exit } NR > 2 { print }' "$2"); do
    [ $last -gt 0 ] || refuse "$3: a proof that is too long"
    step=$(printf %s "$step" | openssl base64 -d -A | hex)
    [ ${#step} -eq 64 ] || refuse "$3: a proof with a hash of another length"
    if [ $((at & 1)) -eq 1 ] || [ $at -eq $last ]; then
      found=$(node "$step" "$found")
      while [ $((at & 1)) -eq 0 ] && [ $at -ne 0 ]; do at=$((at >> 1)); last=$((last >> 1)); done
    else
      found=$(node "$found" "$step")
    fi
    at=$((at >> 1)); last=$((last >> 1))
  done
  [ $last -eq 0 ] && [ "$found" = "$root" ] || refuse "$3: it is not in the log"
}

# ---- keys
rootkey=
for file in data/control/*.json; do
  (printf '\002'; cat "$file") > "$tmp/leaf"
  included "$tmp/leaf" "${file%.json}.tlog-proof" "$file"
  [ "$(printf 'data/control/%012d.json' "$index")" = "$file" ] || refuse "$file: it stands elsewhere in the log"
  (printf 'evidence-control/v1\n'; sed 's/^{"body"://; s/,"sigs":\[.*$//' "$file" | tr -d '\n') > "$tmp/message"
  kid=$(sed 's/,"sigs":.*//' "$file" > "$tmp/body"; value "$tmp/body" kid)
  public=$(value "$tmp/body" public | openssl base64 -d -A | hex)
  if [ "$index" -eq 0 ]; then rootkey=$public; rootkid=$kid; fi
  [ -n "$rootkey" ] || refuse "$file: the log's first entry is missing"
  sed 's/.*"sigs":\[//' "$file" | tr '{' '\n' | grep "\"kid\":\"$rootkid\"" | sed 's/.*"sig":"\([^"]*\)".*/\1/' | head -1 \
    | openssl base64 -d -A > "$tmp/sig"
  ed25519 "$rootkey" "$tmp/sig" "$tmp/message" || refuse "$file: it is not signed by the root"
  case $(value "$tmp/body" entry) in
    key) echo "$kid $public $index" >> "$tmp/keys" ;;
    revocation) echo "$kid $(sed -n 's/.*"from":\([0-9]*\).*/\1/p' "$tmp/body")" >> "$tmp/revoked" ;;
  esac
done
touch "$tmp/keys" "$tmp/revoked"
echo "proved   $(wc -l < "$tmp/keys") signing keys are registered in the log"

# ---- items
for item in data/items/*/; do
  ern=$(basename "$item"); key=$(tr -d '\n' < "$item/item.key"); seq=0; prev=null; act=
  : > "$tmp/measured"
  for file in "$item"events/*.json; do
    seq=$((seq + 1)); stem=${file%.json}; by=$(value "$file" by); act=$(value "$file" act)
    known=$(grep "^$by " "$tmp/keys" | head -1); [ -n "$known" ] || refuse "$file: signed by a key that is not registered"
    (printf 'evidence-event/v1\n'; cat "$file") > "$tmp/message"
    ed25519 "$(echo "$known" | cut -d' ' -f2)" "$stem.sig" "$tmp/message" || refuse "$file: it is not signed by $by"
    length=$(wc -c < "$file")
    commitment=$( (printf 'evidence-leaf/v1\n'; printf '%08x' "$length" | unhex; cat "$file" "$stem.sig") | sha)
    tag=$( (printf 'evidence-tag/v1\n'; printf '%016x' $seq | unhex) | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | hex)
    printf '01%s%s' "$tag" "$commitment" | unhex > "$tmp/leaf"
    included "$tmp/leaf" "$stem.tlog-proof" "$file"
    [ "$index" -gt "$(echo "$known" | cut -d' ' -f3)" ] || refuse "$file: its key was registered later"
    end=$(grep "^$by " "$tmp/revoked" | cut -d' ' -f2 | head -1)
    [ -z "$end" ] || [ "$index" -lt "$end" ] || refuse "$file: its key was revoked"
    [ "$(value "$file" item)" = "$ern" ] && grep -q "\"seq\":$seq,\"v\":1}" "$file" || refuse "$file: gap in the chain of $ern"
    grep -q "\"prev\":\"\{0,1\}$prev\"\{0,1\}," "$file" || refuse "$file: gap in the chain of $ern"
    prev=$commitment
    case $act in registered | version_added) grep -o '"sha256":"[0-9a-f]*","size_bytes":[0-9]*,"version":[0-9]*' "$file" \
      | sed 's/"sha256":"\([0-9a-f]*\)".*"version":\([0-9]*\)/\2 \1/' >> "$tmp/measured" ;; esac
  done
  [ "$act" = exported ] || refuse "$ern: the chain is not closed: its end is missing"
  for file in "$item"versions/*; do
    [ -f "$file" ] || continue
    number=$(basename "$file" | sed 's/-.*//; s/^0*//')
    grep -q "^$number $(openssl dgst -sha256 -r "$file" | cut -d' ' -f1)$" "$tmp/measured" || refuse "$file: not the bytes that were measured"
  done
  echo "proved   $ern: $seq events, signed, in the log, unbroken and closed"
done
[ "${1:-}" ] || echo "not shown: that this is the right log: the policy came with the package"
echo "Nothing is refuted. It is not shown that what was stated is true, nor that all that happened was recorded."
