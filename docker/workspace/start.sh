#!/bin/sh
# Makes the workspace at the first start, leaves its token for Odoo, then serves it.
set -eu
data=${WORKSPACE_DATA:-/data}
token_file=${WORKSPACE_TOKEN_FILE:-/run/workspace/token.json}
if [ ! -s "$token_file" ]; then
    # written aside first: a half-written token would be taken for a good one
    python -m local_workspace init --data "$data" > "$token_file.new"
    mv "$token_file.new" "$token_file"
fi
verb=$1
shift
exec python -m local_workspace "$verb" --data "$data" "$@"
