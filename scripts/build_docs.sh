#!/usr/bin/env bash
# Build the pages of the repository and the API as HTML in build/site. A dead link or a docstring that cannot be read is
# an error. Needs the packages of requirements/test.txt.
#     bash scripts/build_docs.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x $python ] || python=python3

rm -rf build/pages build/site
mkdir -p build/pages  # mkdocs reads one folder: these pages, with what they show, in the layout of the repository
git ls-files -z --cached --others --exclude-standard -- '*.md' LICENSE NOTICE docs examples ':!tests' ':!.github' |
    xargs -0 cp --parents -t build/pages
exec $python -m mkdocs build --quiet --strict
