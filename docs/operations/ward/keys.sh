#!/bin/sh
# Makes all keys of a ward, to try it: an authority, a certificate for each server, one for each role, and passwords.
#   sh keys.sh n1 n2 n3            into ./keys; HOST may be NAME=ADDRESS, for a server known by its address, too
# A site with an authority of its own takes certificates from there; what lies where is the same.
set -eu
folder=keys
mkdir "$folder"
chmod 700 "$folder"
cd "$folder"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=ward authority" -keyout ca-key.pem -out ca.pem 2>/dev/null
signed() { # signed FOLDER FILE NAME [ADDRESS]
  mkdir -p "$1"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$3" -keyout "$1/$2-key.pem" -out request.csr 2>/dev/null
  printf 'subjectAltName=DNS:%s%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" "${4:+,IP:$4}" >extensions
  openssl x509 -req -in request.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 825 -extfile extensions -out "$1/$2.pem" 2>/dev/null
  cp ca.pem "$1"
  chmod 600 "$1/$2-key.pem"
}
for host in "$@"; do
  case $host in
    *=*) signed "${host%%=*}" server "${host%%=*}" "${host#*=}" ;;
    *) signed "$host" server "$host" ;;
  esac
done
cp ../permissions.conf permissions.conf
for role in admin worker producer listener; do
  signed "$role" client "$role"
  password=$(openssl rand -hex 16)
  printf '%s:%s\n' "$role" "$password" >"$role/ward.user"
  chmod 600 "$role/ward.user"
  name=$(printf '%s' "$role" | tr '[:lower:]' '[:upper:]')
  sed "s/$name-PASSWORD/$password/" permissions.conf >permissions.new
  mv permissions.new permissions.conf
done
chmod 600 ca-key.pem permissions.conf
rm -f request.csr extensions ca.srl
