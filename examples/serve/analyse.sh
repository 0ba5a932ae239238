#!/bin/sh
# Send a sound file of any format to `emo-listen serve`, and print its events as they come.
#
#   sh examples/serve/analyse.sh http://127.0.0.1:8765 talk.mp3
#
# The token is passed in a way that other users of this machine cannot see.
printf 'header = "Authorization: Bearer %s"\n' "$EMO_LISTEN_TOKEN" |
  curl --config - --silent --show-error --fail-with-body --no-buffer \
    --header 'Accept: application/x-ndjson' --data-binary "@$2" "$1/v1/analyse"
