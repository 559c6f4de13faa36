# shellcheck shell=bash
# Makes a test CA, a certificate for loopback and a home whose Chromium trusts that CA, in the folder $1.
# Sourced by `run`; it refuses to know who uses them.

authority() {
    local folder="$1"
    cat >"$folder/openssl.cnf" <<'CONF'
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
CONF
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config "$folder/openssl.cnf")
    openssl req -x509 "${key[@]}" -extensions ca -days 2 -subj "/CN=realtime-relay test CA" \
        -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
    openssl req "${key[@]}" -subj "/CN=localhost" -keyout "$folder/server.key" -out "$folder/server.csr" 2>/dev/null
    openssl x509 -req -in "$folder/server.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -days 2 \
        -extfile "$folder/openssl.cnf" -extensions server -out "$folder/server.pem" 2>/dev/null
}

# Where Chromium looks for authorities that the user trusts, beside those it brings along.
trust_in_chromium() {
    local store="$2/.pki/nssdb"
    mkdir -p "$store"
    certutil -N -d "sql:$store" --empty-password
    certutil -A -d "sql:$store" -t "C,," -n "realtime-relay test CA" -i "$1/ca.pem"
}
