# What a page's session begins with: it ends at the first command that fails, and scenes find their helpers here.
set -Eeuo pipefail
trap 'echo "$BASH_COMMAND ended with $?" >"$LOGS/failed"; cat "${flow_log:-/dev/null}" >>"$LOGS/failed"' ERR
trap 'kill -KILL $(jobs -p) 2>/dev/null || :' EXIT

# What follows is printed to a log of this name.
at() {
    echo "$1" >"$LOGS/at"
    exec >>"$LOGS/$1" 2>&1
}

# A payment's line: its id, who pays, and what else it holds, such as too much.
payment() {
    printf '{"type":"payment","event_id":"%s","event_time":"2026-03-01T09:30:00Z",' "$1"
    printf '"customer_id":"%s","merchant_id":"m-3","amount":15.49,"currency":"EUR"%s}\n' "$2" "${3:-}"
}
LONG=",\"note\":\"$(printf '%0100000d' 0)\""

# The run that most pages speak of.
decide() {
    headrace run fraud --from events.jsonl --to decisions.jsonl --state state "$@"
}

# The shipped configuration of a flow, for two processes on the tests' broker.
live() {
    sed -e 's/^shards = 1\>/shards = 2/' -e "s/^# brokers = .*/brokers = [\"$BROKERS\"]/" \
        "$PROJECT/flows/$1.toml" "$PROJECT/config/default.toml"
}

# The lines of standard input become messages; a topic's messages are printed when there are so many.
send() { python "$PROJECT/tests/pages/topic.py" send "$BROKERS" "$TOPICS-$1"; }
wait_for() { python "$PROJECT/tests/pages/topic.py" wait "$BROKERS" "$TOPICS-$1" "$2"; }

# Waits until a command succeeds; what it prints meanwhile is of no interest.
until_so() {
    local until=$((SECONDS + 600))
    while ! "$@" >/dev/null 2>&1; do
        if ((SECONDS > until)); then
            echo "not so after ten minutes: $*"
            false
        fi
        [ -z "${flow:-}" ] || kill -0 "$flow"
        sleep 0.05
    done
}
