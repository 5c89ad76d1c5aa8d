#!/bin/bash
# up.sh - bring up both schedulers for tests, with all packages in one installation.
# Does nothing where the tests that need them are skipped: elsewhere than on Debian, or not as root.
set -euo pipefail
cd "$(dirname "$0")"
[ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] || exit 0
# PACKAGES, as oar-up.sh has them
eval "$(sed -n '/^PACKAGES="/,/"$/p' oar-up.sh)"
SLURM_MORE_PACKAGES="$PACKAGES git-lfs" bash slurm-up.sh
bash oar-up.sh
