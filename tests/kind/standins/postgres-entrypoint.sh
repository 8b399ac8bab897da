#!/usr/bin/env bash
# What the official image's entry point promises, as far as anything here relies on it: POSTGRES_USER, _PASSWORD, _DB
# and _INITDB_ARGS, each also as _FILE; PGDATA; /docker-entrypoint-initdb.d once, on an empty folder, while the server
# listens on its socket only; root steps down; any user id will do.
set -euo pipefail
shopt -s nullglob

setting() { # NAME DEFAULT: sets NAME from itself, from NAME_FILE, or to the default
    local name=$1 file=$1_FILE
    if [[ -n ${!name:-} && -n ${!file:-} ]]; then
        echo "error: $name and $file are both set; give one of them" >&2
        exit 1
    fi
    if [[ -n ${!file:-} ]]; then
        printf -v "$name" '%s' "$(<"${!file}")"
    else
        printf -v "$name" '%s' "${!name:-$2}"
    fi
}

name_this_user() { # for the server's own programs, which look the user up
    if getent passwd "$(id -u)" >/dev/null; then
        return
    fi
    local libraries=(/usr/lib/*/libnss_wrapper.so)
    NSS_WRAPPER_PASSWD=$(mktemp)
    NSS_WRAPPER_GROUP=$(mktemp)
    export LD_PRELOAD=${libraries[0]} NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" >"$NSS_WRAPPER_PASSWD"
    echo "postgres:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
}

forget_name() {
    if [[ -n ${NSS_WRAPPER_PASSWD:-} ]]; then
        rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
        unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
    fi
}

run_scripts() {
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        echo "running $script"
        case $script in
            *.sh)
                if [[ -x $script ]]; then
                    "$script"
                else
                    # shellcheck source=/dev/null
                    . "$script"
                fi
                ;;
            *.sql) psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --file "$script" ;;
            *) echo "ignoring $script" ;;
        esac
    done
}

initialise() { # SERVER ARGUMENTS...
    setting POSTGRES_PASSWORD ""
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS ""
    if [[ -z $POSTGRES_PASSWORD ]]; then
        echo "error: POSTGRES_PASSWORD is empty; set it, or POSTGRES_PASSWORD_FILE" >&2
        exit 1
    fi
    name_this_user
    # the arguments are several, as the official image has them
    # shellcheck disable=SC2086
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    export PGPASSWORD=$POSTGRES_PASSWORD
    pg_ctl --wait --options="-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql" start
    if [[ $POSTGRES_DB != postgres ]]; then
        printf 'CREATE DATABASE :"name";' |
            psql --set ON_ERROR_STOP=1 --set name="$POSTGRES_DB" --username "$POSTGRES_USER" --dbname postgres
    fi
    run_scripts
    pg_ctl --mode=fast --wait stop
    unset PGPASSWORD
    forget_name
}

if [[ ${1:-} == -* ]]; then
    set -- postgres "$@"
fi
if [[ ${1:-} == postgres ]]; then
    mkdir -p "$PGDATA"
    if ((EUID == 0)); then
        chown -R postgres "$PGDATA" /var/run/postgresql
        exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$0" "$@"
    fi
    chmod 00700 "$PGDATA" || true
    if [[ ! -s $PGDATA/PG_VERSION ]]; then
        initialise
    fi
    set -- "$1" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "${@:2}"
fi
exec "$@"
