#!/bin/sh
# Gives Odoo the token of the embedded workspace named "Local", then starts it as the image does.
set -eu
token_file=${WORKSPACE_TOKEN_FILE:-/run/workspace/token.json}
if [ ! -r "$token_file" ]; then
    echo "no token of the workspace at $token_file: is the service 'workspace' running?" >&2
    exit 1
fi
ODOO_DATABRICKS_LOCAL_TOKEN=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["token"])' "$token_file")
export ODOO_DATABRICKS_LOCAL_TOKEN
exec "${ODOO_ENTRYPOINT:-/entrypoint.sh}" "$@"
