#!/usr/bin/env bash
# Rebuilds this design from nothing: digits MLP 64-64-32-10, 4-bit weights and activations, 10-bit accumulators.
# Output (ignored by git): model.keras, program.a2q, certificate.json, results.json, firmware/
set -euo pipefail
cd "$(dirname "$0")"
exec "${A2Q:-../../.venv/bin/a2q}" demo --acc-bits 10 --weight-bits 4 --act-bits 4 --output-dir output
