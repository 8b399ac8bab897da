#!/usr/bin/env bash
# Shows the limit of a tenant on a running slice: sends requests evenly and compares what was let through with what
# should have been.
set -euo pipefail

readonly SLOTS=10 MOST_RATE=2000 MOST_SECONDS=300 MOST_PENDING=50

usage() {
    cat <<'END'
Usage: scripts/rate-test.sh [OPTION]... URL

Sends requests to URL as one tenant, evenly, and prints how many were allowed and limited, and how many should have been.

  -t, --tenant NAME      the tenant (default: bob)
  -H, --header NAME      the tenant header (default: X-Tenant)
  -r, --rate N           requests a second, 1 to 2000 (default: 50)
  -s, --seconds N        for how long, 1 to 300 (default: 5)
  -l, --limit N          the limit in requests a second; default: what the RateLimit-Policy header says
  -b, --burst N          its burst; default: what the RateLimit header says is left at the start
  -h, --help             this text

Examples:
  scripts/rate-test.sh http://127.0.0.1:8080/products
  scripts/rate-test.sh -t gold -r 200 -s 10 http://127.0.0.1:8080/products
  scripts/rate-test.sh -t bob -l 10 -b 20 http://127.0.0.1:8080/products   # Envoy (Local) names no limit: give it

Exit code: 0 if within 10 % of what was expected (or 3 requests), 1 if not, 2 for a wrong argument or no answer.
END
}

fail() {
    echo "error: $*" >&2
    exit 2
}

whole() { # NAME VALUE LOW HIGH
    if ! [[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || (($2 < $3 || $2 > $4)); then
        fail "$1: '$2' is not a whole number from $3 to $4"
    fi
}

now() { # milliseconds
    local t=${EPOCHREALTIME/[.,]/}
    echo $((t / 1000))
}

tenant=bob header=X-Tenant rate=50 seconds=5 limit='' burst='' url=''
while (($#)); do
    case $1 in
        -h | --help) usage && exit 0 ;;
        -t | --tenant | -H | --header | -r | --rate | -s | --seconds | -l | --limit | -b | --burst)
            (($# > 1)) || fail "$1 needs a value; see --help"
            case $1 in
                -t | --tenant) tenant=$2 ;;
                -H | --header) header=$2 ;;
                -r | --rate) rate=$2 ;;
                -s | --seconds) seconds=$2 ;;
                -l | --limit) limit=$2 ;;
                -b | --burst) burst=$2 ;;
            esac
            shift 2
            ;;
        -*) fail "there is no option $1; see --help" ;;
        *)
            [[ -z $url ]] || fail "more than one URL; see --help"
            url=$1
            shift
            ;;
    esac
done
[[ $url =~ ^https?://[^[:space:]\"\\]+$ ]] || fail "give the URL to call, such as http://127.0.0.1:8080/products; see --help"
[[ $tenant =~ ^[!-~]{1,128}$ ]] || fail "--tenant: '$tenant' is not a name of visible characters"
[[ $header =~ ^[A-Za-z0-9-]{1,64}$ ]] || fail "--header: '$header' is not the name of a header"
whole --rate "$rate" 1 "$MOST_RATE"
whole --seconds "$seconds" 1 "$MOST_SECONDS"
[[ -z $limit ]] || whole --limit "$limit" 1 1000000
[[ -z $burst ]] || whole --burst "$burst" 1 1000000
command -v curl >/dev/null || fail "curl is not installed"

answers=$(mktemp -d)
trap 'rm -rf "$answers"' EXIT

# The first request asks what the limit is, and counts like the others.
curl --silent --max-time 5 --globoff --dump-header "$answers/headers" --output /dev/null --write-out '%{http_code}\n' \
    --header "$header: $tenant" "$url" >"$answers/first" || fail "$url does not answer"
told() { # HEADER PARAMETER
    tr -d '\r' <"$answers/headers" | sed -nE "s/^$1: .*;$2=([0-9]+).*/\1/Ip" | head -n 1
}
limit=${limit:-$(told ratelimit-policy q)}
left=$(told ratelimit r)
burst=${burst:-${left:+$((left + 1))}}

begun=$(now)
for ((slot = 0; slot < seconds * SLOTS; slot++)); do
    count=$((rate * (slot + 1) / SLOTS - rate * slot / SLOTS))
    if ((count > 0)); then
        # Who doesn't answer must not fill the machine with waiting clients.
        while (($(jobs -pr | wc -l) >= MOST_PENDING)); do wait -n || true; done
        for ((i = 0; i < count; i++)); do printf 'url = "%s"\noutput = "/dev/null"\n' "$url"; done |
            curl --silent --no-progress-meter --parallel --parallel-max 50 --max-time 5 --globoff --header "$header: $tenant" \
                --write-out '%{http_code}\n' --config - >"$answers/$slot" &
    fi
    pause=$((begun + (slot + 1) * 1000 / SLOTS - $(now)))
    if ((pause > 0)); then sleep "$(printf '%d.%03d' $((pause / 1000)) $((pause % 1000)))"; fi
done
elapsed=$(($(now) - begun))
while (($(jobs -pr | wc -l) > 0)); do wait -n || true; done
# what was sent last may have been let in as late as this
answered=$(($(now) - begun))

cat "$answers"/first "$answers"/[0-9]* >"$answers/all"
sent=$(wc -l <"$answers/all")
limited=$(grep -c '^429$' "$answers/all" || true)
failed=$(grep -cE '^(000|5..)$' "$answers/all" || true)
allowed=$((sent - limited - failed))

printf 'tenant    %s\n' "$tenant"
printf 'sent      %d in %d.%03d s\n' "$sent" $((elapsed / 1000)) $((elapsed % 1000))
printf 'allowed   %d\nlimited   %d\nfailed    %d\n' "$allowed" "$limited" "$failed"
if [[ -z $limit || -z $burst ]]; then
    printf 'expected  unknown: the answers name no limit; give it by --limit and --burst\n'
    exit 0
fi
expected=$((burst + limit * elapsed / 1000))
most=$((burst + limit * answered / 1000))
((expected <= sent)) || expected=$sent
((most <= sent)) || most=$sent
printf 'expected  %d (%d a second, %d at once)\n' "$expected" "$limit" "$burst"
off=$((allowed > most ? allowed - most : allowed < expected ? expected - allowed : 0))
((off <= 3 || off * 10 <= expected))
