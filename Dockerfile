# The bot in a container: no root, nothing to write to but /data and /tmp. compose.yaml beside it runs it so.
# The version is the one that the tests run on and that requirements.txt was made for.
FROM python:3.11-slim AS packages
COPY requirements.txt /
RUN python -m venv /opt/bot \
 && /opt/bot/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /requirements.txt

FROM python:3.11-slim
# A new volume at /data takes over who owns the folder, and their rights alone: people's questions are in there.
RUN groupadd --gid 10001 bot \
 && useradd --uid 10001 --gid bot --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bot \
 && install --directory --owner bot --group bot --mode 0700 /data
COPY --from=packages /opt/bot /opt/bot
WORKDIR /app
COPY bot bot
COPY cogs cogs
ENV PATH=/opt/bot/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DATABASE_URL=sqlite:////data/bot.db \
    HEALTH_ADDRESS=127.0.0.1:8080 \
    LOG_FORMAT=json
RUN python -m compileall -q bot cogs
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "bot.ops.probe"]
CMD ["python", "-m", "bot"]
