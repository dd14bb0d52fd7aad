#!/bin/sh
# A whole cooperation between two States with nothing but curl, sha256sum and openssl: upload, request, grant, terms,
# download, transfer, verification. Each step stops the script if it does not go as it should. For an exercise: elsewhere
# officers sign terms and acceptance of custody with their passkeys (docs/format.md, section 23), and no token can.
#
#   REQUEST='{…the document of the request…}' SERVER=https://evidence.example CASE=SI-CASE-0001 HOME_AUTHORITY=… THEIR_AUTHORITY=… \
#   PROSECUTOR=evr_pat_… CENTRAL=evr_pat_… THEIR_PROSECUTOR=evr_pat_… THEIR_CENTRAL=evr_pat_… sh cooperation.sh FILE
set -eu
file=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# call TOKEN METHOD PATH [JSON]: the answer's body; the script ends where it is an error. What changes says that it is of
# whatever there is (If-Match: *); who looked first sends the ETag instead. A body goes with its digest.
call() {
  token=$1 method=$2 path=$3 body=${4-}
  set -- --silent --show-error --fail-with-body --request "$method" --header "Authorization: Bearer $token" --header 'If-Match: *'
  if [ -n "$body" ]; then
    digest=$(printf %s "$body" | openssl dgst -sha256 -binary | openssl base64 -A)
    set -- "$@" --header 'Content-Type: application/json' --header "Content-Digest: sha-256=:$digest:" --data-binary "$body"
  fi
  curl "$@" "$SERVER$path"
}

# member NAME: a text of the JSON object on standard input.
member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }
encoded() { printf %s "$1" | openssl base64 -A; }

# 1. Upload (tus 1.0.0): what is sent is sealed as it arrives; the sender's digest is compared at the end.
sha256=$(sha256sum "$file" | cut -d ' ' -f 1)
size=$(wc -c < "$file" | tr -d ' ')
metadata="filename $(encoded "$(basename "$file")"),case $(encoded "$CASE"),sha256 $(encoded "$sha256")"
upload=$(curl --silent --show-error --fail --dump-header - --output "$work/none" --request POST \
  --header "Authorization: Bearer $PROSECUTOR" --header 'Tus-Resumable: 1.0.0' --header "Upload-Length: $size" \
  --header "Upload-Metadata: $metadata" "$SERVER/v1/uploads" | tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl --silent --show-error --fail --request PATCH --header "Authorization: Bearer $PROSECUTOR" --header 'Tus-Resumable: 1.0.0' \
  --header 'Content-Type: application/offset+octet-stream' --header 'Upload-Offset: 0' --data-binary "@$file" "$SERVER$upload"
call "$PROSECUTOR" GET "$upload" > "$work/upload"
item=$(member ern < "$work/upload")
blake3=$(member blake3 < "$work/upload") # the record's; step 6 measures it anew where b3sum is installed
echo "uploaded: $item"

# 2. The other State asks: a draft, signed, and sent to the central authority.
request=$(call "$THEIR_PROSECUTOR" POST /v1/requests "{\"to\": \"$HOME_AUTHORITY\", \"document\": $REQUEST}" | member request)
call "$THEIR_CENTRAL" POST "/v1/requests/$request/steps" '{"act": "signed"}' > "$work/none"
call "$THEIR_CENTRAL" POST "/v1/requests/$request/steps" '{"act": "transmitted"}' > "$work/none"
call "$CENTRAL" POST "/v1/requests/$request/steps" '{"act": "acknowledged"}' > "$work/none"
echo "requested: $request"

# 3. A grant: proposed by one officer, offered by another; its terms are accepted by their digest.
call "$PROSECUTOR" POST /v1/grants "{\"document\": {\"grantee\": \"$THEIR_AUTHORITY\", \"basis\": \"request\", \"reference\": \"$request\",
  \"legal_basis\": \"the Convention\", \"case\": \"$CASE\", \"proceeding\": \"B 1/26\", \"purposes\": [\"prosecution\"],
  \"offences\": [\"murder\"], \"items\": [\"$item\"], \"mode\": \"download_copy\", \"valid_from\": \"2026-01-01Z\",
  \"valid_until\": \"2099-01-01Z\"}}" > "$work/grant"
grant=$(member grant < "$work/grant")
terms=$(member terms < "$work/grant")
call "$CENTRAL" POST "/v1/grants/$grant/steps" '{"act": "offered"}' > "$work/none"
call "$THEIR_CENTRAL" POST "/v1/grants/$grant/steps" "{\"act\": \"accepted\", \"terms\": \"$terms\"}" > "$work/none"
echo "granted: $grant"

# 4. Access: decided and recorded, then the bytes.
call "$THEIR_CENTRAL" POST /v1/accesses \
  "{\"item\": \"$item\", \"action\": \"download\", \"purpose\": \"prosecution\", \"grant\": \"$grant\"}" > "$work/copy"
[ "$(sha256sum "$work/copy" | cut -d ' ' -f 1)" = "$sha256" ]
echo "downloaded: $size bytes"

# 5. Verification: of what was downloaded, with the proof that the log holds the event that measured it.
call "$THEIR_CENTRAL" POST /v1/verifications "{\"sha256\": \"$sha256\", \"item\": \"$item\"}" > "$work/verified"
[ "$(member outcome < "$work/verified")" = match ]
echo "verified: match"

# 6. Custody: offered, accepted, let go, and signed for by the receiver's own measurement.
transfer=$(call "$PROSECUTOR" POST /v1/transfers "{\"items\": [\"$item\"], \"to\": \"$THEIR_AUTHORITY\", \"to_person\": \"B\",
  \"purpose\": \"analysis\", \"reference\": \"$request\", \"valid_until\": \"2099Z\"}" | member transfer)
call "$THEIR_CENTRAL" POST "/v1/transfers/$transfer/steps" '{"act": "accepted"}' > "$work/none"
call "$PROSECUTOR" POST "/v1/transfers/$transfer/steps" '{"act": "released", "carrier": "C"}' > "$work/none"
if command -v b3sum > "$work/none"; then blake3=$(b3sum --no-names "$work/copy"); fi
call "$THEIR_CENTRAL" POST "/v1/transfers/$transfer/steps" "{\"act\": \"received\", \"lines\": [{\"ern\": \"$item\", \"condition\": \"ok\",
  \"sha256\": \"$sha256\", \"blake3\": \"$blake3\", \"size_bytes\": $size}]}" > "$work/transfer"
[ "$(member custodian < "$work/transfer")" = "$THEIR_AUTHORITY" ]
echo "transferred: $transfer"
