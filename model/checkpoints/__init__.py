"""The checkpoint that ships: default.safetensors, made by tools/build_checkpoint.py."""
