"""What each page with commands takes for granted: its scene, by the page's path."""

from __future__ import annotations

from session import Scene

# The configuration that pages call the reader's own, with the list that they name.
MINE = """
cat >mine.toml <<END
[policy.lists.blocked]
file = "blocked.txt"
key = "customer_id"
action = "block"
code = "blocked"

[reasons.texts]
blocked = "On the list."
END
echo c-blocked >blocked.txt
"""

SCENES = {
    "README.md": Scene(
        first=MINE + "live fraud >live.toml",
        before={
            # The lines of the page, and one that is too long.
            "headrace run fraud --from events.jsonl.gz --from more": """
                { cat "$BLOCKS/json-1"; payment p-2 c-8 "$LONG"; } >more.jsonl
            """,
        },
        after={
            "headrace run fraud --config live.toml": """
                until_so test -e live/processes.json
                head -1 "$BLOCKS/json-1" | send payments
                wait_for decisions 1
                kill -TERM $flow; wait $flow
            """,
        },
        beside=["headrace run fraud --config live.toml"],
        stands_for={"kafka:": "kafka:$TOPICS-"},
        # The decision that the page shows, up to digits that differ between machines; and what was asked for
        # while the flow didn't run.
        last="""
            rounded() { sed 's/\\([.][0-9]\\{9\\}\\)[0-9]*/\\1/g' "$1"; }
            rounded decisions.jsonl | grep -F "$(rounded "$BLOCKS/json-2")"
            headrace run fraud --config mine.toml --from events.jsonl.gz --from more.jsonl \\
                --to decisions.jsonl --state state
            headrace control status --state state
        """,
        broker=True,
    ),
    "docs/first-flow.md": Scene(
        first="""
            cp "$BLOCKS/python-1" events.py
            cp "$BLOCKS/toml-1" parcels.toml
        """,
        # Both decisions on each parcel, and the one that was added later on none: nothing new came.
        last="""
            test "$(grep -c '"kind":"risk"' decisions.jsonl)" = 3000
            test "$(grep -c '"kind":"eta"' decisions.jsonl)" = 3000
            headrace replay --state state --verify
        """,
    ),
    "docs/runbooks/backup.md": Scene(
        first="""
            headrace simulate --preset tiny --to world.jsonl
            head -2500 world.jsonl >events.jsonl
            decide
        """,
        before={
            # The flow goes on after the backup, and then the disk is gone.
            "headrace state restore --from backup-2026-03-01.tar --state state": """
                tail -n +2501 world.jsonl >>events.jsonl
                decide
                cp decisions.jsonl expected.jsonl; rm -r state
            """,
        },
        last="cmp decisions.jsonl expected.jsonl",
    ),
    "docs/runbooks/configuration.md": Scene(
        first=MINE
        + """
            printf '[policy]\\nblock_at = 0.8\\n' >>mine.toml
            headrace simulate --preset tiny --days 2 --to events.jsonl
            headrace run fraud --config mine.toml --from events.jsonl --speed 100 \\
                --to decisions.jsonl --state state &
            flow=$!
            until_so test -s decisions.jsonl
            sed -i 's/^block_at = .*/block_at = 0.9/' mine.toml
        """,
        # A child that has ended stays there until it is waited for; a reader's shell does that by itself.
        stands_for={"kill -TERM PID; ": "kill -TERM PID; wait PID; ", "PID": "$flow"},
        after={"kill -TERM PID": "unset flow"},
    ),
    "docs/runbooks/control.md": Scene(
        first=MINE
        + """
            echo c-8 >>blocked.txt
            mkfifo feed
            headrace run fraud --config mine.toml --from - --to decisions.jsonl --state state <feed &
            flow=$!
            exec 3>feed
            taken() { headrace control status --state state | grep "^$1 was the last command taken"; }
            until_so taken 1  # the list's first content
        """,
        before={"headrace control status": "until_so taken 5"},
        # A command without the command line, and a payment while the switch is on.
        last="""
            cp "$BLOCKS/json-1" state/control/unnamed
            mv state/control/unnamed state/control/000000000006.jsonl
            until_so taken 6
            payment p-1 c-7 >&3
            until_so grep '"policy":"kill_switch"' decisions.jsonl
            exec 3>&-; wait $flow
        """,
    ),
    "docs/runbooks/dead-letters.md": Scene(
        first="""
            {
                payment p-1 c-7
                payment p-2 c-7 "$LONG"
                payment p-17 c-7 | sed 's/"amount":15.49,//'
                payment p-3 c-8 | cut -c-100
            } >events.jsonl
            decide
            payment p-3 c-8 >mended.json
        """,
        # The long line and the mended one are decided, and nothing is decided twice; a payment without its
        # amount, or cut as it was, is a dead letter again.
        last="""
            decide --set input.line_bytes_max=1000000
            test "$(grep -o '"event_id":"[^"]*"' decisions.jsonl | sort)" = \
                "$(printf '"event_id":"%s"\\n' p-1 p-2 p-3)"
            test "$(grep -c '"retried":true' decisions.jsonl)" = 2
            test "$(headrace dead-letters list --state state | wc -l)" = 2
        """,
    ),
    "docs/runbooks/erasure.md": Scene(
        first="""
            headrace simulate --preset tiny --days 2 --to events.jsonl
            payment p-1 c-7 >>events.jsonl
            payment p-2 c-7 | sed 's/"amount":15.49,//' >>events.jsonl
            decide
        """,
        last="""
            headrace ledger verify --state state
            if grep -r '"customer_id":"c-7"' state; then false; fi
            headrace erase --customer c-7 --state state --dry-run
        """,
    ),
    "docs/runbooks/explain.md": Scene(
        first="""
            headrace simulate --preset tiny --days 60 --to events.jsonl
            payment p-1 c-7 >>events.jsonl
            decide
        """,
        stands_for={"CHAIN": "$(headrace ledger verify --state state | sed -n 's/^ *chain //p')"},
        last="""test "$(wc -l <march.csv)" = 2  # a head, and p-1""",
    ),
    "docs/runbooks/replay.md": Scene(
        first=MINE,
        before={
            "headrace replay --state slates --config slates.toml": """
                sed 's/^neighbours_max = .*/neighbours_max = 9/' "$PROJECT/flows/recommend.toml" >slates.toml
            """
        },
        last="test -s report.html; test -s slates.html",
    ),
    "docs/runbooks/sources.md": Scene(
        first="""
            headrace simulate --preset tiny --days 2 --to events.jsonl
            payment p-1 c-7 | tr -d '\\n' >>events.jsonl
            decide
            if grep '"p-1"' decisions.jsonl; then false; fi
        """,
        before={
            "mv events.jsonl events.jsonl.1": """
                decide
                grep '"p-1"' decisions.jsonl
            """,
            "headrace run fraud --moved follow": "payment p-2 c-7 >events.jsonl",
            # Where these two aren't installed, pyarrow unpacks, and Python takes the array to pieces.
            "zstd -dc": """
                zipped() { python -c "import pyarrow, shutil, sys; shutil.copyfileobj($1, $2)"; }
                packed() { echo "pyarrow.$1_stream('events.jsonl.zst', compression='zstd')"; }
                payment p-3 c-7 | zipped sys.stdin.buffer "$(packed output)"
                type zstd || zstd() { zipped "$(packed input)" sys.stdout.buffer; }
            """,
            "jq -c": """
                echo "[$(payment p-4 c-7), $(payment p-5 c-7)]" >array.json
                type jq || jq() {
                    python -c "import json; [print(json.dumps(each)) for each in json.load(open('$3'))]"
                }
            """,
        },
        last="""
            test "$(grep -o '"event_id":"p-.[",]' decisions.jsonl | sort)" = \
                "$(printf '"event_id":"p-%s"\\n' 1 2 3 4 5)"
        """,
    ),
    "docs/policy.md": Scene(
        first="""
            cp "$BLOCKS/toml-2" mine.toml
            echo c-1 >trusted.txt
            payment p-1 c-7 >events.jsonl
            decide --config mine.toml
            echo c-7 >>trusted.txt
        """,
        last="""
            payment p-2 c-7 >>events.jsonl
            decide --config mine.toml
            grep '"p-2".*"policy":"list.trusted"' decisions.jsonl
        """,
    ),
    "docs/recommend.md": Scene(
        first="""
            headrace simulate --preset demo-network --days 1 --to all.jsonl
            grep '"type":"order"' all.jsonl >orders.jsonl
            grep -v '"type":"order"' all.jsonl | gzip >clicks.jsonl.gz
            live recommend >live.toml
        """,
        after={
            "headrace run recommend --config live.toml": """
                until_so test -e live/processes.json
                send clicks <all.jsonl
                wait_for slates 10
                kill -TERM $flow; wait $flow
            """
        },
        beside=["headrace run recommend --config live.toml"],
        stands_for={"kafka:": "kafka:$TOPICS-"},
        last="wc -l slates.jsonl",
        broker=True,
    ),
    "docs/security.md": Scene(
        first="mkdir state; touch state/lock; chmod 777 state; chmod 666 state/lock",
        last="""test "$(stat -c %a state/lock)-$(stat -c %a state)" = 640-750""",
    ),
    "docs/simulator.md": Scene(
        # 58 days at 3,600 times their speed are 23 minutes.
        stands_for={"--speed 3600": "--days 2 --speed 1000000"},
        last="test -s decisions.jsonl; head truths/*.csv",
    ),
    "docs/runbooks/kafka.md": Scene(
        # Stands in for the tool that comes with a broker.
        first="""
            live fraud | sed 's/^# group_id = .*/group_id = "headrace"/' >mine.toml
            kafka-consumer-groups.sh() { python "$PROJECT/tests/pages/topic.py" group "$@"; }
        """,
        after={
            "headrace run fraud --config mine.toml": """
                until_so curl --fail http://127.0.0.1:$PORT/readyz
                { payment p-1 c-7; payment p-2 c-8; } | send payments
                wait_for decisions 2
                until_so kafka-consumer-groups.sh --bootstrap-server "$BROKERS" --describe --group headrace
            """,
        },
        beside=["headrace run fraud --config mine.toml"],
        stands_for={"kafka:": "kafka:$TOPICS-", "9100": "$PORT", "kafka-1.example:9092": "$BROKERS"},
        last="kill -TERM $flow; wait $flow",
        broker=True,
    ),
}
