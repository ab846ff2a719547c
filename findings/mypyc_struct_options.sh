#!/usr/bin/env bash
# mypyc (mypy 2.4.1) compiles a msgspec.Struct and drops its class options: frozen, tag, forbid_unknown_fields.
#
# mypyc speeds up typed Python, and streams are typed in msgspec.Struct. Guess before the run: mypyc refuses the class,
# as it does other metaclasses, or leaves it interpreted and whole. Seen: mypyc compiles without a word. The class is
# a Struct and keeps its fields, but what stands beside the base in its head is gone. A frozen Struct can be changed,
# a message has no tag, and unknown fields are taken. The annotations stay true for mypy: nothing complains.
#
# Why it matters for ECG streams: a patient's state that steps share is frozen so that nobody changes it under another,
# and a message of another kind is refused by its tag. Compiled, a beat with the wrong tag or a misspelt field is read
# as a beat. Leave modules with Structs interpreted, and compile those that only use them. A default that is itself a
# Struct betrays it at import, since msgspec takes it for mutable.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v cc >/dev/null || { echo "needs a C compiler"; exit 2; }
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet mypy==2.4.1 msgspec==0.22.0 setuptools==84.2.1
cat >beats.py <<'PY'
import msgspec


class Beat(msgspec.Struct, frozen=True, tag="beat", forbid_unknown_fields=True):
    patient: str
    loss: float = 0.0
PY
cat >look.py <<'PY'
import sys

import msgspec

from beats import Beat

config, beat = Beat.__struct_config__, Beat("119", 1.5)
try:
    beat.loss = 9.0
    changed = True
except AttributeError:
    changed = False
try:
    msgspec.json.decode(b'{"type":"alert","patient":"119","losss":3.0}', type=Beat)
    taken = True
except msgspec.ValidationError:
    taken = False
print("frozen", config.frozen, "tag", config.tag, "forbid_unknown_fields", config.forbid_unknown_fields)
print("a field was changed:", changed, "| an alert with an unknown field was read as a beat:", taken)
assert [config.frozen, config.tag, changed, taken] == ([True, "beat", False, False], [False, None, True, True])[
    sys.argv[1] == "compiled"
]
PY
venv/bin/python -c "import msgspec, sys; print('python', sys.version.split()[0], 'msgspec', msgspec.__version__)"
echo "interpreted:"
venv/bin/python look.py interpreted
venv/bin/mypyc beats.py >build.log 2>&1 || { tail -n 3 build.log; exit 1; }
ls beats.*.so >/dev/null
echo "compiled by mypyc of mypy 2.4.1:"
venv/bin/python look.py compiled
echo "as described"
