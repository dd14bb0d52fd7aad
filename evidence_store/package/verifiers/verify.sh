#!/bin/sh
# Checks an evidence package with GNU coreutils and openssl (3.0 or later) alone, in the folder it was unzipped to.
#   sh verify.sh [--policy FILE]
# Checks: every file against the manifests; that the log signed (Ed25519) each checkpoint that a proof is against; that each event
# is signed by a key that the log's root registered before it, stands in the log, and follows the one before; that the last is the
# export of this very package, and that all is here that it names and nothing else under data/; contents and their names; of events
# signed by hand whose answer is here, that the passkey which they name signed them. What it does not check, it says at the end.
# Exit code 0: nothing of that is refuted; 3: something is; 2: it cannot be checked here.
set -u
export LC_ALL=C
brought=no; policy=data/policy.txt
case $#/${1:-} in
  0/) ;;
  2/--policy) brought=yes; case $2 in /*) policy=$2 ;; *) policy=$PWD/$2 ;; esac ;;
  *) echo "usage: sh verify.sh [--policy FILE]" >&2; exit 2 ;;
esac
[ $brought = no ] || [ -r "$policy" ] || { echo "verify.sh: there is no $policy" >&2; exit 2; }
cd "$(dirname "$0")" || exit 2
for tool in openssl basenc sha256sum awk find comm; do command -v $tool > /dev/null || { echo "verify.sh needs $tool"; exit 2; }; done
case $(openssl version) in "OpenSSL "[3-9]*) ;; *) echo "verify.sh needs OpenSSL 3.0 or later"; exit 2 ;; esac
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
refuse() { echo "REFUTED  $1"; exit 3; }
hex() { basenc --base16 -w0 | tr A-F a-f; }
unb64url() { tr '_-' '/+' | awk '{ n = length($0) % 4; print $0 (n ? substr("====", n + 1) : "") }' | base64 -d 2> /dev/null; }
b64url() { basenc --base64url -w0 | tr -d =; }
unhex() { tr a-f A-F | basenc --base16 -d; }
sha() { sha256sum | cut -c1-64; }
node() { printf '01%s%s' "$1" "$2" | unhex | sha; }
is_number() { case $1 in '' | *[!0-9]* | 0?* | ???????????????????*) return 1 ;; esac; } # one spelling, and the shell can count to it
ed25519() { # public key (hex), signature file, message file
  printf '302a300506032b6570032100%s' "$1" | unhex > "$tmp/key.der"
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$tmp/key.der" -rawin -sigfile "$2" -in "$3" > /dev/null 2>&1
}

# ---- files
[ -z "$(find . ! -type f ! -type d)" ] || refuse "a link or a device among the files"
[ -z "$(find . -mindepth 1 | grep -vE '^\.(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$')" ] || refuse "a name that no package has"
[ -z "$(find . | tr A-Z a-z | sort | uniq -d)" ] || refuse "names that differ in capitals alone"
printf 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n' | cmp -s - bagit.txt || refuse "bagit.txt: no bag of BagIt 1.0"
for each in manifest-sha256.txt tagmanifest-sha256.txt; do
  sha256sum --quiet --strict -c $each > /dev/null 2>&1 || refuse "a file is not what $each says"
done
find . -type f ! -path ./tagmanifest-sha256.txt | cut -c3- | sort > "$tmp/there"
cut -c67- manifest-sha256.txt tagmanifest-sha256.txt | sort > "$tmp/listed"
cmp -s "$tmp/there" "$tmp/listed" || refuse "a file is missing or foreign"
echo "proved   every file is what the manifests say"

# ---- what the export signed for; that it did, the last event of each item shows
about=data/package.json
version='\{"sha256":"[0-9a-f]{64}","type":"[a-z][a-z_]*","version":[1-9][0-9]{0,5}\}'
item='\{"events":[1-9][0-9]{0,5},"item":"[A-Z]{2}-[0-9]{4}-[0-9]+","versions":\[('$version'(,'$version')*)?\]\}'
[ -f $about ] && [ "$(wc -l < $about)" -eq 0 ] && grep -qE '^\{"control":\[[0-9,]*\],"format":"evidence-package/v2","items":\['"$item(,$item)*"'\],"package":"[0-9a-f]{32}","v":1\}$' $about \
  || refuse "$about: no composition of the format evidence-package/v2"
composition=$(sha < $about); package=$(sed 's/.*"package":"\([0-9a-f]*\)","v":1}$/\1/' $about)
tr '{' '\n' < $about | sed -nE 's/^"control":\[([0-9,]*)\].*/control \1/p
s/^"events":([0-9]+),"item":"([^"]+)".*/item \2 \1/p; s/^"sha256":"([0-9a-f]+)","type":"([a-z_]+)","version":([0-9]+).*/version \3 \2 \1/p' > "$tmp/composed"
[ -z "$(awk '$1 == "item" { print $2 }' "$tmp/composed" | sort | uniq -d)" ] || refuse "$about: an item that stands twice"
awk 'BEGIN { print "data/package.json"; print "data/policy.txt" }
  $1 == "control" { n = split($2, at, ","); for (i = 1; i <= n; i++) { printf "data/control/%012d.json\n", at[i]; printf "data/control/%012d.tlog-proof\n", at[i] } }
  $1 == "item" { folder = "data/items/" $2; print folder "/item.key"
    for (i = 1; i <= $3; i++) { stem = sprintf("%s/events/%06d", folder, i); print stem ".json"; print stem ".sig"; print stem ".tlog-proof" } }
  $1 == "version" { printf "%s/versions/%04d-%s\n", folder, $2, $3 }' "$tmp/composed" | sort > "$tmp/named"
grep '^data/' "$tmp/there" > "$tmp/data"
missing=$(comm -23 "$tmp/named" "$tmp/data" | head -n 1)
[ -z "$missing" ] || refuse "$missing: the export names it, and it is not here"
foreign=$(comm -13 "$tmp/named" "$tmp/data" | awk -v named="$tmp/named" '
  BEGIN { while ((getline line < named) > 0) is[line] = 1 }
  { all[NR] = $0; there[$0] = 1 }
  END { for (i = 1; i <= NR; i++) { name = beside = all[i]
    if (name ~ /^data\/checkpoints\/[0-9]+\.note$/ || name ~ /^data\/timestamps\/[^\/]+\.tsr$/) continue
    if (name ~ /^data\/checkpoints\/[0-9]+-[0-9]+\.consistency$/) { sub(/-[0-9]+\.consistency$/, ".note", beside); if (beside in there) continue }
    if (name ~ /\.(disclosed|receipt\.cose)$/) { sub(/\.(disclosed|receipt\.cose)$/, ".json", beside); if (beside ~ /\/events\// && beside in is) continue }
    if (name ~ /^data\/timestamps\/[^\/]+\.pem$/) { sub(/^data\/timestamps\//, "-", beside); sub(/\.pem$/, ".tsr", beside); known = 0
      for (each in there) if (length(each) > length(beside) && substr(each, length(each) - length(beside) + 1) == beside) known = 1
      if (known) continue }
    print name; exit } }')
[ -z "$foreign" ] || refuse "$foreign: nothing that was signed names it: it is no part of this evidence"
echo "proved   package $package: all that its export names is here, and nothing else"

# ---- the log's Ed25519 key, from the policy
for each in data/checkpoints/*.note; do origin=$(sed -n 1p "$each"); done
vkey=$(awk '$1 == "log" { print $2 }' "$policy" | while read -r each; do
  rest=${each#*+}; key=$(printf %s "${rest#*+}" | base64 -d | hex)
  case ${each%%+*}/$key in "$origin"/01*) echo "${rest%%+*} ${key#01}" ;; esac
done | head -n 1)
[ -n "$vkey" ] || refuse "the policy has no Ed25519 key of the log $origin"
keyid=${vkey% *}; logkey=${vkey#* }

checkpoint() { # a note file, subject: sets size and root once the log's signature holds
  awk '!length($0) { exit } { print }' "$1" > "$tmp/text"
  size=$(sed -n 2p "$tmp/text"); root=$(sed -n 3p "$tmp/text" | base64 -d | hex); good=no
  [ "$(wc -l < "$tmp/text")" -eq 3 ] && is_number "$size" && [ "$(sed -n 1p "$tmp/text")" = "$origin" ] || refuse "$2: a checkpoint of another log"
  for line in $(o=$origin awk '$1 == "—" && $2 == ENVIRON["o"] { print $3 }' "$1"); do
    line=$(printf %s "$line" | base64 -d | hex)
    [ "${line#"$keyid"}" != "$line" ] || continue
    printf %s "${line#"$keyid"}" | unhex > "$tmp/sig"
    ed25519 "$logkey" "$tmp/sig" "$tmp/text" || refuse "$2: a checkpoint that the log did not sign"
    good=yes
  done
  [ $good = yes ] || refuse "$2: a checkpoint without the log's signature"
  head -n 3 "data/checkpoints/$(printf %012d "$size").note" 2> /dev/null | cmp -s - "$tmp/text" || refuse "$2: two roots for one size, or its checkpoint is missing"
}
included() { # leaf file, proof file: sets index, size and root once the proof holds
  awk 'found { print } !length($0) { found = 1 }' "$2" > "$tmp/note"
  checkpoint "$tmp/note" "$2"
  index=$(sed -n '2s/^index //p' "$2")
  is_number "$index" && [ "$index" -lt "$size" ] || refuse "$2: an index outside of the log"
  steps=$(for step in $(awk '!length($0) { exit } NR > 2 { print }' "$2"); do printf %s "$step" | base64 -d | hex; echo; done)
  climb "$( (printf '\000'; cat "$1") | sha)" "$index" "$size" "$steps" "$2"
  [ "$found" = "$root" ] || refuse "$2: it is not in the log"
}
climb() { # leaf hash, index, size, steps (hex), subject: sets found, the root that they lead to
  found=$1; at=$2; last=$(($3 - 1))
  for step in $4; do
    [ $last -gt 0 ] && [ ${#step} -eq 64 ] || refuse "$5: a proof that is too long"
    if [ $((at & 1)) -eq 1 ] || [ $at -eq $last ]; then
      found=$(node "$step" "$found")
      while [ $((at & 1)) -eq 0 ] && [ $at -ne 0 ]; do at=$((at >> 1)); last=$((last >> 1)); done
    else
      found=$(node "$found" "$step")
    fi
    at=$((at >> 1)); last=$((last >> 1))
  done
  [ $last -eq 0 ] || refuse "$5: a proof that is too short"
}

# ---- keys
signed() { # control entry, key ID, public key in base64: whether that key signed the message
  sed 's/.*,"sigs":\[//' "$1" | tr '{' '\n' | grep -F "\"kid\":\"$2\"" | sed 's/.*"sig":"//; s/".*//' | head -n 1 | base64 -d > "$tmp/sig"
  ed25519 "$(printf %s "$3" | base64 -d | hex)" "$tmp/sig" "$tmp/message"
}
id='[A-Z]{2}/[a-z0-9-]+/[0-9]+'; rootkey=; : > "$tmp/keys"; : > "$tmp/revoked"
for file in data/control/*.json; do
  [ -f "$file" ] || refuse "the log's first entry is missing"
  (printf '\002'; cat "$file") > "$tmp/leaf"
  included "$tmp/leaf" "${file%.json}.tlog-proof"
  [ "$(printf 'data/control/%012d.json' "$index")" = "$file" ] && [ "$(wc -l < "$file")" -eq 0 ] || refuse "$file: it stands elsewhere in the log"
  sed -n 's/^{"body":\(.*\),"sigs":\[.*/\1/p' "$file" | tr -d '\n' > "$tmp/body"
  (printf 'evidence-control/v1\n'; cat "$tmp/body") > "$tmp/message"
  read -r kind kid log value <<END
$(sed -nE "s#^\{\"entry\":\"(genesis)\",\"log\":\"([^\" ]+)\",\"root\":\{\"kid\":\"($id)\",\"public\":\"([^\" ]+)\"\},.*#\1 \3 \2 \4#p
s#^\{\"authority\":\"[a-z0-9-]+\",\"entry\":\"(key)\",\"kid\":\"($id)\",\"log\":\"([^\" ]+)\",\"name\":.*,\"public\":\"([^\" ]+)\",\"v\":1\}\$#\1 \2 \3 \4#p
s#^\{\"entry\":\"(revocation)\",\"from\":([0-9]+),\"kid\":\"($id)\",\"log\":\"([^\" ]+)\",.*#\1 \3 \4 \2#p" "$tmp/body")
END
  [ "$log" = "$origin" ] || refuse "$file: no entry of this log that is known here"
  if [ "$index" -eq 0 ] && [ "$kind" = genesis ]; then rootkey=$value; rootid=$kid; fi
  [ -n "$rootkey" ] || refuse "$file: the log's first entry is missing"
  signed "$file" "$rootid" "$rootkey" || refuse "$file: it is not signed by the root"
  case $kind/$index in
    genesis/0) ;;
    revocation/*) echo "$kid $value" >> "$tmp/revoked" ;;
    key/*)
      ! grep -qF "$kid " "$tmp/keys" && signed "$file" "$kid" "$value" || refuse "$file: no registration of a new key"
      echo "$kid $(printf %s "$value" | base64 -d | hex) $index" >> "$tmp/keys" ;;
    *) refuse "$file: a second beginning of the log" ;;
  esac
done
echo "proved   $(wc -l < "$tmp/keys") signing keys are registered in the log"

# ---- officers' passkeys (WebAuthn)
field() { printf %s "$answer" | sed -nE "s/.*\"$1\":\"([A-Za-z0-9_-]+)\".*/\1/p" | unb64url; }
by_hand() { # event, its disclosures: whether the passkey that it names signed it, as it is without the answer
  hand=$(sed -nE 's#.*"by_hand":\{"origin":"(https?://[]a-z0-9.:[-]+)","passkey":"([0-9a-f]{64})","rp_id":"([]a-z0-9.:[-]+)"\}.*#\1 \2 \3#p' "$1"); answer=
  for line in $(cat "$2" 2> /dev/null); do
    text=$(printf %s "$line" | unb64url | sed -nE 's/^\["[A-Za-z0-9_-]+","passkey",(\{.*\})\]$/\1/p')
    [ -z "$text" ] || { [ -z "$answer" ] || refuse "$1: two answers of a passkey"; answer=$text; own=$line; }
  done
  if [ -z "$hand" ]; then
    ! grep -qF '"by_hand":' "$1" && [ -z "$answer" ] || refuse "$1: a passkey's answer to what was not signed by hand"; return
  fi
  [ "$answer" ] || { withheld=yes; return; }
  origin_said=${hand%% *}; rp=${hand##* }; hand=${hand#* }; hand=${hand%% *}
  own=$(printf %s "$own" | sha | unhex | b64url)
  [ "$(grep -o "\"$own\"" "$1" | wc -l)" -eq 1 ] || refuse "$1: a passkey's answer that is not its own"
  sed -e "s/^\({\"_sd\":\[[^]]*\)\"$own\",/\1/;t" -e "s/^\({\"_sd\":\[[^]]*\),\"$own\"\]/\1]/;t" -e "s/^{\"_sd\":\[\"$own\"\]/{\"_sd\":[]/" "$1" > "$tmp/act"
  [ "$(wc -c < "$tmp/act")" -lt "$(wc -c < "$1")" ] || refuse "$1: a passkey's answer that is not its own"
  read -r place count steps <<END
$(printf %s "$answer" | sed -nE 's/.*"index":([0-9]+),"path":\[([0-9a-f",]*)\],"size":([0-9]+)\}$/\1 \3 \2/p' | tr '",' '  ')
END
  is_number "$place" && is_number "$count" && [ "$place" -lt "$count" ] || refuse "$1: a place that cannot be"
  climb "$( (printf '\000evidence-act/v1\n'; cat "$tmp/act") | sha)" "$place" "$count" "$steps" "$1"
  challenge=$( (printf 'evidence-acts/v1\n'; printf '%016x%s' "$count" "$found" | unhex) | sha | unhex | b64url)
  field public_key > "$tmp/cose"; field client_data > "$tmp/client"; field authenticator_data > "$tmp/auth"; field signature > "$tmp/sig"
  [ "$(sha < "$tmp/cose")" = "$hand" ] || refuse "$1: another passkey than the event says"
  start="{\"type\":\"webauthn.get\",\"challenge\":\"$challenge\",\"origin\":\"$origin_said\""
  case $(cat "$tmp/client") in
    *'"topOrigin"'*) refuse "$1: a page within another's" ;;
    "$start}" | "$start,\"crossOrigin\":false}" | "$start,\"crossOrigin\":false,"*"}") ;;
    *) refuse "$1: the passkey's answer was given to another act, or at another site" ;;
  esac
  auth=$(hex < "$tmp/auth"); flags=$((0x$(printf %s "${auth}00" | cut -c65-66)))
  [ "$(printf %s "$auth" | cut -c1-64)" = "$(printf %s "$rp" | sha)" ] || refuse "$1: the passkey's answer was given to another site"
  [ ${#auth} -ge 74 ] && [ $((flags & 5)) -eq 5 ] || refuse "$1: the passkey did not verify who used it"
  [ $((flags & 64)) -eq 0 ] && [ $((flags >> 7)) -eq $((${#auth} > 74)) ] || refuse "$1: authenticator data that cannot be"
  (cat "$tmp/auth"; sha < "$tmp/client" | unhex) > "$tmp/message"; cose=$(hex < "$tmp/cose")
  x=$(printf %s "$cose" | cut -c21-84); y=$(printf %s "$cose" | cut -c91-154)
  case $cose in
    a4010103272006215820"$x") ed25519 "$x" "$tmp/sig" "$tmp/message" ;;
    a5010203262001215820"$x"225820"$y")
      printf '3059301306072a8648ce3d020106082a8648ce3d03010703420004%s%s' "$x" "$y" | unhex > "$tmp/key.der"
      openssl dgst -sha256 -verify "$tmp/key.der" -keyform DER -signature "$tmp/sig" "$tmp/message" > /dev/null 2>&1 ;;
    *) false ;;
  esac || refuse "$1: it is not signed by the passkey that it names"
}

# ---- items
withheld=
for ern in $(awk '$1 == "item" { print $2 }' "$tmp/composed"); do
  item=data/items/$ern/; key=$(tr -d '\n' < "$item/item.key"); seq=0; prev=null; act=; held=; : > "$tmp/measured"
  for file in "$item"events/*.json; do
    seq=$((seq + 1)); stem=${file%.json}; number=
    [ "$(wc -l < "$file")" -eq 0 ] && read -r act said by name log before number <<END
$(sed -nE "s#^\{\"_sd\":\[[^]]*\],\"_sd_alg\":\"sha-256\",\"act\":\"([a-z_]+)\",\"anchor\":(null|\{[^}]*\}),\"at\":\"([0-9TZ:.-]+)\",\"by\":\"($id)\",\"data\":\{.*\},\
\"item\":\"([A-Z0-9-]+)\",\"log\":\"([^\" ]+)\",\"prev\":(null|\"[0-9a-f]{64}\"),\"salt\":\"[0-9a-f]{64}\",\"seq\":([0-9]+),\"v\":1\}\$#\1 \3 \4 \5 \6 \7 \8#p" "$file")
END
    [ "$number" ] || refuse "$file: no event"
    known=$(awk -v by="$by" '$1 == by { print $2, $3 }' "$tmp/keys"); [ -n "$known" ] || refuse "$file: signed by a key that is not registered"
    (printf 'evidence-event/v1\n'; cat "$file") > "$tmp/message"
    ed25519 "${known% *}" "$stem.sig" "$tmp/message" || refuse "$file: it is not signed by $by"
    commitment=$( (printf 'evidence-leaf/v1\n'; printf %08x "$(wc -c < "$file")" | unhex; cat "$file" "$stem.sig") | sha)
    tag=$( (printf 'evidence-tag/v1\n'; printf %016x $seq | unhex) | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | hex)
    printf '01%s%s' "$tag" "$commitment" | unhex > "$tmp/leaf"
    included "$tmp/leaf" "$stem.tlog-proof"
    [ "$index" -gt "${known#* }" ] || refuse "$file: its key was registered later"
    end=$(awk -v by="$by" '$1 == by { print $2 }' "$tmp/revoked" | sort -n | head -n 1)
    [ -z "$end" ] || [ "$index" -lt "$end" ] || refuse "$file: its key was revoked"
    [ "$name $log $number $before" = "$ern $origin $seq $prev" ] && [ "$stem" = "${item}events/$(printf %06d $seq)" ] || refuse "$file: gap in the chain of $ern"
    prev="\"$commitment\""
    by_hand "$file" "$stem.disclosed"
    [ ! -f "$stem.disclosed" ] || [ -z "$(sort "$stem.disclosed" | uniq -d)" ] || refuse "$file: a field that is disclosed twice"
    echo "         $ern event $seq: $act, by $by, entry $index, it says $said"
    case $act in registered | received | received_with_reservations)
      grep -qF '"condition":"missing"' "$file" || { who=${by#*/}; held="$held; ${who%/*} from $said ($act, event $seq)"; } ;;
    esac
    case $act in registered | version_added)
      kind=original
      [ "$act" = registered ] || kind=$(sed -nE 's/.*"data":\{.*"type":"([a-z_]+)".*\},"item":.*/\1/p' "$file")
      grep -o '"sha256":"[0-9a-f]*","size_bytes":[0-9]*,"version":[0-9]*' "$file" \
        | sed "s/\"sha256\":\"\([0-9a-f]*\)\".*\"version\":\([0-9]*\)/\2 \1 $kind/" >> "$tmp/measured" ;;
    esac
  done
  [ "$act" = exported ] && grep -qF "\"data\":{\"composition\":\"$composition\",\"package\":\"$package\"},\"item\":\"$ern\"" "$file" \
    || refuse "$ern: the chain is not closed by the export of this very package: its end is missing, or the package was put together otherwise than was signed"
  echo "proved   $ern: $seq events, signed, in the log, unbroken; shown up to entry $index of the log, $said: the export of this package, by $by"
  awk -v ern="$ern" '$1 == "item" { on = $2 == ern } on && $1 == "version" { print $2, $3, $4 }' "$tmp/composed" > "$tmp/enclosed"
  while read -r number kind digest; do
    file=$item"versions/"$(printf '%04d-%s' "$number" "$kind")
    # Numbers are compared as text: as numbers, 1e0 would be 1.
    found=$(awk -v n="$number" '!($1 in seen) { seen[$1] = 1; count[$3]++; if ($1 "" == n "") { print $2, $3, count[$3]; exit } }' "$tmp/measured")
    [ "${found% *}" = "$digest $kind" ] && [ "$digest" = "$(sha < "$file")" ] || refuse "$file: not the bytes that were measured, or named otherwise than what they are"
    name=original
    [ "$kind" = original ] || name="$(echo "$kind" | tr _ ' ') version $(echo "$kind" | cut -c1 | tr a-z A-Z)$(printf %02d "${found##* }")"
    echo "proved   $file: $name of $ern, sha256 $digest"
  done < "$tmp/enclosed"
  echo "proved   $ern: held, as was signed, by ${held#; }"
done
[ -z "$withheld" ] || echo "not shown: that a passkey signed what says so, where its answer is withheld"
[ $brought = yes ] || echo "not shown: that this is the right log: the policy comes with the package; use --policy"
quorum=$(awk '$1 == "quorum" { print $2; exit }' "$policy")
[ "$quorum" = none ] || echo "not shown: that the quorum that the policy asks for ($quorum) cosigned: witnesses are not checked here"
cat <<END
not shown: what verify.py checks and this does not: ML-DSA signatures; witnesses, and the times that they confirm; that the checkpoints
           are of one log; that disclosures other than a passkey's belong to their events; that JSON and base64 have their one spelling
not shown: the time-stamps: evidence verify-package and verify.py check them with --tsa-root
Nothing that is checked here is refuted. Not shown by any of this: that what was stated is true; that all that happened was recorded;
what was recorded after the export of this package, a revocation of a key included; and what report.html and bag-info.txt say, which nobody signed.
END
